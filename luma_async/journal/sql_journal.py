"""SQLJournal: a journal in a SQLite file or in a PostgreSQL database."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextvars import Context
from datetime import timedelta
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio.to_thread

from luma_async.concurrency import to_completion
from luma_async.errors import ConfigurationError, JournalError
from luma_async.extras import is_installed
from luma_async.journal.fingerprint import checked_key
from luma_async.journal.journal import End, Entry, EntryState
from luma_async.journal.settle_calls import SettleCalls
from luma_async.journal.shared_calls import SharedCalls
from luma_async.journal.signal_calls import SignalCalls
from luma_async.journal.sql.database_url import parse_database_url
from luma_async.journal.sql.operations import (
    Accepted,
    Claim,
    Find,
    Finish,
    Forget,
    Operation,
    Rejected,
    Uncertain,
)
from luma_async.journal.sql.sqlite_file import SQLiteFile
from luma_async.positive_numbers import check_positive
from luma_async.text_values import URLLike, unwrapped
from luma_async.transport.credentials import Secret

if TYPE_CHECKING:
    from luma_async.journal.sql.signals import OnSignal
    from luma_async.journal.sql.store import Store

_STEP = 64 * 2**10
"""Characters of exported lines after which other tasks of the event loop have their turn."""

CLOSE_TIMEOUT = 30.0
"""Seconds that pending writes may take when a journal is closed."""

_RESTARTS = 2
"""Number of times that closing is started again if all tasks of the event loop are cancelled."""


class SQLJournal(SettleCalls, SharedCalls, SignalCalls):
    """A journal at a path (SQLite) or a database URL (`postgresql://user:password@host/name`).

    >>> async with SQLJournal("jobs.db") as journal:      # doctest: +SKIP
    ...     for entry in await journal.uncertain():
    ...         print(entry.key, entry.request["prompt"], entry.reason)

    A SQLite file serves the processes of one machine, and PostgreSQL those of many. SQLite needs
    `pip install "luma-async[journal]"`, and PostgreSQL `pip install "luma-async[postgres]"`.

    A journal opens when it is first used. After `aclose()`, only `open()` and `async with` open it
    again. A relative path is resolved when the object is created. The first opening creates the
    file, with access for its owner only. From then on, a file that is missing or was replaced is an
    error.

    Args:
        place: a path or a URL; missing tables are created. libpq's parameters
            (`?sslmode=verify-full&sslrootcert=...`), environment variables and service files are
            supported; an error names those that asyncpg does not support.
        lock_timeout: seconds to wait while another program locks a SQLite file.
        owner_timeout: seconds of silence after which a process that was submitting counts as dead.
            The end of a process on the same machine is noticed at once.

    Raises:
        ConfigurationError: there can be no journal at this place, or a package is missing.

    """

    def __init__(
        self,
        place: URLLike | os.PathLike[str],
        *,
        lock_timeout: float = 5.0,
        owner_timeout: float = 30.0,
    ) -> None:
        check_positive(lock_timeout=lock_timeout, owner_timeout=owner_timeout)
        self._url = Secret(os.fsdecode(unwrapped(place)))  # it may have a password
        self._place = parse_database_url(self._url)
        self._lock_timeout = lock_timeout
        self._owner_timeout = owner_timeout
        _check_packages(self._place.dialect)
        self._store: Store | None = None
        self._closing_store: Store | None = None  # kept, because closing may be cancelled
        self._closed = False
        self._opening: asyncio.Task[Store] | None = None
        self._on_signals: list[OnSignal] = []

    @property
    def location(self) -> str:
        """Absolute path or URL of the journal, for another process. A URL may have a password."""
        return str(self._place.path) if isinstance(self._place, SQLiteFile) else str(self._url)

    @property
    def is_file(self) -> bool:
        """`True` if the journal is a SQLite file, for the processes of one machine."""
        return isinstance(self._place, SQLiteFile)

    def __repr__(self) -> str:
        return f"<SQLJournal {self._store.shown if self._store else 'not open'}>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Open the journal now: create or upgrade its tables, and check that it can be written.

        Raises:
            JournalError: the journal cannot be used; the text has the reason and the next step.

        """
        self._closed = False
        await self._opened()

    async def aclose(self, *, timeout: float = CLOSE_TIMEOUT) -> None:
        """Write the pending changes, for at most `timeout` seconds, and close the database.

        The log has the changes that could not be written by then, with the job key and id of
        each job.
        """
        self._closed = True
        until = time.monotonic() + timeout
        # Writes must not be interrupted.
        await to_completion(self._close, until, restarts=_RESTARTS)

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        """Claim a job key with an entry, and return the entry that the job key has then.

        Raises:
            JournalError: the entry could not be written.

        """
        store = await self._opened()
        current = await store.claim(Claim(entry=entry, instead_of=instead_of))
        assert current is not None  # noqa: S101  only a limit leaves a claim without an entry
        return current

    async def hold(self, entry: Entry) -> bool:
        """Return `True` if a claim is still valid, right before its submission is sent.

        This does not use the database as long as the last heartbeat of this process is recent.

        Raises:
            JournalError: the database cannot be read.

        """
        return await (await self._opened()).hold(entry)

    async def mark_accepted(self, entry: Entry, id: str) -> None:
        """Record that a job was accepted, with its id.

        Raises:
            JournalError: the id is not written yet; writing is repeated until it succeeds.

        """
        await self._write(Accepted(entry=entry, id=id))

    async def mark_rejected(self, entry: Entry, *, instead_of: Entry | None = None) -> None:
        """Remove the claim of a rejected job, and restore the entry that it replaced, if any.

        Raises:
            JournalError: the change is not written yet; writing is repeated until it succeeds.

        """
        await self._write(Rejected(entry=entry, instead_of=instead_of))

    async def mark_uncertain(self, entry: Entry, reason: str) -> None:
        """Record that a submission is uncertain: the job may have been accepted.

        Raises:
            JournalError: the change is not written yet; writing is repeated until it succeeds.

        """
        await self._write(Uncertain(entry=entry, reason=reason))

    async def finish(self, ends: Sequence[End]) -> None:
        """Record the ends of jobs; jobs that are not in the journal are ignored.

        Raises:
            JournalError: the ends are not written yet; writing is repeated until it succeeds.

        """
        await self._write(Finish(ends=ends))

    async def mark_forgotten(self, server: str, ids: Sequence[str], *, forgotten: bool) -> None:
        """Record that running jobs of a server are forgotten, or that they are not any more.

        Raises:
            JournalError: the marks are not written yet; writing is repeated until it succeeds.

        """
        await self._write(Forget(server=server, ids=ids, forgotten=forgotten))

    async def find(self, key: str) -> Entry | None:
        """Return the entry with this job key, or `None`.

        Raises:
            InvalidRequestError: the key is not valid.
            JournalError: the journal could not be read.

        """
        operation = Find(key=checked_key(key))
        store = await self._opened()
        found: Entry | None = await store.commits.put(operation)
        return found

    async def states(self) -> Mapping[str, EntryState]:
        """Return the state of each job key.

        Raises:
            JournalError: the journal could not be read.

        """
        return dict(await self._query("states"))

    async def unfinished(self, server: str) -> list[Entry]:
        """Return the running jobs of the server with this base URL, oldest first.

        The forgotten ones are among them.

        Raises:
            JournalError: the journal could not be read.

        """
        return await self._entries(EntryState.RUNNING, server=server)

    async def uncertain(self) -> list[Entry]:
        """Return the jobs that may have been accepted, oldest first; `settle()` settles them.

        If a process of another machine was submitting and is silent, this takes half of
        `owner_timeout`, to be sure that the process is dead.

        Raises:
            JournalError: the journal could not be read.

        """
        store = await self._opened()
        return await store.read_decided(lambda: self._entries(EntryState.UNCERTAIN))

    async def purge(self, older_than: timedelta | float) -> int:
        """Delete the jobs that ended more than `older_than` (seconds) ago, and return their number.

        Running and uncertain jobs remain. The job key of a deleted job is free: a call with it
        submits the job again. Files that were uploaded before are forgotten, which only means that
        a later process uploads them again.

        Raises:
            JournalError: the change could not be written.

        """
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        return int(await self._query("purge", time.time() - age))

    async def export(self) -> AsyncGenerator[str, None]:
        """Yield each job as one line of JSON, without a line break, oldest first.

        Raises:
            JournalError: the journal could not be read.

        """
        from luma_async.journal.sql.row_mapping import line_of  # noqa: PLC0415  the extra may be missing

        since_turn = 0
        async for page in (await self._opened()).pages():
            for entry in page:
                line = line_of(entry)
                yield line
                since_turn += len(line)
                if since_turn > _STEP:
                    since_turn = 0
                    await asyncio.sleep(0)

    async def newest(
        self, limit: int, *, state: EntryState | None = None
    ) -> tuple[list[Entry], int]:
        """Return the newest entries, newest first, and the number of all.

        Args:
            limit: maximum number of entries to return.
            state: return and count only entries in this state.

        Raises:
            JournalError: the journal could not be read.

        """
        return await (await self._opened()).newest(limit, state)

    async def learned(self, server: str) -> Mapping[str, Any]:
        """Return the learned durations of the jobs of a server, for `AdaptiveSchedule.recall()`.

        Raises:
            JournalError: the journal could not be read.

        """
        return dict(await self._query("learned", server))

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        """Store the learned durations of the jobs of a server.

        Raises:
            JournalError: the durations could not be written.

        """
        await self._query("keep_learned", server, learned)

    async def find_file(self, server: str, sha256: str) -> str | None:
        """Return the id of the file with this SHA-256 at a server, if one was uploaded.

        Raises:
            JournalError: the journal could not be read.

        """
        found: str | None = await self._query("find_file", server, sha256)
        return found

    async def remember_file(self, server: str, sha256: str, id: str) -> None:
        """Store the id of an uploaded file, in place of that of an earlier one.

        Raises:
            JournalError: the id could not be written.

        """
        await self._query("remember_file", server, sha256, id)

    async def _write(self, operation: Operation) -> None:
        if self._closed:
            # This concerns a job that may be paid for, so the journal is opened once more.
            await to_completion(self._write_late, operation, restarts=_RESTARTS)
        else:
            await (await self._opened()).commits.put(operation)

    async def _write_late(self, operation: Operation) -> None:
        store = await self._open_store()
        try:
            await store.commits.put(operation)
        finally:
            await to_completion(partial(store.aclose, within=CLOSE_TIMEOUT), restarts=_RESTARTS)

    async def _query(self, name: str, *arguments: Any) -> Any:
        store = await self._opened()
        # The queries are loaded with the store. At the top of the file, an extra may be missing.
        queries = import_module("luma_async.journal.sql.queries")
        return await store.run(getattr(queries, name), *arguments)

    async def _entries(self, state: EntryState, server: str | None = None) -> list[Entry]:
        store = await self._opened()
        return [entry async for page in store.pages(state, server=server) for entry in page]

    async def _opened(self) -> Store:
        while self._store is None:
            if self._closed:
                raise JournalError("The journal is closed: open() opens it again.")
            opening = self._opening
            if opening is None:
                # The store outlives the caller that opens it, so it does not keep its variables.
                opening = asyncio.create_task(
                    self._open_store(), name="luma-async opening", context=Context()
                )
                opening.add_done_callback(self._opening_ended)
                self._opening = opening
            await asyncio.wait([opening])
            if not opening.cancelled():  # with all other tasks, and not by this caller
                return opening.result()
        if self._store.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "This journal is open in another event loop. Close it there, or create one "
                "for each asyncio.run()."
            )
        return self._store

    async def _open_store(self) -> Store:
        # Loading SQLAlchemy takes too long for the event loop.
        load = partial(import_module, "luma_async.journal.sql.store")
        module = await anyio.to_thread.run_sync(load)
        store: Store = module.Store(
            self._place,
            lock_timeout=self._lock_timeout,
            owner_timeout=self._owner_timeout,
            on_signals=self._on_signals,
        )
        await store.open()
        return store

    def _opening_ended(self, opening: asyncio.Task[Store]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._store = opening.result()
            self._store.signals.resume()

    async def _close(self, until: float) -> None:
        if (opening := self._opening) is not None:
            await asyncio.wait([opening], timeout=max(until - time.monotonic(), 0))
            opening.cancel()
            await asyncio.wait([opening], timeout=1.0)
        if self._store is not None:
            self._closing_store, self._store = self._store, None
        if self._closing_store is not None:
            await self._closing_store.aclose(within=max(until - time.monotonic(), 0))
            self._closing_store = None


def _check_packages(dialect: str) -> None:
    needed = {"sqlalchemy": "journal", "greenlet": "journal"}
    needed |= {"asyncpg": "postgres"} if dialect == "postgresql" else {"aiosqlite": "journal"}
    for package, extra in needed.items():
        if not is_installed(package):
            raise ConfigurationError(
                f'The journal needs {package}: pip install "luma-async[{extra}]"'
            )
