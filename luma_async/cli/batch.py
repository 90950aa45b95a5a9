"""`luma-async batch`: a file of prompts becomes a folder of videos."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from luma_async.batch import Batch, Manifest, Result, ResultState, read_manifest, write_gallery
from luma_async.batch.results import NAME, read_results
from luma_async.cli.connection import Connection
from luma_async.cli.exit_codes import ExitCode
from luma_async.cli.terminal import Terminal, forget_stdout
from luma_async.client import LumaClient

JOURNAL = "jobs.db"
"""In the folder of the videos, where no journal is named."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a batch."""

    manifest: Path
    folder: Path
    max_tasks: int
    max_downloads: int
    limit_jobs: int | None
    retry_failed: bool


async def show_plan(terminal: Terminal, order: Order) -> ExitCode:
    """Say which rows would be submitted, and touch nothing.

    Raises:
        ManifestError: the manifest is wrong.

    """
    manifest = await anyio.to_thread.run_sync(read_manifest, order.manifest)
    found = await anyio.to_thread.run_sync(lambda: list(read_results(order.folder / NAME)))
    ended = {result.key for result in found if _is_ended(result, order)}
    left = [row for row in manifest.rows if row.key not in ended]
    for row in left:
        call = "generate" if row.extends is None else f"extend {row.extends}"
        fields = {"key": row.key, "line": row.line, "call": call, "prompt": row.request.prompt}
        terminal.result(f"{row.key}: {call}: {row.request.prompt}", fields)
    limit = order.limit_jobs
    no_more = "" if limit is None or limit >= len(left) else f", and {limit:,} of them paid for"
    terminal.say(
        f"{len(manifest.rows):,} rows: {len(manifest.rows) - len(left):,} have ended, "
        f"{len(left):,} would be run{no_more}."
    )
    return ExitCode.DONE


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
    client = connection.client_that_submits(max_downloads=order.max_downloads, **settings)
    async with client as luma:
        batch = Batch(
            luma,
            manifest,
            order.folder,
            max_tasks=order.max_tasks,
            limit_jobs=order.limit_jobs,
            retry_failed=order.retry_failed,
        )
        again = command(connection, order)
        terminal.take_up_all = again
        interruption = _Interruption(terminal, luma, batch)
        try:
            with interruption.handled(), terminal.meter(batch.progress, at_once=order.max_tasks):
                async for result in batch.run():
                    _tell(terminal, result)
        except asyncio.CancelledError:
            if not interruption.is_final:
                raise
            terminal.warn(f"Left at once; nothing is lost. To go on: {again}")
            return ExitCode.INTERRUPTED
        finally:
            if batch.results:
                write_gallery(
                    order.folder,
                    batch.results,
                    title=order.manifest.stem,
                    command=again,
                    settle=connection.command("settle", journal=connection.journal),
                )
    return _summed_up(terminal, batch, manifest, order, was_stopped=interruption.count > 0)


def connection_for(order: Order, base_url: str | None, journal: str | None) -> Connection:
    """Return the connection of a batch, whose journal is in its folder unless it is told.

    In one journal for everything, the keys of two spreadsheets would name the same jobs; and one
    that the environment names would be another one in another shell, and pay again.
    """
    return Connection(base_url, journal or str(order.folder / JOURNAL))


def command(connection: Connection, order: Order) -> str:
    """Return what to type to go on with a batch."""
    return connection.command(
        "batch", str(order.manifest), output=str(order.folder), journal=_said(connection, order)
    )


def _said(connection: Connection, order: Order) -> str | None:
    is_default = connection.journal == str(order.folder / JOURNAL)
    return None if is_default else connection.journal


def _is_ended(result: Result, order: Order) -> bool:
    if result.state is ResultState.DONE:
        return result.file is not None and (order.folder / result.file).is_file()
    return result.state is ResultState.FAILED and not order.retry_failed


def _tell(terminal: Terminal, result: Result) -> None:
    said: Mapping[str, Any] = {k: v for k, v in asdict(result).items() if v is not None}
    if result.state is ResultState.DONE:
        plain = "" if terminal.shows_progress else f"{result.key}: {result.file}"
    else:
        plain = f"{result.key}: {result.state}: {result.error}"
    try:
        terminal.result(plain, said)
    except BrokenPipeError:
        forget_stdout()  # nobody reads, and the batch goes on


def _summed_up(
    terminal: Terminal, batch: Batch, manifest: Manifest, order: Order, *, was_stopped: bool
) -> ExitCode:
    states = {result.key: result.state for result in batch.results}
    ours = [states.get(row.key) for row in manifest.rows]
    counts = [f"{ours.count(state):,} {state}" for state in ResultState if ours.count(state)]
    if missing := ours.count(None):
        counts.append(f"{missing:,} still to do")
    terminal.say(f"{len(ours):,} rows: {', '.join(counts)}.")
    if batch.results:
        terminal.say(f"Gallery: {order.folder / 'gallery.html'}")
    if batch.problem is not None:
        terminal.complain(batch.problem)
        nothing = batch.progress.done == 0
        return ExitCode.of([batch.problem]) if nothing else ExitCode.FAILED
    if was_stopped and missing:
        return ExitCode.INTERRUPTED
    bad = any(state is not ResultState.DONE for state in ours if state is not None)
    return ExitCode.FAILED if bad else ExitCode.DONE


class _Interruption:
    """What Ctrl-C does: once it stops submitting, twice it leaves, as the end of a service does."""

    def __init__(self, terminal: Terminal, luma: LumaClient, batch: Batch) -> None:
        self.count = 0
        self._luma = luma
        self._terminal = terminal
        self._batch = batch

    @property
    def is_final(self) -> bool:
        """Whether it leaves at once."""
        return self.count > 1

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Listen for it, where the system can."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101  this is called in a coroutine

        def leave() -> None:
            self.count += 2
            task.cancel()

        def interrupt() -> None:
            if self.count:
                leave()
                return
            self.count = 1
            self._batch.stop()
            self._luma.stop_submitting()
            running = self._batch.progress.running
            self._terminal.warn(
                f"No more is submitted; {running} running jobs are watched to their end. "
                "Ctrl-C again leaves at once."
            )

        handlers = {signal.SIGINT: interrupt, signal.SIGTERM: leave}
        before = {number: signal.getsignal(number) for number in handlers}
        try:
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
        except NotImplementedError:  # Windows: Ctrl-C leaves at once, and nothing is lost
            yield
            return
        try:
            yield
        finally:
            for number, earlier in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, earlier)
