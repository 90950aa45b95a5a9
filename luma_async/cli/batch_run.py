"""`luma-async batch`: a file of prompts becomes a folder of videos."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from luma_async.batch import (
    Batch,
    Manifest,
    Result,
    ResultState,
    Row,
    read_manifest,
    write_gallery,
)
from luma_async.batch.gallery import NAME as GALLERY
from luma_async.batch.next_steps import settle_all
from luma_async.batch.plan import is_finished
from luma_async.batch.results_file import NAME, has_file, read_results
from luma_async.cli.connection import Connection
from luma_async.cli.download_limits import DownloadLimits
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.streams import forget_stdout
from luma_async.cli.terminal import Terminal
from luma_async.errors import BatchError, InsufficientCreditsError
from luma_async.journal.sql.location import shown
from luma_async.shell import command_about

JOURNAL = "jobs.db"
"""In the folder of the videos, where no journal is named."""

DEFAULTS = {"max-tasks": 20, "max-downloads": 4, "limit-jobs": None}


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a batch."""

    manifest: Path
    folder: Path
    max_tasks: int
    max_downloads: int
    limit_jobs: int | None
    retry_failed: bool
    retry_uncertain: bool = False


def folder_of(manifest: Path) -> Path:
    """Return where the videos of a manifest go if nobody says: beside it.

    From wherever it is run, it is the same folder, and so the same journal.
    """
    return manifest.with_suffix("")


async def show_plan(terminal: Terminal, order: Order) -> ExitCode:
    """Say which rows would be submitted, and touch nothing.

    Raises:
        ManifestError: the manifest is wrong.

    """
    manifest = await anyio.to_thread.run_sync(read_manifest, order.manifest)
    found = await anyio.to_thread.run_sync(lambda: list(read_results(order.folder / NAME)))
    results = {result.key: result for result in found}

    def has_ended(row: Row) -> bool:
        result = results.get(row.key)
        return result is not None and is_finished(
            row,
            result,
            has_file=has_file(result, order.folder),
            retry_failed=order.retry_failed,
        )

    left = [row for row in manifest.rows if not has_ended(row)]
    for row in left:
        call = "generate" if row.extends is None else f"extend {row.extends}"
        fields = {"key": row.key, "line": row.line, "call": call, "prompt": row.request.prompt}
        terminal.result(f"{row.key}: {call}: {row.request.prompt}", fields)
    limit = order.limit_jobs
    no_more = "" if limit is None or limit >= len(left) else f", at most {limit:,} of them paid for"
    terminal.say(
        f"{len(manifest.rows):,} rows: {len(manifest.rows) - len(left):,} have ended, "
        f"{len(left):,} would be run{no_more}."
    )
    uncertain = [row for row in left if _is_uncertain(results.get(row.key))]
    if uncertain and order.retry_uncertain:
        terminal.warn(
            f"Uncertain rows among these: {len(uncertain):,}. They would be sent once more, and "
            "may be paid for twice."
        )
    elif uncertain:
        terminal.say(
            f"Uncertain rows among these: {len(uncertain):,}. They are not sent again until they "
            "are settled."
        )
    return ExitCode.DONE


def _is_uncertain(result: Result | None) -> bool:
    return result is not None and result.state is ResultState.UNCERTAIN


async def run_batch(
    terminal: Terminal, connection: Connection, order: Order, **settings: Any
) -> ExitCode:
    """Make what a manifest asks for, and show it in a gallery.

    Ctrl-C once stops submitting; jobs that run are watched to their end. Twice leaves at once.
    `settings` are further ones of the client.

    Raises:
        LumaError: the manifest is wrong, there is no key, or the journal cannot be used.

    """
    manifest = await anyio.to_thread.run_sync(read_manifest, order.manifest)
    for row in manifest.rows:
        connection.check_is_no_secret(row.key)
    await anyio.to_thread.run_sync(_check_journal, connection, order)
    was_stopped = asyncio.Event()
    client = connection.client_that_submits(max_downloads=order.max_downloads, **settings)
    async with client as luma:
        batch = Batch(
            luma,
            manifest,
            order.folder,
            max_tasks=order.max_tasks,
            limit_jobs=order.limit_jobs,
            retry_failed=order.retry_failed,
            retry_uncertain=order.retry_uncertain,
        )
        if order.retry_uncertain:
            terminal.warn("Rows that are uncertain are sent once more, and may be paid for twice.")
        terminal.go_on = command(connection, order)

        def stop_submitting() -> None:
            batch.stop()
            luma.stop_submitting()
            was_stopped.set()
            terminal.warn(
                "No more is submitted; jobs that run are watched to their end. "
                "Ctrl-C again leaves at once."
            )

        terminal.on_first_interrupt = stop_submitting
        try:
            with terminal.meter(batch.progress, at_once=order.max_tasks):
                async with aclosing(batch.run()) as results:
                    async for result in results:
                        _tell(terminal, result)
        finally:
            terminal.on_first_interrupt = None
            if batch.results:
                await _show_gallery(terminal, connection, order, batch)
    return _summed_up(
        terminal, connection, order, manifest, batch, was_stopped=was_stopped.is_set()
    )


def connection_for(
    order: Order,
    base_url: str | None,
    journal: str | None,
    rejection_codes: tuple[str, ...] = (),
    downloads: DownloadLimits = DownloadLimits(),  # noqa: B008  it is frozen
) -> Connection:
    """Return the connection of a batch, whose journal is in its folder unless it is told.

    In one journal for everything, the keys of two spreadsheets would name the same jobs; and one
    that the environment names would be another one in another shell, and pay again.
    """
    return Connection(
        base_url,
        journal or str(order.folder / JOURNAL),
        rejection_codes=rejection_codes,
        downloads=downloads,
    )


def command(connection: Connection, order: Order) -> str:
    """Return what to type to go on with a batch."""
    chosen = {
        "max-tasks": order.max_tasks,
        "max-downloads": order.max_downloads,
        "limit-jobs": order.limit_jobs,
    }
    return connection.command_that_submits(
        "batch",
        _as_argument(order.manifest),
        *connection.downloads.typed(),
        output=None if order.folder == folder_of(order.manifest) else str(order.folder),
        journal=None if _has_own_journal(connection, order) else connection.journal,
        **{name: str(n) for name, n in chosen.items() if n != DEFAULTS[name]},
    )


def _has_own_journal(connection: Connection, order: Order) -> bool:
    return connection.journal == str(order.folder / JOURNAL)


def _settle_all(connection: Connection, order: Order, keys: Sequence[str]) -> str:
    """Return what to type to free all of some uncertain rows."""
    is_shared = not _has_own_journal(connection, order)
    return settle_all(keys, connection.journal_command("settle"), has_others=is_shared)


def _check_journal(connection: Connection, order: Order) -> None:
    """Refuse to begin a journal beside results that another one must have known.

    Raises:
        BatchError: there is no journal, and there are such results, or there can be no folder.

    """
    if order.folder.exists() and not order.folder.is_dir():
        raise BatchError(f"{order.folder} is no folder. Name another for the videos: --output.")
    if connection.journal_is_there:
        return
    for result in read_results(order.folder / NAME):
        if result.state in (ResultState.UNCERTAIN, ResultState.NOT_DOWNLOADED, ResultState.LOST):
            raise BatchError(
                f"Row {result.key!r} is {result.state}: it may be paid for, and the journal that "
                f"knows it is not at {shown(connection.journal_place)}. Put it back, or "
                f"name it: --journal. If it is gone, delete {order.folder / NAME} to begin anew."
            )


def _as_argument(path: Path) -> str:
    return f"./{path}" if str(path).startswith("-") else str(path)


async def _show_gallery(
    terminal: Terminal, connection: Connection, order: Order, batch: Batch
) -> None:
    again = command(connection, order)
    write = partial(
        write_gallery,
        order.folder,
        batch.results,
        title=order.manifest.stem,
        command=again,
        retry=f"{again} --retry-failed",
        settle=connection.journal_command("settle"),
        settle_all=_settle_all(connection, order, _uncertain_of(batch.results)),
    )
    try:
        await anyio.to_thread.run_sync(write)
    except OSError as error:
        terminal.warn(f"The gallery cannot be written: {error}.")


def _tell(terminal: Terminal, result: Result) -> None:
    if result.state is ResultState.DONE:
        plain = "" if terminal.shows_progress else f"{result.key}: {result.file}"
    else:
        plain = f"{result.key}: {result.state}: {result.error}"
    try:
        terminal.result(plain, asdict(result))
    except OSError as error:  # the batch goes on
        forget_stdout()
        if not isinstance(error, BrokenPipeError):
            terminal.warn(f"Nothing more can be written to standard output: {error.strerror}.")


def _uncertain_of(results: Sequence[Result]) -> list[str]:
    return [result.key for result in results if result.state is ResultState.UNCERTAIN]


def _say_how_to_settle(
    terminal: Terminal, connection: Connection, order: Order, keys: Sequence[str]
) -> None:
    rest, settle = _settle_all(connection, order, keys), connection.journal_command("settle")
    if len(keys) == 1:
        accepted = command_about(settle, *keys, options="--id ID")
        terminal.say(
            "1 row is uncertain. Look for it in your gateway's list of tasks; if it is not there: "
            f"{rest}"
        )
        terminal.say(f"If it is, name its task: {accepted}")
        return
    terminal.say(
        f"{len(keys):,} rows are uncertain. Look for them in your gateway's list of tasks; if none "
        f"is there: {rest}"
    )
    terminal.say(f"If some are, name these first, in lines KEY ID: {settle} --ids FILE")


def _summed_up(
    terminal: Terminal,
    connection: Connection,
    order: Order,
    manifest: Manifest,
    batch: Batch,
    *,
    was_stopped: bool,
) -> ExitCode:
    results = batch.results
    states = {result.key: result.state for result in results}
    ours = [states.get(row.key) for row in manifest.rows]
    counts = [f"{ours.count(state):,} {state}" for state in ResultState if ours.count(state)]
    if missing := ours.count(None):
        counts.append(f"{missing:,} still to do")
    rows = "1 row" if len(ours) == 1 else f"{len(ours):,} rows"
    terminal.say(f"{rows}: {', '.join(counts)}.")
    if repeated := batch.progress.repeated:
        were = "1 uncertain row was" if repeated == 1 else f"{repeated:,} uncertain rows were"
        terminal.say(f"{were} sent once more, and may be paid for twice.")
    if uncertain := _uncertain_of(results):
        _say_how_to_settle(terminal, connection, order, uncertain)
    if results:
        terminal.say(f"Gallery: {order.folder / GALLERY}")
    if batch.problem is not None:
        terminal.complain(batch.problem)
        is_empty = isinstance(batch.problem, InsufficientCreditsError)
        mended = "the account is topped up" if is_empty else "that is mended"
        terminal.say(f"Once {mended}, go on: {terminal.go_on}")
        terminal.go_on = None
        nothing = batch.progress.done == 0
        return ExitCode.of([batch.problem]) if nothing else ExitCode.FAILED
    if was_stopped and batch.progress.left:
        terminal.say_how_to_go_on()
        return ExitCode.INTERRUPTED
    terminal.go_on = None
    bad = any(state is not ResultState.DONE for state in ours if state is not None)
    return ExitCode.FAILED if bad else ExitCode.DONE
