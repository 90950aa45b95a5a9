"""SQLJournal: the journal in a SQLite file, or in a PostgreSQL database."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio.to_thread

from luma_async.errors import ConfigurationError, InvalidRequestError, JournalError
from luma_async.journal.entry import End, Entry, EntryState
from luma_async.journal.operations import Change, Claim, Find, Finish, Operation

if TYPE_CHECKING:
    from luma_async.journal.store import Store


class SQLJournal:
    """A journal at a path (SQLite) or a database URL (`postgresql://user:password@host/name`).

    >>> async with SQLJournal("jobs.db") as journal:      # doctest: +SKIP
    ...     for entry in await journal.uncertain():
    ...         print(entry.key, entry.request["prompt"], entry.reason)

    A file serves the processes of one machine, PostgreSQL those of many. It is opened when it is
    first used, and after it was closed by `open()` or `async with` only. SQLite needs
    `pip install 'luma-async[journal]'`, PostgreSQL `pip install 'luma-async[postgres]'`.

    Args:
        place: a path or a URL; the tables are made if they are missing.
        lock_timeout: seconds to wait while another program locks a SQLite file.
        owner_timeout: seconds of silence after which a process that was submitting counts as dead.
            On its own machine that is seen at once.

    Raises:
        ConfigurationError: the place is none, or a package is missing.

    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        lock_timeout: float = 5.0,
        owner_timeout: float = 30.0,
    ) -> None:
        for name, seconds in (("lock_timeout", lock_timeout), ("owner_timeout", owner_timeout)):
            if not seconds > 0:
                raise ConfigurationError(f"{name} must be above 0, not {seconds!r}.")
        self._place = os.fspath(place)
        self._lock_timeout = lock_timeout
        self._owner_timeout = owner_timeout
        _check_packages(self._place)
        self._store: Store | None = None
        self._closed = False
        self._opening = asyncio.Lock()

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
        """Open it now: make or update its tables, and look whether it can be written.

        Raises:
            JournalError: it cannot be used; the text says why, and what to do.

        """
        self._closed = False
        await self._opened()

    async def aclose(self) -> None:
        """Write what is still to be written, and close the database."""
        self._closed = True
        store, self._store = self._store, None
        if store is not None:
            closing = asyncio.create_task(store.aclose(), name="luma-async journal closing")
            closing.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.shield(closing)  # what is written must not be cut off

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        """Write an entry that is `submitting`, and return what stands under its key then.

        Raises:
            JournalError: it could not be written.

        """
        return await self._do(Claim(entry=entry, instead_of=instead_of)) or entry

    async def taken(self, entry: Entry, id: str) -> None:
        """Write down the id of a job that was submitted.

        Raises:
            JournalError: it is not written yet; that is tried on until it is.

        """
        await self._do(Change(to="taken", entry=entry, id=id, must_land=True))

    async def refused(self, entry: Entry) -> None:
        """Take back a claim: the job was not taken. What it replaced stands there again.

        Raises:
            JournalError: it is not written yet; that is tried on until it is.

        """
        await self._do(Change(to="refused", entry=entry, must_land=True))

    async def unclear(self, entry: Entry, reason: str) -> None:
        """Write down that nobody knows whether a job was taken.

        Raises:
            JournalError: it is not written yet; that is tried on until it is.

        """
        await self._do(Change(to="unclear", entry=entry, reason=reason, must_land=True))

    async def finish(self, ends: Sequence[End]) -> None:
        """Write down how jobs ended; those that are not in here are passed over.

        Raises:
            JournalError: it is not written yet; that is tried on until it is.

        """
        await self._do(Finish(ends=ends, must_land=True))

    async def find(self, key: str) -> Entry | None:
        """Return what stands under a key.

        Raises:
            JournalError: it could not be read.

        """
        found: Entry | None = await self._do(Find(key=key))
        return found

    async def unfinished(self, server: str) -> list[Entry]:
        """Return the running jobs of the server with this base URL, the oldest first.

        Raises:
            JournalError: it could not be read.

        """
        return await (await self._opened()).entries(EntryState.RUNNING, server=server)

    async def uncertain(self) -> list[Entry]:
        """Return the jobs that may have been taken, the oldest first; `settle()` settles them.

        Raises:
            JournalError: it could not be read.

        """
        return await (await self._opened()).entries(EntryState.UNCERTAIN)

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        """Say what became of an uncertain job, as your gateway's list of tasks tells it.

        With its `id` it is running from now on: `LumaClient.resume()`, or asking for it under its
        key, watches it. With `resubmit=True` its key is free: asking for it submits it anew.

        Raises:
            InvalidRequestError: neither of the two was said, or both were.
            JournalError: there is no uncertain job under this key.

        """
        if (id is None) is not resubmit:
            raise InvalidRequestError.of("settle", "say either id='...' or resubmit=True")
        if id is not None and not id.strip():
            raise InvalidRequestError.of("id", f"{id!r} names no task")
        store = await self._opened()
        entry = await self.find(key)
        if entry is None or entry.state is not EntryState.UNCERTAIN:
            stands = "is not there" if entry is None else f"is {entry.state}"
            raise JournalError(f"Nothing to settle: {key!r} {stands} in the journal {store.shown}.")
        if not await store.settle(entry, id, time.time()):
            raise JournalError(f"{key!r} was settled by somebody else meanwhile.")

    async def purge(self, older_than: timedelta | float) -> int:
        """Delete the jobs that ended longer ago than that (seconds), and return how many.

        Running and uncertain jobs stay. A key that is deleted is free: asked for again, it is
        submitted again.

        Raises:
            JournalError: it could not be written.

        """
        age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
        return await (await self._opened()).purge(time.time() - age)

    async def export(self) -> AsyncGenerator[str, None]:
        """Yield each job as a line of JSON, without a line break, the oldest first.

        Raises:
            JournalError: it could not be read.

        """
        from luma_async.journal.rows import line_of  # noqa: PLC0415  the extra may be missing

        async for entry in (await self._opened()).every_entry():
            yield line_of(entry)

    async def learned(self, server: str) -> Mapping[str, Any]:
        """Return what was kept of how long a server's jobs take, as `AdaptiveSchedule` learns it.

        Raises:
            JournalError: it could not be read.

        """
        return await (await self._opened()).learned(server)

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        """Keep how long a server's jobs take.

        Raises:
            JournalError: it could not be written.

        """
        await (await self._opened()).keep_learned(server, learned)

    async def _do(self, operation: Operation) -> Any:
        return await (await self._opened()).do(operation)

    async def _opened(self) -> Store:
        if self._store is not None:
            return self._store
        async with self._opening:
            if self._closed:
                raise JournalError("The journal is closed: open() opens it again.")
            if self._store is None:
                # Loading SQLAlchemy takes too long for the event loop.
                module = await anyio.to_thread.run_sync(import_module, "luma_async.journal.store")
                store: Store = module.Store(
                    self._place,
                    lock_timeout=self._lock_timeout,
                    owner_timeout=self._owner_timeout,
                )
                await store.open()
                self._store = store
            return self._store


def _check_packages(place: str) -> None:
    is_postgres = place.startswith(("postgresql", "postgres:"))
    needed = {"sqlalchemy": "journal", "greenlet": "journal"}
    needed |= {"asyncpg": "postgres"} if is_postgres else {"aiosqlite": "journal"}
    for package, extra in needed.items():
        if find_spec(package) is None:
            raise ConfigurationError(
                f"The journal needs {package}: pip install 'luma-async[{extra}]'"
            )
