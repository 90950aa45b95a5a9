"""Leases: the right, and the task, of one process to watch a running job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.sql import row_mapping, statements
from luma_async.journal.sql.operations import Lease, MarkEnded, Operation, Release
from luma_async.journal.sql.schema import jobs
from luma_async.journal.sql.statements import execute_many

_PAGE = 500
"""Maximum number of values in one condition."""


async def lease(
    connection: AsyncConnection, leases: Sequence[Lease], owner: str
) -> Mapping[Operation, AbstractSet[str]]:
    """Let an owner watch jobs, and return the claims of those that it watches then."""
    entries = {entry.claim: entry for each in leases for entry in each.entries}
    rows: list[row_mapping.Values] = [
        {
            "the_key": entry.key,
            "the_claim": entry.claim,
            # If it was this owner's, another client of its journal may have released it since then.
            "old_owner": statements.NO_OWNER if entry.owner == owner else entry.owner,
            "new_owner": owner,
        }
        for entry in entries.values()
    ]
    await execute_many(connection, statements.LEASE, rows)
    won: set[str] = set()
    claims = sorted(entries)
    keys = [entries[claim].key for claim in claims]
    for start in range(0, len(keys), _PAGE):
        query = select(jobs.c.claim).where(
            jobs.c.key.in_(keys[start : start + _PAGE]),
            jobs.c.owner == owner,
            statements.IS_RUNNING,
        )
        won.update(await connection.scalars(query))
    return {each: won & {entry.claim for entry in each.entries} for each in leases}


async def release(connection: AsyncConnection, releases: Sequence[Release], owner: str) -> None:
    """Record that an owner does not watch some jobs any more."""
    rows = [
        {"the_server": each.server, "the_id": row_mapping.clean(id), "old_owner": owner}
        for each in releases
        for id in each.ids
    ]
    await execute_many(connection, statements.RELEASE, rows)


async def mark_ended(connection: AsyncConnection, marks: Sequence[MarkEnded]) -> None:
    """Record that running jobs have ended, and are yet to be delivered."""
    rows: list[row_mapping.Values] = [
        {"the_server": mark.server, "the_id": row_mapping.clean(id)}
        for mark in marks
        for id in mark.ids
    ]
    await execute_many(connection, statements.MARK_ENDED, rows)
