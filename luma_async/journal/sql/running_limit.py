"""Running limit: how many more jobs may run at a server, of all processes that use a journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.journal import EntryState
from luma_async.journal.sql import row_mapping
from luma_async.journal.sql.operations import Claim
from luma_async.journal.sql.owner import running_time
from luma_async.journal.sql.queries import CHANNEL
from luma_async.journal.sql.schema import jobs
from luma_async.journal.sql.statements import IS_SUBMITTING

_CHECK_DEAD_EVERY = 5.0
"""Seconds between two checks for submissions of dead processes, while there is no free place."""

_IDLE_TIMEOUT = 10_000
"""Milliseconds after which the server ends the transaction of a process that was suspended in it.
All other processes that claim a place wait for it."""

_LOCK = text(
    "SELECT set_config('idle_in_transaction_session_timeout', :idle_timeout, true), "
    f"pg_advisory_xact_lock(hashtext({CHANNEL}), hashtext(:server))"
)

_TAKES_PLACE = or_(
    jobs.c.state == EntryState.SUBMITTING.value,
    and_(
        jobs.c.state == EntryState.RUNNING.value,
        jobs.c.forgotten.is_(None),
        jobs.c.has_ended.is_(None),
    ),
    and_(
        jobs.c.state == EntryState.UNCERTAIN.value, jobs.c.updated_at > bindparam("uncertain_since")
    ),
)
"""Condition that an entry takes a place."""

ReadEntries = Callable[[AsyncConnection, ColumnElement[bool]], Awaitable[Any]]
"""Callable that reads entries, and makes the submissions of dead processes uncertain."""


class RunningLimit:
    """Decision, within a transaction, which claims are within their limits.

    PostgreSQL lets only one transaction at a time decide about a server, until it is committed.
    SQLite has a single writer anyway.
    """

    def __init__(self, dialect: str, read: ReadEntries) -> None:
        self._dialect = dialect
        self._read = read
        self._checked_at = -_CHECK_DEAD_EVERY

    async def beyond(self, connection: AsyncConnection, claims: Sequence[Claim]) -> set[Claim]:
        """Return the claims for which there is no free place."""
        by_server: dict[str, list[Claim]] = {}
        for claim in claims:
            if claim.limit is not None:
                by_server.setdefault(claim.entry.server, []).append(claim)
        beyond: set[Claim] = set()
        for server, limited in sorted(by_server.items()):
            beyond |= await self._beyond(connection, server, limited)
        return beyond

    async def _beyond(
        self, connection: AsyncConnection, server: str, claims: list[Claim]
    ) -> set[Claim]:
        taken = await self._taken(connection, server, claims)
        if self._dialect == "postgresql" and taken < _largest(claims):
            parameters = {"server": server, "idle_timeout": str(_IDLE_TIMEOUT)}
            await connection.execute(_LOCK, parameters)
            taken = await self._taken(connection, server, claims)
        beyond: set[Claim] = set()
        for claim in claims:
            assert claim.limit is not None  # noqa: S101  only these are given
            if taken < claim.limit.max_tasks:
                taken += 1
            else:
                beyond.add(claim)
        if beyond and running_time() - self._checked_at >= _CHECK_DEAD_EVERY:
            self._checked_at = running_time()
            await self._read(connection, IS_SUBMITTING & (jobs.c.server == server))
        return beyond

    async def _taken(
        self, connection: AsyncConnection, server: str, claims: Sequence[Claim]
    ) -> int:
        """Return the number of entries that take a place, without those that claims replace."""
        replaced = [claim.instead_of.key for claim in claims if claim.instead_of is not None]
        longest = max(claim.limit.uncertain_for for claim in claims if claim.limit is not None)
        query = (
            select(func.count())
            .select_from(jobs)
            .where(jobs.c.server == server, _TAKES_PLACE, jobs.c.key.not_in(replaced))
        )
        since = {"uncertain_since": row_mapping.this_moment() - longest}
        return await connection.scalar(query, since) or 0


def _largest(claims: Sequence[Claim]) -> int:
    return max(claim.limit.max_tasks for claim in claims if claim.limit is not None)
