"""Occasional queries on a journal, each in a transaction of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import (
    Column,
    ColumnElement,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.journal import EntryState
from luma_async.journal.sql import row_mapping, statements
from luma_async.journal.sql.schema import durations, files, jobs, owners, signals
from luma_async.journal.sql.signal_sender import Signal

_ENDED = (EntryState.COMPLETED, EntryState.FAILED, EntryState.LOST)

_FORGOTTEN_AFTER = 7 * 86400.0
"""Seconds of silence after which the row of an owner is deleted. No clock is set by that much."""

_SIGNALS_KEPT = 60.0
"""Seconds after which the row of a signal is deleted. Several processes may have to read it, so a
reader does not delete it."""

CHANNEL = "'luma_journal_' || CAST(CAST('luma_jobs' AS regclass) AS oid)"
"""SQL expression for the channel of the signals in PostgreSQL. Several schemas of a database may
have a journal each, so it has the id of the table that `search_path` finds."""

_NOTIFY = text(
    f"SELECT pg_notify({CHANNEL}, text) FROM unnest(CAST(:texts AS text[])) AS text"  # noqa: S608
)

_PAGE = 500
"""Maximum number of values in one condition; databases accept a few thousand."""

_ROWS = 1000
"""Number of short rows to read at a time. A journal may have very many, and all of them at once
would block the event loop for a second."""


def has_key(keys: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that an entry has one of some keys."""
    return jobs.c.key.in_(keys)


async def keys(connection: AsyncConnection, states: Sequence[EntryState]) -> list[str]:
    """Return the keys of the entries in some states, or of all entries, oldest first."""
    query = select(jobs.c.key).order_by(jobs.c.submitted_at, jobs.c.key)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    return [row.key async for page in _pages(connection, query) for row in page]


async def keys_of_owners(
    connection: AsyncConnection, server: str, watchers: Sequence[str]
) -> list[str]:
    """Return the keys of the running jobs of a server that some owners watch, oldest first."""
    query = (
        select(jobs.c.key)
        .where(
            statements.IS_RUNNING,
            jobs.c.server == server,
            jobs.c.owner.in_(watchers),
            jobs.c.forgotten.is_(None),
        )
        .order_by(jobs.c.submitted_at, jobs.c.key)
    )
    return [row.key async for page in _pages(connection, query) for row in page]


async def watched_ids(
    connection: AsyncConnection, server: str, ids: Iterable[str], not_by: Sequence[str]
) -> set[str]:
    """Return the ids of jobs that run, and that other owners than some watch until they end."""
    query = select(jobs.c.task_id).where(
        jobs.c.server == server,
        statements.IS_RUNNING,
        jobs.c.has_ended.is_(None),
        jobs.c.forgotten.is_(None),
        jobs.c.owner.not_in(not_by),
    )
    return {row.task_id for row in await _in_pages(connection, query, jobs.c.task_id, ids)}


async def keys_of_ids(connection: AsyncConnection, server: str, ids: Sequence[str]) -> list[str]:
    """Return the keys of the jobs of a server with these ids."""
    query = select(jobs.c.key).where(jobs.c.server == server)
    cleaned = map(row_mapping.clean, ids)
    return [row.key for row in await _in_pages(connection, query, jobs.c.task_id, cleaned)]


async def newest_keys(
    connection: AsyncConnection, limit: int, state: EntryState | None
) -> tuple[list[str], int]:
    """Return the keys of the newest entries, in a state or of all, and the number of all."""
    condition = true() if state is None else jobs.c.state == state.value
    newest = (
        select(jobs.c.key)
        .where(condition)
        .order_by(jobs.c.submitted_at.desc(), jobs.c.key.desc())
        .limit(limit)
    )
    found = await connection.scalar(select(func.count()).select_from(jobs).where(condition))
    return list(await connection.scalars(newest)), found or 0


async def states(connection: AsyncConnection) -> dict[str, EntryState]:
    """Return the state of each key."""
    query = select(jobs.c.key, jobs.c.state)
    return {
        row.key: EntryState(row.state) async for page in _pages(connection, query) for row in page
    }


async def _pages(
    connection: AsyncConnection, query: Select[Any]
) -> AsyncGenerator[Sequence[Row[Any]], None]:
    """Yield the rows of a query, many at a time; the event loop goes on while they are fetched."""
    result = await connection.stream(query, execution_options={"yield_per": _ROWS})
    async for page in result.partitions():
        yield page
        await asyncio.sleep(0)  # a driver may have fetched them before


async def unsettleable(
    connection: AsyncConnection, ids: Mapping[str, str | None], *, holding: bool = False
) -> dict[str, str]:
    """Return the reasons why keys cannot be settled with these ids, by key.

    An id of `None` frees the key. `holding` locks the rows until the transaction ends.
    """
    rows_of = select(jobs.c.key, jobs.c.state, jobs.c.server)
    if holding:  # ignored by SQLite, which has a single writer
        rows_of = rows_of.with_for_update()
    by_key = {row.key: row for row in await _in_pages(connection, rows_of, jobs.c.key, ids)}
    named = select(jobs.c.server, jobs.c.task_id, jobs.c.key)
    known = [id for id in ids.values() if id is not None]
    of_task = {
        (row.server, row.task_id): row.key
        for row in await _in_pages(connection, named, jobs.c.task_id, known)
    }
    problems = {}
    for key, id in ids.items():
        row = by_key.get(key)
        if row is None:
            problems[key] = f"{key!r} is not in the journal"
        elif row.state != EntryState.UNCERTAIN:
            problems[key] = f"{key!r} is {row.state}"
        elif id is not None and (other := of_task.setdefault((row.server, id), key)) != key:
            problems[key] = f"job {id} belongs to {other!r}, not to {key!r}"
    return problems


async def settle(connection: AsyncConnection, ids: Mapping[str, str | None]) -> dict[str, str]:
    """Store the ids of uncertain entries, or delete those whose id is `None`.

    Return an empty mapping. If some of the entries cannot be settled, change nothing, and return
    the reasons by key.
    """
    problems = await unsettleable(connection, ids, holding=True)
    if problems:
        return problems
    moment = row_mapping.this_moment()
    is_it = jobs.c.key == bindparam("the_key")
    running = {
        "state": EntryState.RUNNING.value,
        "reason": None,
        "updated_at": moment,
        # The process that submitted it may live, and does not watch it.
        "owner": statements.NO_OWNER,
    }
    accepted = [{"the_key": key, "the_id": id} for key, id in sorted(ids.items()) if id is not None]
    free = [{"the_key": key} for key, id in sorted(ids.items()) if id is None]
    if accepted:
        change = update(jobs).where(is_it).values(**running, task_id=bindparam("the_id"))
        await connection.execute(change, accepted)
    if free:
        await connection.execute(delete(jobs).where(is_it), free)
    return {}


async def _in_pages(
    connection: AsyncConnection, query: Select[Any], column: Column[Any], values: Iterable[str]
) -> list[Row[Any]]:
    """Return the rows with one of some values in a column, in the order of the values."""
    ordered = sorted(values)
    found: list[Row[Any]] = []
    for start in range(0, len(ordered), _PAGE):
        page = query.where(column.in_(ordered[start : start + _PAGE])).order_by(column)
        found += await connection.execute(page)
    return found


async def purge(connection: AsyncConnection, before: float) -> int:
    """Delete the jobs that ended before a moment, and return their number.

    Files that were uploaded before are forgotten as well.
    """
    await connection.execute(delete(files).where(files.c.uploaded_at < before))
    has_ended = jobs.c.state.in_([state.value for state in _ENDED])
    result = await connection.execute(delete(jobs).where(has_ended, jobs.c.updated_at < before))
    return result.rowcount


async def learned(connection: AsyncConnection, server: str) -> dict[str, Any]:
    """Return the learned durations of the jobs of a server, by kind."""
    query = select(durations.c.kind, durations.c.learned).where(durations.c.server == server)
    return {row.kind: from_json(row.learned) for row in await connection.execute(query)}


async def keep_learned(
    connection: AsyncConnection, server: str, learned: Mapping[str, Any]
) -> None:
    """Store the learned durations of the jobs of a server, in place of those of the same kinds."""
    kept = [
        {"server": server, "kind": row_mapping.clean(kind), "learned": to_json(state).decode()}
        for kind, state in sorted(learned.items())
    ]
    if kept:
        statement = statements.insert_or_replace(durations, ("learned",), connection.dialect.name)
        await connection.execute(statement, kept)


async def find_file(connection: AsyncConnection, server: str, sha256: str) -> str | None:
    """Return the id of the file with this digest at a server, if one was uploaded."""
    query = select(files.c.file_id).where(files.c.server == server, files.c.sha256 == sha256)
    return await connection.scalar(query)


async def remember_file(connection: AsyncConnection, server: str, sha256: str, id: str) -> None:
    """Store the id of an uploaded file, in place of that of an earlier one."""
    row = {
        "server": server,
        "sha256": sha256,
        "file_id": row_mapping.clean(id),
        "uploaded_at": row_mapping.this_moment(),
    }
    statement = statements.insert_or_replace(
        files, ("file_id", "uploaded_at"), connection.dialect.name
    )
    await connection.execute(statement, [row])


async def forget_owners(connection: AsyncConnection) -> None:
    """Delete the owners that have long been silent and have no submissions under way."""
    silence = statements.now(connection.dialect.name) - owners.c.heartbeat
    is_submitting = exists().where(jobs.c.owner == owners.c.owner, statements.IS_SUBMITTING)
    silent = select(owners.c.owner).where(
        silence > _FORGOTTEN_AFTER, ~is_submitting.correlate(owners)
    )
    # If several processes do this at once, none of them waits for another.
    free = silent.with_for_update(skip_locked=True)
    await connection.execute(delete(owners).where(owners.c.owner.in_(free)))


async def send_signals(connection: AsyncConnection, sent: Sequence[Signal]) -> None:
    """Send signals to the processes that listen, and delete old ones."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_NOTIFY, {"texts": [" ".join(signal) for signal in sent]})
        return
    moment = row_mapping.this_moment()
    await connection.execute(delete(signals).where(signals.c.sent_at < moment - _SIGNALS_KEPT))
    rows = [{**signal._asdict(), "sent_at": moment} for signal in sent]
    await connection.execute(insert(signals), rows)
