"""What is asked of a journal now and then, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal import rows, statements
from luma_async.journal.database import now
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.schema import durations, jobs, owners

_ENDED = (EntryState.COMPLETED, EntryState.FAILED, EntryState.LOST)

_FORGOTTEN_AFTER = 3600.0
"""Seconds of silence after which an owner's row is deleted: one without a row is dead, too."""


def under(keys: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that an entry stands under one of some keys."""
    return jobs.c.key.in_(keys)


async def keys(connection: AsyncConnection, states: Sequence[EntryState]) -> list[str]:
    """Return the keys of the entries in some states, or of all, the oldest first."""
    query = select(jobs.c.key).order_by(jobs.c.submitted_at, jobs.c.key)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    return list(await connection.scalars(query))


async def states(connection: AsyncConnection) -> dict[str, EntryState]:
    """Return the state of each key."""
    known = await connection.execute(select(jobs.c.key, jobs.c.state))
    return {row.key: EntryState(row.state) for row in known}


async def key_of(connection: AsyncConnection, id: str, *, server: str) -> str | None:
    """Return a key that names a job of a server, if there is one."""
    query = select(jobs.c.key).where(jobs.c.task_id == id, jobs.c.server == server).limit(1)
    return await connection.scalar(query)


async def settle(connection: AsyncConnection, entry: Entry, id: str | None) -> bool:
    """Give an uncertain entry its id, or delete it; whether it still was uncertain."""
    is_it = (
        (jobs.c.key == entry.key)
        & (jobs.c.claim == entry.claim)
        & (jobs.c.state == EntryState.UNCERTAIN.value)
    )
    running = {"state": EntryState.RUNNING.value, "task_id": id, "reason": None}
    change: Any = (
        delete(jobs).where(is_it)
        if id is None
        else update(jobs).where(is_it).values(**running, updated_at=rows.this_moment())
    )
    return (await connection.execute(change)).rowcount > 0


async def purge(connection: AsyncConnection, before: float) -> int:
    """Delete what ended before a moment, and return how many that were."""
    has_ended = jobs.c.state.in_([state.value for state in _ENDED])
    result = await connection.execute(delete(jobs).where(has_ended, jobs.c.updated_at < before))
    return result.rowcount


async def learned(connection: AsyncConnection, server: str) -> dict[str, Any]:
    """Return what was kept of how long a server's jobs take."""
    query = select(durations.c.kind, durations.c.learned).where(durations.c.server == server)
    return {row.kind: from_json(row.learned) for row in await connection.execute(query)}


async def keep_learned(
    connection: AsyncConnection, server: str, learned: Mapping[str, Any]
) -> None:
    """Keep how long a server's jobs take, in place of what was kept of the same kinds."""
    kept = [
        {"server": server, "kind": rows.clean(kind), "learned": to_json(state).decode()}
        for kind, state in sorted(learned.items())
    ]
    if kept:
        statement = statements.insert_or_replace(durations, "learned", connection.dialect.name)
        await connection.execute(statement, kept)


async def forget_owners(connection: AsyncConnection) -> None:
    """Delete the rows of owners that have long been dead."""
    silence = now(connection.dialect.name) - owners.c.heartbeat
    await connection.execute(delete(owners).where(silence > _FORGOTTEN_AFTER))
