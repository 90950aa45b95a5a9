"""Store: a journal's open database."""

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

from luma_async.errors import JournalError
from luma_async.journal import database, owner, queries
from luma_async.journal.commits import GroupCommit
from luma_async.journal.connections import BrokenOffError, Connections
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.explanations import explain
from luma_async.journal.heartbeats import Heartbeats
from luma_async.journal.operations import Beat, Change, Claim, Finish, Hold, Operation
from luma_async.journal.place import Place
from luma_async.journal.schema import migrate
from luma_async.journal.transaction import Transactions
from luma_async.journal.unusable import Unusable
from luma_async.journal.worker import Worker

T = TypeVar("T")

_PAGE = 100
"""Rows that are read at a time: making entries of more would hold the event loop."""

_CLASHES = 3
"""How often a transaction that another one got in the way of is begun again."""

_LONGEST_ANSWER = 15.0
"""Seconds that a transaction may take at a PostgreSQL server, the way there included."""

_LOCK_STEP = 0.5
"""Seconds that SQLite itself waits for a lock. It does so in a thread that nobody can end, so the
rest of `lock_timeout` is waited here."""


class Store:
    """What `SQLJournal` does its work with, from `open()` to `aclose()`.

    Whatever is done with the database is done in asyncio tasks of its own: a cancelled caller cuts
    nothing off. While a submission is under way its owner's heartbeat is written five times in
    each `owner_timeout`; otherwise nothing is written that was not asked for.
    """

    def __init__(self, place: Place, *, lock_timeout: float, owner_timeout: float) -> None:
        self.shown = place.shown
        self.loop = asyncio.get_running_loop()
        self._place = place
        self._dialect = place.dialect
        self._lock_timeout = lock_timeout
        self._connections = Connections(
            database.connect(place, timeout=min(lock_timeout, _LOCK_STEP)),
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
        """Make it ready, and look that it is whole; if it is not, nothing stays open.

        Raises:
            ConfigurationError: a file that the URL names cannot be read.
            JournalError: it cannot be used.

        """

        def check(connection: Connection) -> None:
            database.check_for_damage(connection, self._place)
            migrate(connection)

        async def open_on(connection: AsyncConnection) -> None:
            await connection.run_sync(check)
            await queries.forget_owners(connection)
            await self._transactions.beat(connection)  # a journal must take what is written
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
        """Write what is still to be written, for at most so many seconds, and close the database.

        The log tells of each job that something could not be written of.
        """
        is_sound = False
        try:
            await self._commits.aclose(within=within)
            await self._heart.stop()
            is_sound = not self._commits.is_failing
            if self._apart:
                await asyncio.wait(self._apart, timeout=_LOCK_STEP)
            if self._beaten_at > -math.inf and is_sound:
                with suppress(JournalError, TimeoutError):  # the silence will tell
                    async with asyncio.timeout(_LOCK_STEP):
                        await self.run(self._transactions.leave)
        finally:
            owner.leave(self._owner)
            await self._connections.aclose(is_sound=is_sound)

    async def do(self, operation: Operation) -> Any:
        """Have an operation done together with others, and return its result once it is durable.

        Raises:
            JournalError: it could not be done.

        """
        if isinstance(operation, Claim):
            return await self._claim(operation)
        return await self._commits.put(operation)

    async def hold(self, entry: Entry) -> bool:
        """Return whether a claim of this owner still stands, and if it does see to it that it will.

        It need not be asked for while nobody can believe that this owner is dead.

        Raises:
            JournalError: the database cannot be asked.

        """
        if owner.running_time() - self._beaten_at < self._owner_timeout / 2:
            return True
        stands: bool = await self._commits.put(Hold(entry=entry))
        if not stands:
            self._over(entry.claim)
        return stands

    async def decided(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read entries, and again once it is known whose submitters are dead."""
        self._heartbeats.decided_in()
        result = await read()
        if (pause := self._heartbeats.decided_in()) > 0:
            await asyncio.sleep(pause)
            result = await read()
        return result

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do something in a transaction of its own.

        Raises:
            JournalError: it could not be done.

        """
        task = asyncio.create_task(self._run(work), name="luma-async journal query")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def pages(
        self, *states: EntryState, server: str | None = None
    ) -> AsyncIterator[list[Entry]]:
        """Yield the entries in some states, or all, the oldest first."""
        # Those whose submitter died belong to the uncertain ones, so they are looked at as well.
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
        """Look at the place itself, for which a disk or a network may take its time."""
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
            stands: Entry = await self._commits.put(operation)
        except BaseException:
            # It may have been written for all that. The claim is over when this is.
            back = Change(
                to="refused",
                entry=operation.entry,
                instead_of=operation.instead_of,
                must_land=True,
                is_tidying=True,
            )
            self._commits.put(back)
            raise
        if stands.claim != claim:
            self._over(claim)
        return stands

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            self._place.check()
            return await self._patiently(lambda: self._connections.run(work))
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            explained = self._explained(error)
        raise explained

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something again for as long as another program may keep a SQLite file locked."""
        until = self.loop.time() + self._lock_timeout
        while True:
            try:
                return await work()
            except Exception as error:
                if not database.is_locked(error) or self.loop.time() >= until:
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
        """Yield what is to be done in one transaction, and then in another.

        In PostgreSQL, who claims a key waits for whoever changes the row that is there. Who changes
        rows must not then wait for a claim, or the two would wait for each other.
        """
        if self._dialect == "sqlite":  # one writer at a time
            yield list(group)
            return
        changes: list[Operation] = [each for each in group if isinstance(each, Change | Finish)]
        others = [each for each in group if not isinstance(each, Change | Finish)]
        yield from (part for part in (changes, others) if part)

    async def _commit_part(self, part: Sequence[Operation]) -> Mapping[Operation, Any]:
        """Commit, and do it again where that may be all that is needed.

        What was written after all by a try that failed makes no difference to the next.
        """
        was_open = self._connections.has_writer
        for _ in range(_CLASHES):
            try:
                return await self._patiently(lambda: self._commit_once(part))
            except Exception as error:
                is_stale = was_open and database.is_lost(error)
                if not (is_stale or database.is_clash(error)):
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
        """Note that a claim has come to its end, whatever that was."""
        self._under_way.discard(claim)
        if not self._under_way:
            self._all_over.set()

    async def _beat(self) -> None:
        """Wait until all claims are over, and note that this process is alive if that takes time.

        What this waits for is written even where every asyncio task is cancelled, and then waited
        for once: so it ends only when the writer has.
        """
        try:
            async with asyncio.timeout(self._beat_every):
                await self._all_over.wait()
        except TimeoutError:
            if self._last_beat is None or self._last_beat.done():
                self._last_beat = self._commits.put(Beat())
            return
        with suppress(TimeoutError):  # a write that is kept apart may never end
            async with asyncio.timeout(self._beat_every):
                await self._commits.idle()
        await asyncio.sleep(0)

    def _explained(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self.shown} cannot be used: {explain(error)}.")


def _is_trouble(error: Exception) -> bool:
    return isinstance(error, BrokenOffError) or database.is_trouble(error)
