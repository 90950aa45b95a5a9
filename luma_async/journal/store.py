"""Store: a journal's open database."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, delete, select, tuple_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.errors import ConfigurationError, JournalError
from luma_async.journal import database, statements
from luma_async.journal.commits import GroupCommit
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.operations import Beat, Change, Claim, Finish, Operation
from luma_async.journal.schema import durations, jobs, migrate
from luma_async.journal.transaction import Transactions

_PAGE = 500
"""Rows that are read at a time."""

_CLASHES = 3
"""How often a transaction that another one got in the way of is begun again."""

_ENDED = (EntryState.COMPLETED, EntryState.FAILED, EntryState.LOST)


class Store:
    """What `SQLJournal` does its work with, from `open()` to `aclose()`.

    While a submission is under way its owner's heartbeat is written five times in each
    `owner_timeout`; otherwise nothing is written that was not asked for.
    """

    def __init__(self, place: str, *, lock_timeout: float, owner_timeout: float) -> None:
        url = database.check_place(database.parse_place(place))
        self.shown = database.shown(url)
        self._engine = database.connect(url, timeout=lock_timeout)
        self._dialect = url.get_backend_name()
        self._transactions = Transactions(uuid.uuid4().hex, owner_timeout, self._dialect)
        self._beat_every = owner_timeout / 5
        self._beat: asyncio.TimerHandle | None = None
        self._beaten_at = -math.inf
        self._under_way: set[str] = set()
        self._writer: AsyncConnection | None = None
        self._commits = GroupCommit(
            self._commit, may_pass=database.may_pass, explain=self._explained
        )
        self._loop = asyncio.get_running_loop()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            explained = self._explained(error)
        else:
            return
        raise explained

    async def open(self) -> None:
        """Make it ready, and look that it is whole."""

        def check(connection: Connection) -> None:
            database.check_for_damage(connection)
            migrate(connection)

        try:
            async with self._begin() as connection:
                await connection.run_sync(check)
                await self._transactions.beat(connection)  # a journal must take what is written
                await self._transactions.leave(connection)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._engine.dispose()
            raise

    async def aclose(self) -> None:
        """Write what is still to be written, and close the database."""
        try:
            await self._commits.aclose()
        finally:
            if self._beat is not None:
                self._beat.cancel()
            with anyio.CancelScope(shield=True):
                await self._leave()
                await self._drop_writer()
                await self._engine.dispose()

    async def do(self, operation: Operation) -> Any:
        """Have an operation done together with others, and return its result once it is durable.

        Raises:
            JournalError: it could not be done.

        """
        self._check_loop()
        return await self._commits.put(operation)

    async def entries(self, *states: EntryState, server: str | None = None) -> list[Entry]:
        """Return the entries in some states, the oldest first."""
        self._check_loop()
        async with self._begin() as connection:
            # Those whose submitter died belong to the uncertain ones, so they are read as well.
            found = await self._transactions.read(
                connection,
                jobs.c.state.in_([state.value for state in (*states, EntryState.SUBMITTING)]),
            )
        return [
            entry for entry in found if entry.state in states and server in (None, entry.server)
        ]

    async def every_entry(self) -> AsyncIterator[Entry]:
        """Yield all entries, the oldest first."""
        order = (jobs.c.submitted_at, jobs.c.key)
        last: tuple[float, str] = (-math.inf, "")
        while True:
            async with self._begin() as connection:
                page = await self._transactions.read(
                    connection,
                    jobs.c.key.in_(
                        select(jobs.c.key)
                        .where(tuple_(*order) > last)
                        .order_by(*order)
                        .limit(_PAGE)
                    ),
                )
            for entry in page:
                yield entry
            if len(page) < _PAGE:
                return
            last = (page[-1].submitted_at.timestamp(), page[-1].key)

    async def settle(self, entry: Entry, id: str | None, moment: float) -> bool:
        """Give an uncertain entry its id, or delete it; whether it still was uncertain."""
        is_it = (
            (jobs.c.key == entry.key)
            & (jobs.c.claim == entry.claim)
            & (jobs.c.state == EntryState.UNCERTAIN.value)
        )
        settled = {"state": EntryState.RUNNING.value, "task_id": id, "reason": None}
        change: Any = (
            delete(jobs).where(is_it)
            if id is None
            else update(jobs).where(is_it).values(**settled, updated_at=moment)
        )
        async with self._begin() as connection:
            return (await connection.execute(change)).rowcount > 0

    async def purge(self, before: float) -> int:
        """Delete what ended before a moment, and return how many that were."""
        has_ended = jobs.c.state.in_([state.value for state in _ENDED])
        async with self._begin() as connection:
            result = await connection.execute(
                delete(jobs).where(has_ended, jobs.c.updated_at < before)
            )
            return int(result.rowcount)

    async def learned(self, server: str) -> dict[str, Any]:
        """Return what was kept of how long a server's jobs take."""
        async with self._begin() as connection:
            rows = await connection.execute(
                select(durations.c.kind, durations.c.learned).where(durations.c.server == server)
            )
            return {row.kind: from_json(row.learned) for row in rows}

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        """Keep how long a server's jobs take, in place of what was kept of the same kinds."""
        if not learned:
            return
        kept = [
            {"server": server, "kind": kind, "learned": to_json(state).decode()}
            for kind, state in sorted(learned.items())
        ]
        insert = statements.insert_or_replace(durations, "learned", self._dialect)
        async with self._begin() as connection:
            await connection.execute(insert, kept)

    async def _commit(self, group: Sequence[Operation]) -> Mapping[Operation, Any]:
        if any(isinstance(operation, Claim) for operation in group) and self._is_silent():
            group = [Beat(), *group]
        results: dict[Operation, Any] = {}
        for part in self._parts(group):
            results |= await self._commit_part(part)
        self._note_under_way(group, results)
        return results

    def _parts(self, group: Sequence[Operation]) -> Iterator[list[Operation]]:
        """Yield what is to be done in one transaction, and then in another.

        In PostgreSQL, who claims a key waits for whoever changes the row that is there. Who changes
        rows must not then wait for a claim, or the two would wait for each other.
        """
        if self._dialect == "sqlite":  # one writer at a time
            yield list(group)
            return
        changes: list[Operation] = [
            operation for operation in group if isinstance(operation, Change | Finish)
        ]
        others = [operation for operation in group if not isinstance(operation, Change | Finish)]
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

    async def _commit_once(self, group: Sequence[Operation]) -> Mapping[Operation, Any]:
        if self._writer is None:
            self._writer = await self._engine.connect()
        try:
            async with self._writer.begin():
                return await self._transactions.run(self._writer, group)
        except BaseException as error:
            if not isinstance(error, DBAPIError) or error.connection_invalidated:
                await self._drop_writer()
            raise

    def _is_silent(self) -> bool:
        return self._loop.time() - self._beaten_at > self._beat_every

    def _note_under_way(
        self, group: Sequence[Operation], results: Mapping[Operation, Entry | None]
    ) -> None:
        for operation in group:
            if isinstance(operation, Beat):
                self._beaten_at = self._loop.time()
            elif isinstance(operation, Claim):
                stands = results.get(operation)
                if stands is None or stands.claim == operation.entry.claim:
                    self._under_way.add(operation.entry.claim)
            elif isinstance(operation, Change):
                self._under_way.discard(operation.entry.claim)
        if self._beat is None:
            self._beat_on()

    def _beat_on(self) -> None:
        self._beat = None
        if self._under_way:
            self._beat = self._loop.call_later(self._beat_every, self._beat_now)

    def _beat_now(self) -> None:
        self._commits.put(Beat())
        self._beat_on()

    async def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):  # it is broken, and gone
                await writer.close()

    async def _leave(self) -> None:
        """Give up what nobody here will see the end of; others need not wait for a silence."""
        if self._beaten_at == -math.inf:
            return
        try:
            async with self._begin() as connection:
                await self._transactions.leave(connection)
        except JournalError:
            pass  # the silence will tell

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(
                "This journal is open in another event loop. Close it there, or make one "
                "for each asyncio.run()."
            )

    def _explained(self, error: Exception) -> JournalError:
        return JournalError(f"The journal {self.shown} cannot be used: {database.explain(error)}.")
