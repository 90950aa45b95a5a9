"""`luma-async demo`: the whole way on one screen, against the simulator."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

import anyio
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from luma_async.cli.board import Board, Line
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


async def run_demo(folder: Path, *, speed: float) -> None:
    """Generate, extend, download, and say what was made.

    Raises:
        LumaError: something did not work.

    """
    console = Console(highlight=False)
    made: list[Made] = []
    failures: list[LumaError] = []
    console.print(f"Six videos at once and one extension; the server works {speed:g}x as fast.\n")
    async with Simulator(speed=speed) as simulator:
        async with LumaClient(
            "no-key-needed",
            base_url=simulator.url,
            schedule=ExponentialSchedule(first=0.3, factor=1.2, longest=1.0),
        ) as luma:
            with Board(console) as board:

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
                async with anyio.create_task_group() as group:
                    for number, (line, task) in enumerate(zip(lines, tasks, strict=True), start=1):
                        name = f"{number}-{PROMPTS[number - 1][1].replace(':', 'x')}"
                        group.start_soon(attempt, line, follow(line, task, name))
                    group.start_soon(attempt, extension, extend(extension, tasks[0]))
    _show(console, made, folder)
    if failures:
        raise failures[0]


def _show(console: Console, made: list[Made], folder: Path) -> None:
    table = Table(
        title="\nWhat was made", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("file", no_wrap=True, min_width=15)
    table.add_column("size", justify="right", no_wrap=True, min_width=9)
    table.add_column("length", justify="right", no_wrap=True, min_width=6)
    table.add_column("took", justify="right", no_wrap=True, min_width=6)
    table.add_column("prompt")
    for video in sorted(made, key=lambda video: video.file.name):
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
