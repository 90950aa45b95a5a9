"""Running limit: a limit on the jobs of all processes, decided in the transaction of a claim."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.journal import EntryState
from luma_async.journal.sql import row_mapping
from luma_async.journal.sql.operations import Claim
from luma_async.journal.sql.owner import running_time
from luma_async.journal.sql.queries import CHANNEL
from luma_async.journal.sql.schema import jobs

_CHECK_DEAD_EVERY = 5.0
"""Seconds between two checks for submissions of dead processes, while there is no free place."""

_IDLE_TIMEOUT = 5_000
"""Milliseconds after which the server ends the transaction of a process that was suspended in it.
All other processes that claim a place wait for it, and their own statements may take 10 s."""

_SUBMITTING, _RUNNING, _UNCERTAIN = (
    EntryState.SUBMITTING.value,
    EntryState.RUNNING.value,
    EntryState.UNCERTAIN.value,
)

# The states are literals, and the list is that of the index, because an index with a condition
# serves no query with another condition or with a parameter.
_IS_OPEN = f"state IN ('{_SUBMITTING}', '{_UNCERTAIN}', '{_RUNNING}')"
_KINDS = (
    f"state = '{_SUBMITTING}' AND {_IS_OPEN}",
    f"state = '{_RUNNING}' AND forgotten IS NULL AND has_ended IS NULL",
    # The clocks of machines may differ, but no entry takes a place for ever.
    f"state = '{_UNCERTAIN}' AND {_IS_OPEN} AND updated_at BETWEEN :since AND :until",
)
_COUNTS = (
    "(SELECT count(*) FROM (SELECT 1 FROM luma_jobs"  # noqa: S608
    f" WHERE {kind} AND server = :server{{}} LIMIT :most) AS kind)"
    for kind in _KINDS
)
_TAKEN = " + ".join(_COUNTS)
_TAKEN_BY_ALL = text(f"SELECT {_TAKEN.format('', '', '')}")
_TAKEN_BY_OTHERS = text(f"SELECT {_TAKEN.format(*[' AND key NOT IN :replaced'] * 3)}").bindparams(
    bindparam("replaced", expanding=True)
)
"""Queries for the number of entries that take a place: all, and those that claims do not replace.

There is one count for each kind of them, because each has an index of its own. If there are very
many, the rest is not read."""

_LOCK = (
    "set_config('idle_in_transaction_session_timeout', :idle_timeout, true)"
    f" || CAST(pg_advisory_xact_lock(hashtext({CHANNEL}), hashtext(:server)) AS text)"
)
_LOCK_ALWAYS = text(f"SELECT 0, {_LOCK}")
_LOCK_IF_FREE = text(
    f"SELECT taken, CASE WHEN taken < :most THEN {_LOCK} END"  # noqa: S608
    f" FROM (SELECT {_TAKEN.format('', '', '')} AS taken OFFSET 0) AS counted"
)
"""Query of PostgreSQL for the number of entries that take a place. If one is free, it waits for the
lock, and meanwhile another process may take that place."""

_IS_SUBMITTING = text(f"luma_jobs.state = '{_SUBMITTING}' AND luma_jobs.{_IS_OPEN}")

ReadEntries = Callable[[AsyncConnection, ColumnElement[bool]], Awaitable[Any]]
"""Callable that reads entries, and makes the submissions of dead processes uncertain."""


class RunningLimit:
    """Decision, within a transaction, about the claims that are within their limits.

    PostgreSQL lets only one transaction at a time decide about a server, until it is committed. The
    others wait for it without a lock on any row that it could need. SQLite has a single writer
    anyway.

    `took_last` is the number of claims of this transaction after which no place is free any more.
    """

    def __init__(self, dialect: str, read: ReadEntries) -> None:
        self._is_postgres = dialect == "postgresql"
        self._read = read
        self._checked_at = -_CHECK_DEAD_EVERY
        self.took_last = 0

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
        beyond: set[Claim] = set()
        is_full = False
        # Those that replace an uncertain entry come first: its place is theirs.
        for claim in sorted(claims, key=_replaces_uncertain, reverse=True):
            assert claim.limit is not None  # noqa: S101  only these are given
            if taken < claim.limit.max_tasks:
                taken += 1
                is_full = is_full or taken >= claim.limit.max_tasks
            else:
                beyond.add(claim)
        if is_full:
            self.took_last += len(claims) - len(beyond)
        if beyond and running_time() - self._checked_at >= _CHECK_DEAD_EVERY:
            self._checked_at = running_time()
            await self._read(connection, and_(_IS_SUBMITTING, jobs.c.server == server))
        return beyond

    async def _taken(
        self, connection: AsyncConnection, server: str, claims: Sequence[Claim]
    ) -> int:
        """Return the number of entries that take a place, without those that claims replace.

        Beyond the largest limit of the claims, the number may be smaller than it is: the rest of a
        hundred thousand rows is not read. If it is below, no other process changes it until the
        transaction ends.
        """
        limits = [claim.limit for claim in claims if claim.limit is not None]
        longest = max(limit.uncertain_for for limit in limits)
        most = max(limit.max_tasks for limit in limits)
        now = row_mapping.this_moment()
        values: dict[str, Any] = {
            "server": server,
            "since": now - longest,
            "until": now + longest,
            "most": most,
        }
        replaced = [
            claim.instead_of.key
            for claim in claims
            if claim.instead_of is not None and _replaces_uncertain(claim)
        ]
        if self._is_postgres:
            # A statement sees what was committed before it began, so the count that decides is
            # another statement than the one that waits.
            first = {**values, "idle_timeout": str(_IDLE_TIMEOUT)}
            if replaced:
                lock, first = _LOCK_ALWAYS, {name: first[name] for name in _LOCK_VALUES}
            else:
                lock = _LOCK_IF_FREE
            taken = int((await connection.execute(lock, first)).scalar_one())
            if taken >= most:
                return taken
        if not replaced:
            return await connection.scalar(_TAKEN_BY_ALL, values) or 0
        return await connection.scalar(_TAKEN_BY_OTHERS, {**values, "replaced": replaced}) or 0


_LOCK_VALUES = ("server", "idle_timeout")


def _replaces_uncertain(claim: Claim) -> bool:
    before = claim.instead_of
    return before is not None and before.state is EntryState.UNCERTAIN
