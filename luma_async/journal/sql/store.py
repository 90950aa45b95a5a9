"""Store: the open database of a journal."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.concurrency import Worker
from luma_async.errors import JournalError
from luma_async.journal.journal import Entry, EntryState
from luma_async.journal.sql import engine, queries, row_mapping
from luma_async.journal.sql.connections import Connections
from luma_async.journal.sql.database_url import Database
from luma_async.journal.sql.error_explanations import UnusableError
from luma_async.journal.sql.group_commit import GroupCommit
from luma_async.journal.sql.operations import Beat, Claim, Hold, Lease, Withdrawn
from luma_async.journal.sql.owner import DeadOwners, Owner, running_time
from luma_async.journal.sql.postgres_listener import PostgresListener
from luma_async.journal.sql.schema import migrate
from luma_async.journal.sql.signals import OnSignal, Receive, SendProbe, SignalListener, Signals
from luma_async.journal.sql.sqlite_file import SQLiteFile
from luma_async.journal.sql.sqlite_listener import SQLiteListener
from luma_async.journal.sql.transactions import Transactions

T = TypeVar("T")

_PAGE = 100
"""Number of rows to read at a time. Creating more entries at once would block the event loop."""

_BUSY_TIMEOUT = 0.5
"""Seconds that SQLite itself waits for a lock. It waits in a thread that cannot be interrupted, so
`Connections` waits for the rest of `lock_timeout`."""


class Store:
    """Open database behind a `SQLJournal`, from `open()` to `aclose()`.

    All work on the database is done in asyncio tasks of its own, so a cancelled caller interrupts
    nothing. While a submission is under way, or a job is watched, the heartbeat of this owner is
    written every few seconds. Otherwise only requested changes are written.

    A transaction on a PostgreSQL server may take `server_timeout` seconds, network included.
    `on_signals` are the functions that listen to signals.
    """

    def __init__(
        self,
        place: Database,
        *,
        lock_timeout: float,
        owner_timeout: float,
        server_timeout: float = 15.0,
        on_signals: list[OnSignal] | None = None,
    ) -> None:
        self.shown = place.shown
        self.loop = asyncio.get_running_loop()
        self._place = place
        self._connections = Connections(
            engine.connect(place, timeout=min(lock_timeout, _BUSY_TIMEOUT)),
            place.check,
            lock_timeout=lock_timeout,
            transaction_timeout=math.inf if place.dialect == "sqlite" else server_timeout,
        )
        self._owner = Owner(owner_timeout)
        self._dead_owners = DeadOwners(owner_timeout)
        self._transactions = Transactions(
            self._connections,
            self._owner,
            self._dead_owners,
            dialect=place.dialect,
            shown=place.shown,
        )
        self.commits = GroupCommit(self._transactions.commit)
        self._heart = Worker(
            "luma-async journal heartbeat",
            self._beat,
            lambda: bool(self._owner.claims or self._owner.leases),
        )
        self._last_beat: asyncio.Future[Any] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self.signals = Signals(
            self._owner.id,
            partial(self.run, queries.send_signals),
            self._new_listener,
            [] if on_signals is None else on_signals,
        )

    async def open(self) -> None:
        """Open the database, and check it. After an error, nothing stays open.

        Raises:
            ConfigurationError: a file in the URL cannot be read.
            JournalError: the database cannot be used.

        """

        def check(connection: Connection) -> None:
            engine.check_for_damage(connection, self._place)
            migrate(connection)

        async def open_on(connection: AsyncConnection) -> None:
            await connection.run_sync(check)
            await queries.forget_owners(connection)
            await self._transactions.beat(connection)  # check that the journal can be written
            await self._transactions.leave(connection)

        self._owner.enter()
        try:
            await self._in_thread(self._place.prepare)
            await self.run(open_on)
            await self._in_thread(self._place.mark_opened)
        except BaseException:
            self._owner.leave()
            await self._connections.aclose(is_sound=False)
            raise

    async def aclose(self, *, within: float = math.inf) -> None:
        """Write the pending changes, for at most `within` seconds, and close the database.

        The log has each job with a change that could not be written.
        """
        is_sound = False
        try:
            await self.commits.aclose(within=within)
            await self._heart.stop()
            await self.signals.aclose(within=min(within, _BUSY_TIMEOUT))
            is_sound = not self.commits.is_failing
            if self._running:
                await asyncio.wait(self._running, timeout=_BUSY_TIMEOUT)
            if self._owner.last_beat > -math.inf and is_sound:
                with suppress(JournalError, TimeoutError):  # its silence will show that it left
                    async with asyncio.timeout(_BUSY_TIMEOUT):
                        await self.run(self._transactions.leave)
        finally:
            self._owner.leave()
            await self._connections.aclose(is_sound=is_sound)

    async def claim(self, claim: Claim) -> Entry | None:
        """Write an entry, unless its key has another one; return the entry that the key has then.

        While a claim has no outcome yet, heartbeats keep it valid. Return `None` if the limit of
        the claim is reached.

        Raises:
            JournalError: the entry could not be written.

        """
        entry = claim.entry
        self._owner.add(entry.claim)
        self._heart.wake()
        try:
            current: Entry | None = await self.commits.put(claim)
        except BaseException:
            # The claim may have been written all the same. It has ended when it is removed.
            self.commits.put(Withdrawn(entry=entry, instead_of=claim.instead_of))
            raise
        if current is None or current.claim != entry.claim:
            self._owner.remove(entry.claim)
        return current

    async def hold(self, entry: Entry) -> bool:
        """Return `True` if a claim of this owner is still valid, and keep it valid.

        The database is not asked while the last heartbeat is too recent for this owner to count as
        dead.

        Raises:
            JournalError: the database cannot be read.

        """
        if running_time() - self._owner.last_beat < self._owner.timeout / 2:
            return True
        is_valid: bool = await self.commits.put(Hold(entry=entry))
        if not is_valid:
            self._owner.remove(entry.claim)
        return is_valid

    async def lease(self, entries: Sequence[Entry]) -> AbstractSet[str]:
        """Let this owner watch running jobs, and return the claims of those that it watches then.

        Raises:
            JournalError: the leases could not be written.

        """
        # Without a heartbeat, this owner would count as dead.
        await self.attend(within=self._owner.beat_every)
        won: AbstractSet[str] = await self.commits.put(Lease(entries=entries))
        for entry in entries:
            if entry.claim in won and entry.id is not None:
                self._owner.add_lease(entry.id)
        self._heart.wake()
        return won

    async def attend(self, *, within: float = math.inf) -> None:
        """Record that this owner is there, so that other processes send it their changes.

        Nothing is written if that was recorded within the last `within` seconds.

        Raises:
            JournalError: this could not be written.

        """
        if running_time() - self._owner.last_beat > within or self._owner.last_beat == -math.inf:
            await self.commits.put(Beat())

    async def read_decided(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read entries, and read them again when it is known if silent owners are dead."""
        self._dead_owners.undecided_for()
        result = await read()
        if (pause := self._dead_owners.undecided_for()) > 0:
            await asyncio.sleep(pause)
            result = await read()
        return result

    async def run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run `work(connection, *arguments)` in a transaction of its own.

        Raises:
            JournalError: the transaction failed.

        """
        task = asyncio.create_task(self._run(work, arguments), name="luma-async journal query")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def pages(
        self, *states: EntryState, server: str | None = None
    ) -> AsyncIterator[list[Entry]]:
        """Yield the entries in some states, or all entries, oldest first, in pages."""
        # Reading makes entries of dead submitters uncertain, so these are read as well.
        read_states = (*states, EntryState.SUBMITTING) if states else ()
        keys = await self.run(queries.keys, read_states)
        async for found in self._read(keys):
            yield [
                entry
                for entry in found
                if (not states or entry.state in states) and server in (None, entry.server)
            ]

    async def find_jobs(self, server: str, ids: Sequence[str]) -> list[Entry]:
        """Return the entries of the jobs of a server with these ids."""
        keys = await self.run(queries.keys_of_ids, server, ids)
        return [entry async for page in self._read(keys) for entry in page]

    async def watched_elsewhere(self, server: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return the ids of the jobs of a server that other live processes watch until they end."""

        async def read(connection: AsyncConnection) -> set[str]:
            dead = await self._transactions.dead_watchers(connection, server)
            cleaned = map(row_mapping.clean, ids)
            not_by = [*dead, self._owner.id]
            return await queries.watched_ids(connection, server, cleaned, not_by)

        watched = await self.run(read)
        return {id for id in ids if row_mapping.clean(id) in watched}

    async def unwatched(self, server: str) -> list[Entry]:
        """Return the running jobs of a server that no live process watches, oldest first."""
        dead = await self.run(self._transactions.dead_watchers, server)
        if not dead:
            return []
        keys = await self.run(queries.keys_of_owners, server, dead)
        return [
            entry
            async for page in self._read(keys)
            for entry in page
            if entry.state is EntryState.RUNNING and not entry.is_watched_elsewhere
        ]

    async def newest(self, limit: int, state: EntryState | None) -> tuple[list[Entry], int]:
        """Return the newest entries in a state, or of all, newest first, and their number."""
        # Reading makes entries of dead submitters uncertain, so these are read first.
        async for _ in self.pages(EntryState.SUBMITTING):
            pass
        keys, found = await self.run(queries.newest_keys, limit, state)
        return [entry async for page in self._read(keys) for entry in reversed(page)], found

    async def _read(self, keys: Sequence[str]) -> AsyncIterator[list[Entry]]:
        """Yield the entries with these keys, in pages."""
        for start in range(0, len(keys), _PAGE):
            page = queries.has_key(keys[start : start + _PAGE])
            yield await self.run(self._transactions.read, page)

    async def _run(self, work: Callable[..., Awaitable[T]], arguments: tuple[Any, ...]) -> T:
        try:
            return await self._connections.run(work, *arguments)
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            self._transactions.note_failure(error)
            explained = self._transactions.error_for(error)
        raise explained  # outside of the handler, because its context would keep cursors alive

    def _new_listener(self, receive: Receive, send_probe: SendProbe) -> SignalListener:
        if isinstance(self._place, SQLiteFile):
            return SQLiteListener(self._place, receive)
        return PostgresListener(self._place, receive, send_probe)

    async def _in_thread(self, step: Callable[[], None]) -> None:
        """Run a step of opening in a thread, because a disk or a network may be slow."""
        try:
            await anyio.to_thread.run_sync(step)
        except (OSError, UnusableError) as error:
            explained = self._transactions.error_for(error)
        else:
            return
        raise explained

    async def _beat(self) -> None:
        """Wait until all claims and leases have ended, and queue a heartbeat if that takes time.

        When all asyncio tasks are cancelled, they are waited for only once. This task must
        therefore not end before the writer has.
        """
        try:
            async with asyncio.timeout(self._owner.beat_every):
                await self._owner.idle.wait()
        except TimeoutError:
            if self._last_beat is None or self._last_beat.done():
                self._last_beat = self.commits.put(Beat())
            return
        with suppress(TimeoutError):  # an isolated operation may never succeed
            async with asyncio.timeout(self._owner.beat_every):
                await self.commits.idle()
        await asyncio.sleep(0)
