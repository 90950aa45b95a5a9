"""Store: a journal's open database."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
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
from luma_async.journal import database, queries
from luma_async.journal.commits import GroupCommit
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.explanations import explain
from luma_async.journal.operations import Beat, Change, Claim, Finish, Operation
from luma_async.journal.place import Place
from luma_async.journal.schema import migrate
from luma_async.journal.transaction import Transactions
from luma_async.journal.unusable import Unusable

T = TypeVar("T")

_PAGE = 100
"""Rows that are read at a time: making entries of more would hold the event loop."""

_CLASHES = 3
"""How often a transaction that another one got in the way of is begun again."""


class Store:
    """What `SQLJournal` does its work with, from `open()` to `aclose()`.

    Whatever is done with the database is done in asyncio tasks of its own: a cancelled caller cuts
    nothing off. While a submission is under way its owner's heartbeat is written five times in
    each `owner_timeout`; otherwise nothing is written that was not asked for.
    """

    def __init__(self, place: Place, *, lock_timeout: float, owner_timeout: float) -> None:
        self.shown = place.shown
        self.loop = asyncio.get_running_loop()
        self._engine = database.connect(place, timeout=lock_timeout)
        self._place = place
        self._dialect = place.dialect
        self._under_way: set[str] = set()
        self._transactions = Transactions(
            uuid.uuid4().hex, owner_timeout, self._dialect, self._under_way
        )
        self._beat_every = owner_timeout / 5
        self._beat: asyncio.TimerHandle | None = None
        self._beaten_at = -math.inf
        self._writer: AsyncConnection | None = None
        self._commits = GroupCommit(
            self._commit, may_pass=database.may_pass, explain=self._explained
        )
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

        try:
            await self._look(self._place.prepare)
            await self.run(open_on)
            await self._look(self._place.opened)
        except BaseException:
            await self._engine.dispose()
            raise

    async def aclose(self) -> None:
        """Write what is still to be written, and close the database."""
        await self._commits.aclose()
        if self._beat is not None:
            self._beat.cancel()
        while self._apart:
            await asyncio.wait(self._apart)
        if self._beaten_at > -math.inf and not self._commits.is_failing:
            with suppress(JournalError):  # the silence will tell
                await self.run(self._transactions.leave)
        await self._drop_writer()
        await self._engine.dispose()

    async def do(self, operation: Operation) -> Any:
        """Have an operation done together with others, and return its result once it is durable.

        Raises:
            JournalError: it could not be done.

        """
        if not isinstance(operation, Claim):
            return await self._commits.put(operation)
        claim = operation.entry.claim
        self._under_way.add(claim)
        try:
            stands: Entry = await self._commits.put(operation)
        except JournalError:
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
            self._under_way.discard(claim)
        return stands

    async def run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do something in a transaction of its own.

        Raises:
            JournalError: it could not be done.

        """
        return await self._shielded(self._run(work))

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

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            self._place.check()
            async with self._engine.begin() as connection:
                return await work(connection)
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            explained = self._explained(error)
        raise explained

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work, name="luma-async journal query")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _commit(self, group: Sequence[Operation]) -> Mapping[Operation, Any]:
        if any(isinstance(operation, Claim) for operation in group) and self._is_silent():
            group = [Beat(), *group]
        results: dict[Operation, Any] = {}
        for part in self._parts(group):
            results |= await self._commit_part(part)
        self._note_under_way(group)
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
        was_open = self._writer is not None
        for _ in range(_CLASHES):
            try:
                return await self._commit_once(part)
            except Exception as error:
                is_stale = was_open and self._writer is None
                if not (is_stale or database.is_clash(error)):
                    raise
                was_open = False
        return await self._commit_once(part)

    async def _commit_once(self, part: Sequence[Operation]) -> Mapping[Operation, Any]:
        self._place.check()
        if self._writer is None:
            self._writer = await self._engine.connect()
        try:
            async with self._writer.begin():
                return await self._transactions.run(self._writer, part)
        except BaseException as error:
            if database.is_lost(error):
                await self._drop_writer()
            raise

    def _is_silent(self) -> bool:
        return self.loop.time() - self._beaten_at > self._beat_every

    def _note_under_way(self, group: Sequence[Operation]) -> None:
        for operation in group:
            if isinstance(operation, Beat):
                self._beaten_at = self.loop.time()
            elif isinstance(operation, Change):
                self._under_way.discard(operation.entry.claim)
        if self._beat is None:
            self._beat_on()

    def _beat_on(self) -> None:
        self._beat = None
        if self._under_way:
            self._beat = self.loop.call_later(self._beat_every, self._beat_now)

    def _beat_now(self) -> None:
        self._commits.put(Beat())
        self._beat_on()

    async def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):  # it is broken, and gone
                await writer.close()

    def _explained(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self.shown} cannot be used: {explain(error)}.")
