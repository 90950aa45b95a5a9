"""Run a batch from its manifest to its gallery."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import anyio.to_thread

from luma_async.batch import (
    Batch,
    ClusterBatch,
    LiveGallery,
    Manifest,
    Result,
    ResultState,
)
from luma_async.batch.gallery import NAME as GALLERY
from luma_async.batch.manifest import format_of
from luma_async.batch.next_steps import MAX_NAMED
from luma_async.batch.notes import is_edited
from luma_async.batch.output import VIDEOS
from luma_async.batch.redo import RedoFile
from luma_async.batch.results_file import NAME, read_results
from luma_async.cli.batch_options import BatchOptions
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.rows_input import keep_rows, read_rows
from luma_async.cli.streams import discard_stdout
from luma_async.cli.terminal import Terminal
from luma_async.client import LumaClient
from luma_async.dialects.server_advice import search_for_lost_jobs
from luma_async.errors import BatchError, InsufficientCreditsError, LumaError
from luma_async.journal.sql.database_url import masked
from luma_async.shell import command_about

_STATES_KNOWN_TO_JOURNAL = (
    ResultState.UNCERTAIN,
    ResultState.NOT_DOWNLOADED,
    ResultState.LOST,
)
"""States of rows that may be paid for, and whose job ids are only in the journal."""


async def run_batch(
    terminal: Terminal, connection: Connection, options: BatchOptions, **settings: Any
) -> ExitCode:
    """Generate the videos of a manifest, and write a gallery of them.

    A first Ctrl-C stops submissions; running jobs are watched to their ends. A second one stops
    watching, too. `settings` are further arguments of the client.

    Raises:
        LumaError: the manifest, the API key, a setting or the journal is not valid.

    """
    manifest, data = await read_rows(terminal, options, connection.server_dialect)
    if data is not None:
        options = replace(options, kept_format=options.format or format_of(data))
    for row in manifest.rows:
        connection.check_job_key(row.key)
    await anyio.to_thread.run_sync(_check_folder, connection, options)
    # A batch that is running in the folder may be continued with the rows that are kept there.
    keep = None if data is None else partial(keep_rows, options, data)
    was_stopped = asyncio.Event()
    client = connection.client_that_submits(**{**options.client_settings(), **settings})
    async with client as luma:
        batch = _batch(luma, manifest, options)
        if options.retry_uncertain:
            terminal.warn("Uncertain rows are submitted again, and may be paid for twice.")
        terminal.continue_command = options.repeat_command(connection)

        def stop_submitting() -> None:
            batch.stop()
            luma.stop_submitting()
            was_stopped.set()
            terminal.warn(
                "No more rows are submitted; running jobs are watched to their ends. "
                "Press Ctrl-C again to stop at once."
            )

        terminal.on_first_interrupt = stop_submitting
        if terminal.shows_progress:
            terminal.say(f"Gallery: {options.folder / GALLERY}. It refreshes itself.")
        try:
            async with _gallery(connection, options, batch):
                with terminal.meter(
                    batch.progress,
                    max_tasks=options.max_tasks,
                    running=lambda: batch.running_rows,
                ):
                    async with aclosing(batch.run(prepare=keep)) as results:
                        async for result in results:
                            _print_result(terminal, result)
        except BatchError:
            if isinstance(batch, ClusterBatch) and batch.has_interrupted_redo:
                terminal.continue_command = options.command_without_cluster(connection)
            raise
        finally:
            terminal.on_first_interrupt = None
    _print_summary(terminal, connection, options, manifest, batch)
    return _exit_code(terminal, manifest, batch, was_stopped=was_stopped.is_set())


def _batch(luma: LumaClient, manifest: Manifest, options: BatchOptions) -> Batch:
    """Return the batch, on a cluster if one is named.

    Raises:
        LumaError: an option is not valid.
        ModuleNotFoundError: the extra `cluster` is not installed.

    """
    settings: dict[str, Any] = {
        "max_tasks": options.max_tasks,
        "limit_jobs": options.limit_jobs,
        "retry_failed": options.retry_failed,
        "retry_uncertain": options.retry_uncertain,
        "output": options.output,
    }
    if options.cluster is None:
        settings |= {"redo": options.redo, "redo_edited": options.redo_edited}
        return Batch(luma, manifest, options.folder, **settings)
    return ClusterBatch(luma, manifest, options.folder, cluster=options.cluster, **settings)


def _check_folder(connection: Connection, options: BatchOptions) -> None:
    """Check that the output folder is a folder, and that its journal is not missing.

    Raises:
        BatchError: the output folder is a file, or it has results or a redo but their journal was
            not found.

    """
    if options.folder.exists() and not options.folder.is_dir():
        raise BatchError(f"{options.folder} is not a folder. Choose another --output.")
    if connection.journal_is_there:
        return
    for result in read_results(options.folder / NAME):
        if result.state in _STATES_KNOWN_TO_JOURNAL:
            raise BatchError(
                f"Row {result.key!r} is {result.state} and may be paid for, but its journal was "
                f"not found at {masked(connection.journal_place)}. Put the journal back, or name "
                f"it with --journal. If it is lost, delete {options.folder / NAME} to start over."
            )
    redo = RedoFile(options.folder)
    redo.read()
    for key in redo.ids:
        raise BatchError(
            f"Row {key!r} is being redone and may be paid for, but its journal was not found at "
            f"{masked(connection.journal_place)}. Put the journal back, or name it with --journal. "
            f"If it is lost, delete {redo.path}."
        )


def _print_result(terminal: Terminal, result: Result) -> None:
    if result.state is ResultState.DONE:
        plain = "" if terminal.shows_progress else f"{result.key}: {result.file}"
        if result.note is not None:
            plain = f"{result.key}: {result.file}: {result.note}"
    else:
        plain = f"{result.key}: {result.state}: {result.error}"
    try:
        terminal.result(plain, asdict(result))
    except OSError as error:  # the batch continues: its results are in files, too
        discard_stdout()
        if not isinstance(error, BrokenPipeError):
            terminal.warn(f"Standard output cannot be written to any more: {error.strerror}.")


def _gallery(connection: Connection, options: BatchOptions, batch: Batch) -> LiveGallery:
    again = options.continue_command(connection)
    return LiveGallery(
        batch,
        title=options.title,
        command=again,
        retry=f"{again} --retry-failed",
        settle=connection.journal_command("settle"),
        settle_all=partial(options.settle_all_command, connection),
        redo=options.command_without_cluster(connection),
        listing=connection.command("list"),
    )


def _uncertain_keys(results: Sequence[Result]) -> list[str]:
    return [result.key for result in results if result.state is ResultState.UNCERTAIN]


def _print_summary(
    terminal: Terminal,
    connection: Connection,
    options: BatchOptions,
    manifest: Manifest,
    batch: Batch,
) -> None:
    """Print the rows in each state, and the commands for those that are uncertain."""
    states = _states(manifest, batch)
    counts = [f"{states.count(state):,} {state}" for state in ResultState if state in states]
    if missing := states.count(None):
        counts.append(f"{missing:,} still to do")
    rows = "1 row" if len(states) == 1 else f"{len(states):,} rows"
    terminal.say(f"{rows}: {', '.join(counts)}.")
    if repeated := batch.progress.repeated:
        were = "1 uncertain row was" if repeated == 1 else f"{repeated:,} uncertain rows were"
        terminal.say(f"{were} submitted again, and may be paid for twice.")
    _print_notes(terminal, connection, options, batch)
    if uncertain := _uncertain_keys(batch.results):
        _print_settle_commands(terminal, connection, options, uncertain)
    if batch.output.is_remote:
        terminal.say(f"Videos: {batch.output.place}/{VIDEOS}")
        terminal.say(f"Gallery: {batch.output.place}/{GALLERY}")
    else:
        terminal.say(f"Gallery: {options.folder / GALLERY}")


def _print_notes(
    terminal: Terminal, connection: Connection, options: BatchOptions, batch: Batch
) -> None:
    """Print the rows whose video is not that of their text, and the commands that redo them."""
    if batch.not_redone:
        keys = ", ".join(batch.not_redone[:MAX_NAMED])
        terminal.say(f"Not submitted anew, because running or uncertain when the run began: {keys}")
    if batch.already_redone:
        keys = ", ".join(batch.already_redone[:MAX_NAMED])
        terminal.say(f"Submitted anew by the interrupted run before, and not once more: {keys}")
    noted = {result.key: result for result in batch.results if result.note is not None}
    rows = [row for row in batch.rows if row.key in noted]
    edited = [row.key for row in rows if is_edited(row, noted[row.key])]
    others = [row.key for row in rows if row.key not in set(edited)]
    if len(edited) == 1:
        command = options.redo_command(connection, edited)
        row_was = "1 row was edited after its job was submitted"
        terminal.say(f"{row_was}, and keeps that job. Redo: {command}")
    elif edited:
        command = f"{options.command_without_cluster(connection)} --redo-edited"
        rows_were = f"{len(edited):,} rows were edited after their jobs were submitted"
        terminal.say(f"{rows_were}, and keep those jobs. Redo: {command}")
    for key in others[:MAX_NAMED]:
        terminal.say(f"{key}: {noted[key].note}")
    if others:
        terminal.say(f"Redo: {options.redo_command(connection, others)}")


def _print_settle_commands(
    terminal: Terminal, connection: Connection, options: BatchOptions, keys: Sequence[str]
) -> None:
    rejected = options.settle_all_command(connection, keys)
    settle = connection.journal_command("settle")
    search = partial(
        search_for_lost_jobs, connection.server_dialect.name, command=connection.command("list")
    )
    if len(keys) == 1:
        accepted = command_about(settle, *keys, options="--id ID")
        terminal.say(f"1 row is uncertain. {search('its job')} If the job is not there: {rejected}")
        terminal.say(f"If it is there, with the id ID: {accepted}")
        return
    terminal.say(
        f"{len(keys):,} rows are uncertain. {search('their jobs')} If none is there: {rejected}"
    )
    terminal.say(
        f"If some are there, settle these first, with a file of lines KEY ID: {settle} --ids FILE"
    )


def _exit_code(
    terminal: Terminal, manifest: Manifest, batch: Batch, *, was_stopped: bool
) -> ExitCode:
    """Return the exit code, and print the command that continues the batch if rows are left."""
    if batch.problem is not None:
        return _report_problem(terminal, batch, batch.problem)
    if was_stopped and batch.progress.left:
        terminal.print_continue_command()
        return ExitCode.INTERRUPTED
    terminal.continue_command = None
    ended = [state for state in _states(manifest, batch) if state is not None]
    # A row with a note has a video, but not the one that the file asks for now. A script that goes
    # on after a success must not publish that.
    keys = {row.key for row in manifest.rows}
    has_notes = any(result.note is not None for result in batch.results if result.key in keys)
    is_done = set(ended) <= {ResultState.DONE} and not has_notes
    return ExitCode.DONE if is_done else ExitCode.FAILED


def _report_problem(terminal: Terminal, batch: Batch, problem: LumaError) -> ExitCode:
    terminal.print_failure(problem)
    is_empty = isinstance(problem, InsufficientCreditsError)
    solved = "the account is topped up" if is_empty else "the problem is solved"
    terminal.say(f"Once {solved}, continue: {terminal.continue_command}")
    terminal.continue_command = None
    return ExitCode.of([problem]) if batch.progress.done == 0 else ExitCode.FAILED


def _states(manifest: Manifest, batch: Batch) -> list[ResultState | None]:
    """Return the state of each row of the manifest, `None` for a row that has not ended."""
    states = {result.key: result.state for result in batch.results}
    return [states.get(row.key) for row in manifest.rows]
