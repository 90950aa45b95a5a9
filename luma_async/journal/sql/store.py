"""Store: the open database of a journal."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.concurrency import Worker
from luma_async.errors import JournalError
from luma_async.journal.journal import Entry, EntryState
from luma_async.journal.sql import engine, owner, queries
from luma_async.journal.sql.connections import BrokenOffError, Connections
from luma_async.journal.sql.error_explanations import Unusable, explain
from luma_async.journal.sql.group_commit import GroupCommit
from luma_async.journal.sql.heartbeats import Heartbeats
from luma_async.journal.sql.location import Place
from luma_async.journal.sql.operations import Beat, Change, Claim, Finish, Hold, Operation
from luma_async.journal.sql.schema import migrate
from luma_async.journal.sql.transactions import Transactions

T = TypeVar("T")

_PAGE = 100
"""Number of rows to read at a time. Creating more entries at once would block the event loop."""

_CLASHES = 3
"""Number of times that a transaction is repeated if another one interferes."""

_LONGEST_ANSWER = 15.0
"""Seconds that a transaction on a PostgreSQL server may take, network included."""

_LOCK_STEP = 0.5
"""Seconds that SQLite itself waits for a lock. It waits in a thread that cannot be interrupted, so
the rest of `lock_timeout` is waited for here."""


class Store:
    """Open database behind a `SQLJournal`, from `open()` to `aclose()`.

    All work on the database is done in asyncio tasks of its own, so a cancelled caller interrupts
    nothing. While a submission is under way, the heartbeat of its owner is written five times in
    each `owner_timeout`. Otherwise only requested changes are written.
    """

    def __init__(self, place: Place, *, lock_timeout: float, owner_timeout: float) -> None:
        self.shown = place.shown
        self.loop = asyncio.get_running_loop()
        self._place = place
        self._dialect = place.dialect
        self._lock_timeout = lock_timeout
        self._connections = Connections(
            engine.connect(place, timeout=min(lock_timeout, _LOCK_STEP)),
            limit=math.inf if self._dialect == "sqlite" else _LONGEST_ANSWER,
        )
        self._owner = uuid.uuid4().hex
        self._under_way: set[str] = set()
        self._heartbeats = Heartbeats(owner_timeout)
        self._transactions = Transactions(
            self._owner, self._heartbeats, self._dialect, self._under_way
        )
        self._owner_timeout = owner_timeout
        self._beat_every = owner_timeout / 5
        self._beaten_at = -math.inf
        self._last_beat: asyncio.Future[Any] | None = None
        self._all_over = asyncio.Event()
        self._heart = Worker(
            "luma-async journal heartbeat", self._beat, lambda: bool(self._under_way)
        )
        self._commits = GroupCommit(self._commit, is_trouble=_is_trouble, explain=self._explained)
        self._apart: set[asyncio.Task[Any]] = set()

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

        owner.enter(self._owner)
        try:
            await self._look(self._place.prepare)
            await self.run(open_on)
            await self._look(self._place.opened)
        except BaseException:
            owner.leave(self._owner)
            await self._connections.aclose(is_sound=False)
            raise

    async def aclose(self, *, within: float = math.inf) -> None:
        """Write the pending changes, for at most `within` seconds, and close the database.

        The log has each job with a change that could not be written.
        """
        is_sound = False
        try:
            await self._commits.aclose(within=within)
            await self._heart.stop()
            is_sound = not self._commits.is_failing
            if self._apart:
                await asyncio.wait(self._apart, timeout=_LOCK_STEP)
            if self._beaten_at > -math.inf and is_sound:
                with suppress(JournalError, TimeoutError):  # the silence will show it
                    async with asyncio.timeout(_LOCK_STEP):
                        await self.run(self._transactions.leave)
        finally:
            owner.leave(self._owner)
            await self._connections.aclose(is_sound=is_sound)

    async def do(self, operation: Operation) -> Any:
        """Run an operation together with others, and return its result once it is durable.

        Raises:
            JournalError: the operation failed.

        """
        if isinstance(operation, Claim):
            return await self._claim(operation)
        return await self._commits.put(operation)

    async def hold(self, entry: Entry) -> bool:
        """Return `True` if a claim of this owner is still valid, and keep it valid.

        The database is not asked while the last heartbeat is too recent for this owner to count as
        dead.

        Raises:
            JournalError: the database cannot be read.

        """
        if owner.running_time() - self._beaten_at < self._owner_timeout / 2:
            return True
        is_valid: bool = await self._commits.put(Hold(entry=entry))
        if not is_valid:
            self._over(entry.claim)
        return is_valid

    async def decided(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read entries, and read them again when it is known if silent owners are dead."""
        self._heartbeats.decided_in()
        result = await read()
        if (pause := self._heartbeats.decided_in()) > 0:
            await asyncio.sleep(pause)
            result = await read()
        return result

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a function in a transaction of its own.

        Raises:
            JournalError: the transaction failed.

        """
        task = asyncio.create_task(self._run(work), name="luma-async journal query")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def pages(
        self, *states: EntryState, server: str | None = None
    ) -> AsyncIterator[list[Entry]]:
        """Yield the entries in some states, or all entries, oldest first, in pages."""
        # Reading makes entries of dead submitters uncertain, so these are read as well.
        looked_at = (*states, EntryState.SUBMITTING) if states else ()
        keys = await self.run(lambda connection: queries.keys(connection, looked_at))
        for start in range(0, len(keys), _PAGE):
            where = queries.under(keys[start : start + _PAGE])
            found = await self.run(lambda connection: self._transactions.read(connection, where))  # noqa: B023
            yield [
                entry
                for entry in found
                if (not states or entry.state in states) and server in (None, entry.server)
            ]

    async def _look(self, look: Callable[[], None]) -> None:
        """Run a check of the location in a thread, because a disk or a network may be slow."""
        try:
            await anyio.to_thread.run_sync(look)
        except (OSError, Unusable) as error:
            explained = self._explained(error)
        else:
            return
        raise explained

    async def _claim(self, operation: Claim) -> Entry:
        claim = operation.entry.claim
        self._under_way.add(claim)
        self._all_over.clear()
        self._heart.wake()
        try:
            current: Entry = await self._commits.put(operation)
        except BaseException:
            # The claim may have been written all the same. It has ended when it is removed.
            back = Change(
                to="refused",
                entry=operation.entry,
                instead_of=operation.instead_of,
                must_land=True,
                is_tidying=True,
            )
            self._commits.put(back)
            raise
        if current.claim != claim:
            self._over(claim)
        return current

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            self._place.check()
            return await self._patiently(lambda: self._connections.run(work))
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            explained = self._explained(error)
        raise explained

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Repeat a function while another program keeps a SQLite file locked, up to the timeout."""
        until = self.loop.time() + self._lock_timeout
        while True:
            try:
                return await work()
            except Exception as error:
                if not engine.is_locked(error) or self.loop.time() >= until:
                    raise
            self._connections.forget_thrown_away()

    async def _commit(self, group: Sequence[Operation]) -> Mapping[Operation, Any]:
        began = owner.running_time()
        if any(isinstance(operation, Claim) for operation in group) and self._is_silent():
            group = [Beat(), *group]
        results: dict[Operation, Any] = {}
        for part in self._parts(group):
            results |= await self._commit_part(part)
        if any(isinstance(operation, Beat | Hold) for operation in group):
            self._beaten_at = began
        for operation in group:
            if isinstance(operation, Change):
                self._over(operation.entry.claim)
        return results

    def _parts(self, group: Sequence[Operation]) -> Iterator[list[Operation]]:
        """Yield the operations of a group in parts, each for a transaction of its own.

        In PostgreSQL, a claim waits for any transaction that changes the existing row of its key.
        If that transaction could wait for a claim in turn, the two would deadlock.
        """
        if self._dialect == "sqlite":  # which has one writer at a time
            yield list(group)
            return
        changes: list[Operation] = [each for each in group if isinstance(each, Change | Finish)]
        others = [each for each in group if not isinstance(each, Change | Finish)]
        yield from (part for part in (changes, others) if part)

    async def _commit_part(self, part: Sequence[Operation]) -> Mapping[Operation, Any]:
        """Commit operations, and repeat the transaction if that may be enough after an error.

        Writes that a failed try has made after all do not affect the next one.
        """
        was_open = self._connections.has_writer
        for _ in range(_CLASHES):
            try:
                return await self._patiently(lambda: self._commit_once(part))
            except Exception as error:
                is_stale = was_open and engine.is_lost(error)
                if not (is_stale or engine.is_clash(error)):
                    raise
                was_open = False
        return await self._commit_once(part)

    async def _commit_once(self, part: Sequence[Operation]) -> Mapping[Operation, Any]:
        self._place.check()
        return await self._connections.write(
            lambda connection: self._transactions.run(connection, part)
        )

    def _is_silent(self) -> bool:
        return owner.running_time() - self._beaten_at > self._beat_every

    def _over(self, claim: str) -> None:
        """Record that a claim has ended, with any outcome."""
        self._under_way.discard(claim)
        if not self._under_way:
            self._all_over.set()

    async def _beat(self) -> None:
        """Wait until all claims have ended, and queue a heartbeat if that takes time.

        When all asyncio tasks are cancelled, they are waited for only once. This task must
        therefore not end before the writer has.
        """
        try:
            async with asyncio.timeout(self._beat_every):
                await self._all_over.wait()
        except TimeoutError:
            if self._last_beat is None or self._last_beat.done():
                self._last_beat = self._commits.put(Beat())
            return
        with suppress(TimeoutError):  # an operation that is kept apart may never succeed
            async with asyncio.timeout(self._beat_every):
                await self._commits.idle()
        await asyncio.sleep(0)

    def _explained(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self.shown} cannot be used: {explain(error)}.")


def _is_trouble(error: Exception) -> bool:
    return isinstance(error, BrokenOffError) or engine.is_trouble(error)
