"""`luma-async demo`: the whole way on one screen, against the simulator."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from luma_async.cli.board import Line
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.follower import side_by_side
from luma_async.cli.report import Report
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.errors import LumaError
from luma_async.models import AspectRatio, Generation
from luma_async.simulator import Simulator
from luma_async.tasks import ExponentialSchedule, VideoTask

PROMPTS: tuple[tuple[str, AspectRatio], ...] = (
    ("a cat dances on a moonlit roof", "16:9"),
    ("a paper boat sails down a rainy street", "4:3"),
    ("neon jellyfish drift through a library", "1:1"),
    ("a lighthouse in a storm, seen from the sea", "9:16"),
    ("a train crosses a viaduct at dawn", "21:9"),
    ("dandelion seeds in slow motion", "3:4"),
)
EXTENSION = "the cat takes a bow"


@dataclass(frozen=True, slots=True)
class Made:
    """One video of the demo."""

    title: str
    generation: Generation
    file: Path
    seconds: float


async def run_demo(terminal: Terminal, folder: Path, *, speed: float) -> ExitCode:
    """Generate, extend, download, and say what was made."""
    made: list[Made] = []
    failures: list[LumaError] = []
    terminal.say(f"Six videos at once and one extension; the server works {speed:g}x as fast.")
    async with Simulator(speed=speed) as simulator:
        async with LumaClient(
            "no-key-needed",
            base_url=simulator.url,
            schedule=ExponentialSchedule(first=0.3, factor=1.2, longest=1.0),
        ) as luma:
            with terminal.board() as board:

                async def follow(line: Line, task: VideoTask, name: str) -> None:
                    async for generation in task.updates():
                        board.move(line, generation.state)
                    video = await task
                    board.move(line, "downloading")
                    file = await luma.download(video, folder / f"{name}.mp4", overwrite=True)
                    board.move(line, "saved")
                    made.append(Made(line.title, video, file, line.elapsed))

                async def extend(line: Line, source: VideoTask) -> None:
                    await follow(line, await luma.extend(source, EXTENSION), "7-extension")

                async def attempt(line: Line, work: Awaitable[None]) -> None:
                    try:
                        await work
                    except LumaError as error:
                        board.move(line, "failed")
                        failures.append(error)

                lines = [board.add(prompt) for prompt, _ in PROMPTS]
                extension = board.add(f"extension of the first: {EXTENSION}")
                tasks = [await luma.generate(text, aspect_ratio=ratio) for text, ratio in PROMPTS]
                attempts = [attempt(extension, extend(extension, tasks[0]))]
                for number, (line, task) in enumerate(zip(lines, tasks, strict=True), start=1):
                    name = f"{number}-{PROMPTS[number - 1][1].replace(':', 'x')}"
                    attempts.append(attempt(line, follow(line, task, name)))
                await side_by_side(attempts)
    made.sort(key=lambda video: video.file.name)
    if terminal.as_json:
        for video in made:
            report = Report(id=video.generation.id, generation=video.generation, file=video.file)
            terminal.result("", report.fields)
    else:
        _show(made, folder)
    for error in failures:
        terminal.complain(f"The demo failed: {error}")
    return ExitCode.of([*failures, *(None for _ in made)])


def _show(made: list[Made], folder: Path) -> None:
    console = Console(highlight=False)
    table = Table(
        title="\nWhat was made", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("file", no_wrap=True, min_width=15)
    table.add_column("size", justify="right", no_wrap=True, min_width=9)
    table.add_column("length", justify="right", no_wrap=True, min_width=6)
    table.add_column("took", justify="right", no_wrap=True, min_width=6)
    table.add_column("prompt")
    for video in made:
        asset, raw = video.generation.video, video.generation.video_raw
        table.add_row(
            escape(video.file.name),
            f"{asset.width}x{asset.height}" if asset else "",
            f"{raw.duration:.1f} s" if raw and raw.duration else "",
            f"{video.seconds:.1f} s",
            escape(video.title),
        )
    console.print(table)
    console.print(f"\n{len(made)} videos in {escape(str(folder.resolve()))}", soft_wrap=True)
