"""Demo: a batch with the simulated gateway, from its manifest to its gallery."""

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
from luma_async.cli.batch_options import JOURNAL, BatchOptions
from luma_async.cli.batch_run import run_batch
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.options import DEFAULT_DEMO_FOLDER, DEFAULT_DEMO_SPEED
from luma_async.cli.terminal import Terminal
from luma_async.errors import ConfigurationError
from luma_async.schedules import ExponentialSchedule
from luma_async.settings import API_KEY, Settings
from luma_async.shell import command_line
from luma_async.simulator import Simulator

DEFAULT_DIALECT = "gateway"

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
"""Rows of the manifest: key, prompt, aspect ratio, and the key of the row to extend."""

MORE_ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "agents": (
        ("cat-snow", "it snows", "", "", "edit", "cat", ""),
        ("aurora", "an aurora above a frozen lake", "16:9", "", "", "", "yes"),
        ("still", "a cat on a roof, as a woodcut", "3:2", "", "image", "", ""),
        ("parts", "the cat, the roof and the sky", "", "", "layers", "still", ""),
    )
}
"""Further rows by dialect, also with the kind, the source, and `yes` for HDR and EXR."""

_COLUMNS = ("key", "prompt", "aspect_ratio", "extends")
_MORE_COLUMNS = ("kind", "source", "hdr", "exr")


async def run_demo(
    terminal: Terminal, folder: Path, *, speed: float, dialect: str = DEFAULT_DIALECT
) -> ExitCode:
    """Write a manifest, run it as a batch, and print a table of its files.

    Raises:
        ConfigurationError: the folder holds other files than those of a demo, or cannot be written
            to, or there is no such dialect.

    """
    # The simulator ends with the demo, so `luma-async batch` would find no server.
    again = command_line(_command_of(folder, speed=speed, dialect=dialect))
    options = BatchOptions(manifest=folder / MANIFEST, folder=folder, own_command=again)
    settings = Settings({API_KEY: "no-key-needed"})
    name = Connection(settings=settings, dialect=dialect).server_dialect.name
    await anyio.to_thread.run_sync(_prepare, folder, name)
    more = ", an edit, an HDR video, an image and its layers" if name in MORE_ROWS else ""
    terminal.say(
        f"{options.manifest}: six videos and an extension{more}; simulated at {speed:g} times real "
        "speed."
    )
    async with Simulator(speed=speed) as simulator:
        connection = Connection(simulator.url, options.default_journal, settings, dialect=dialect)
        # Short intervals, because the simulated jobs take seconds instead of minutes.
        schedule = ExponentialSchedule(first=0.3, factor=1.2, longest=1.0)
        code = await run_batch(terminal, connection, options, schedule=schedule)
    if not terminal.as_json:
        _print_table(
            await anyio.to_thread.run_sync(lambda: list(read_results(folder / NAME))), folder
        )
    return code


def _command_of(folder: Path, *, speed: float, dialect: str) -> list[str]:
    """Return the words of the command that runs a demo, without those that are the defaults."""
    words = ["luma-async", "demo"]
    if folder != DEFAULT_DEMO_FOLDER:
        words.append(f"--folder={folder}")
    if speed != DEFAULT_DEMO_SPEED:
        words.append(f"--speed={speed:g}")
    if dialect != DEFAULT_DIALECT:
        words.append(f"--dialect={dialect}")
    return words


def _prepare(folder: Path, dialect: str) -> None:
    """Write the manifest, and delete the files of an earlier demo.

    Raises:
        ConfigurationError: the folder holds other files, or cannot be written to.

    """
    try:
        _prepare_files(folder, dialect)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {str(folder)!r} cannot be written to: {error.strerror or error}. Choose "
            "another --folder."
        ) from None


def _prepare_files(folder: Path, dialect: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not _is_demo_manifest(folder / MANIFEST):
        raise ConfigurationError(
            f"The folder {str(folder)!r} holds other files than those of a demo. Choose another "
            "--folder."
        )
    for name in (NAME, *(path.name for path in folder.glob(f"{JOURNAL}*"))):
        (folder / name).unlink(missing_ok=True)
    for key, *_ in (*ROWS, *(row for rows in MORE_ROWS.values() for row in rows)):
        for path in (folder / "videos").glob(f"{key}[.-]*"):
            path.unlink()
    (folder / MANIFEST).write_text(_manifest_text(dialect), "utf-8", newline="")


def _manifest_text(dialect: str) -> str:
    text = io.StringIO(newline="")
    if (more := MORE_ROWS.get(dialect)) is None:
        csv.writer(text).writerows([_COLUMNS, *ROWS])
    else:
        rows: list[tuple[str, ...]] = [(*row, "", "", "", "") for row in ROWS]
        rows += [(*row, row[-1]) for row in more]  # HDR comes with EXR
        csv.writer(text).writerows([_COLUMNS + _MORE_COLUMNS, *rows])
    return text.getvalue()


def _is_demo_manifest(manifest: Path) -> bool:
    texts = [_manifest_text(dialect).encode() for dialect in (DEFAULT_DIALECT, *MORE_ROWS)]
    return manifest.is_file() and manifest.read_bytes() in texts


def _print_table(results: list[Result], folder: Path) -> None:
    """Print the files of a demo, if there are any, and the path of its gallery."""
    done = sorted(
        (result for result in results if result.state is ResultState.DONE),
        key=lambda result: result.line,
    )
    if not done:
        return
    console = Console(highlight=False)
    table = Table(title="\nFiles", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("file", no_wrap=True, min_width=15)
    table.add_column("size", justify="right", no_wrap=True, min_width=9)
    table.add_column("length", justify="right", no_wrap=True, min_width=6)
    table.add_column("took", justify="right", no_wrap=True, min_width=6)
    table.add_column("prompt")
    for result in done:
        table.add_row(
            escape(result.file or ""),
            f"{result.width}x{result.height}" if result.width else "",
            f"{result.duration:.1f} s" if result.duration else "",
            f"{result.took:.1f} s" if result.took else "",
            escape(result.prompt),
        )
    console.print(table)
    page = escape(str(folder.resolve() / GALLERY))
    console.print(f"\n{len(done)} rows are done. Gallery: {page}", soft_wrap=True)
