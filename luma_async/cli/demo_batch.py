"""`luma-async demo`: a batch from its file to its gallery, against the simulator."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import anyio.to_thread
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from luma_async.batch import Result, ResultState
from luma_async.batch.gallery import NAME as GALLERY
from luma_async.batch.results_file import NAME, read_results
from luma_async.cli.batch_run import JOURNAL, Order, run_batch
from luma_async.cli.connection import Connection
from luma_async.cli.environment import API_KEY, Settings
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal
from luma_async.errors import ConfigurationError
from luma_async.schedules import ExponentialSchedule
from luma_async.simulator import Simulator

MANIFEST = "prompts.csv"
ROWS = (
    ("cat", "a cat dances on a moonlit roof", "16:9", ""),
    ("boat", "a paper boat sails down a rainy street", "4:3", ""),
    ("jellyfish", "neon jellyfish drift through a library", "1:1", ""),
    ("lighthouse", "a lighthouse in a storm, seen from the sea", "9:16", ""),
    ("train", "a train crosses a viaduct at dawn", "21:9", ""),
    ("dandelion", "dandelion seeds in slow motion", "3:4", ""),
    ("cat-bow", "the cat takes a bow", "", "cat"),
)


async def run_demo(terminal: Terminal, folder: Path, *, speed: float) -> ExitCode:
    """Write a file of prompts, make a video of each, and show the gallery."""
    order = Order(
        manifest=folder / MANIFEST,
        folder=folder,
        max_tasks=20,
        max_downloads=4,
        limit_jobs=None,
        retry_failed=False,
    )
    await anyio.to_thread.run_sync(_prepare, folder)
    terminal.say(
        f"{order.manifest}: six videos and an extension; the server works {speed:g}x as fast."
    )
    async with Simulator(speed=speed) as simulator:
        connection = Connection(
            simulator.url, str(folder / JOURNAL), Settings({API_KEY: "no-key-needed"})
        )
        schedule = ExponentialSchedule(first=0.3, factor=1.2, longest=1.0)
        code = await run_batch(terminal, connection, order, schedule=schedule)
    if not terminal.as_json:
        _show(await anyio.to_thread.run_sync(lambda: list(read_results(folder / NAME))), folder)
    return code


def _prepare(folder: Path) -> None:
    """Write the manifest, and let the last demo be forgotten, but nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not _is_of_demo(folder / MANIFEST):
        raise ConfigurationError(
            f"The folder {str(folder)!r} holds something else than a demo. Name another: --folder."
        )
    for left in (NAME, *(path.name for path in folder.glob(f"{JOURNAL}*"))):
        (folder / left).unlink(missing_ok=True)
    for key, *_ in ROWS:
        (folder / "videos" / f"{key}.mp4").unlink(missing_ok=True)
    (folder / MANIFEST).write_text(_manifest(), "utf-8", newline="")


def _manifest() -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("key", "prompt", "aspect_ratio", "extends"), *ROWS])
    return text.getvalue()


def _is_of_demo(manifest: Path) -> bool:
    return manifest.is_file() and manifest.read_bytes() == _manifest().encode()


def _show(results: list[Result], folder: Path) -> None:
    console = Console(highlight=False)
    table = Table(
        title="\nWhat was made", title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    table.add_column("file", no_wrap=True, min_width=15)
    table.add_column("size", justify="right", no_wrap=True, min_width=9)
    table.add_column("length", justify="right", no_wrap=True, min_width=6)
    table.add_column("took", justify="right", no_wrap=True, min_width=6)
    table.add_column("prompt")
    made = sorted(
        (result for result in results if result.state is ResultState.DONE),
        key=lambda result: result.line,
    )
    for result in made:
        table.add_row(
            escape(result.file or ""),
            f"{result.width}x{result.height}" if result.width else "",
            f"{result.duration:.1f} s" if result.duration else "",
            f"{result.took:.1f} s" if result.took else "",
            escape(result.prompt),
        )
    console.print(table)
    page = escape(str(folder.resolve() / GALLERY))
    console.print(f"\n{len(made)} videos. Look at them: {page}", soft_wrap=True)
