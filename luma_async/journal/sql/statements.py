"""SQL statements that change the rows of a journal, each for any number of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Delete,
    Select,
    Table,
    Update,
    UpdateBase,
    bindparam,
    delete,
    literal_column,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.journal import EntryState
from luma_async.journal.sql import row_mapping
from luma_async.journal.sql.schema import jobs, owners

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""Function that makes an insert statement, for each dialect."""

IS_CLAIM = (jobs.c.key == bindparam("the_key")) & (jobs.c.claim == bindparam("the_claim"))
"""Condition that a row is the one of a claim."""

NO_OWNER = ""
"""Owner of a running job that no process watches."""

IS_RUNNING = jobs.c.state == EntryState.RUNNING.value

IS_SUBMITTING = jobs.c.state == EntryState.SUBMITTING.value

IS_OPEN = or_(IS_SUBMITTING, jobs.c.state == EntryState.UNCERTAIN.value)
"""Condition that the outcome of a submission may still be written. Uncertain entries meet it,
because an owner that was considered dead by mistake has the better information."""

INSERT_IF_FREE: Mapping[str, Any] = {
    dialect: insert(jobs).on_conflict_do_nothing() for dialect, insert in _INSERT.items()
}
"""Statement that inserts the rows whose keys are free and ignores the others, by dialect."""

REPLACE: Update = (
    update(jobs)
    .where(
        IS_CLAIM,
        or_(jobs.c.state == bindparam("the_state"), jobs.c.state == bindparam("or_state")),
    )
    .values(
        {column: bindparam(f"new_{column.name}") for column in jobs.c if not column.primary_key}
    )
)
"""Statement that writes another entry in place of one, if that is in one of two states."""

ACCEPT: Update = (
    update(jobs)
    .where(IS_CLAIM, IS_OPEN)
    .values(
        state=EntryState.RUNNING.value,
        task_id=bindparam("new_id"),
        reason=null(),
        updated_at=bindparam("now"),
    )
)

REJECT: Delete = delete(jobs).where(IS_CLAIM, IS_OPEN)

_MARK_UNCERTAIN: Update = update(jobs).values(
    state=EntryState.UNCERTAIN.value,
    reason=bindparam("new_reason"),
    updated_at=bindparam("now"),
)

MARK_UNCERTAIN: Update = _MARK_UNCERTAIN.where(IS_CLAIM, IS_OPEN)

MARK_OWNER_DEAD: Update = _MARK_UNCERTAIN.where(IS_CLAIM, IS_SUBMITTING)
"""Statement that marks the claim of a dead owner as uncertain, unless its outcome was written
meanwhile."""

HOLD: Update = (
    update(jobs)
    .where(IS_CLAIM, IS_OPEN)
    .values(state=EntryState.SUBMITTING.value, reason=null(), updated_at=bindparam("now"))
)
"""Statement that confirms a claim. An entry that became uncertain because its owner was silent is
submitting again."""

FINISH: Update = (
    update(jobs)
    .where(
        jobs.c.task_id == bindparam("the_id"),
        jobs.c.server == bindparam("the_server"),
        or_(
            jobs.c.state == EntryState.RUNNING.value,
            # A server may find a lost job again, and complete one that it reported as failed.
            jobs.c.state == EntryState.LOST.value,
            jobs.c.state == EntryState.FAILED.value,
        ),
    )
    .values(
        state=bindparam("new_state"),
        generation=bindparam("new_generation"),
        reason=bindparam("new_reason"),
        forgotten=null(),
        has_ended=null(),
        updated_at=bindparam("now"),
    )
)

MARK_FORGOTTEN: Update = (
    update(jobs)
    .where(
        jobs.c.task_id == bindparam("the_id"),
        jobs.c.server == bindparam("the_server"),
        IS_RUNNING,
        jobs.c.forgotten.is_distinct_from(bindparam("new_forgotten")),
    )
    .values(forgotten=bindparam("new_forgotten"))
)
"""Statement that marks a running job as forgotten, or as not forgotten any more. Its state does not
change, so neither does the time of its last change."""

MARK_ENDED: Update = (
    update(jobs)
    .where(
        jobs.c.task_id == bindparam("the_id"),
        jobs.c.server == bindparam("the_server"),
        IS_RUNNING,
    )
    .values(has_ended=1)
)

LEASE: Update = (
    update(jobs)
    .where(IS_CLAIM, IS_RUNNING, jobs.c.owner == bindparam("old_owner"))
    .values(owner=bindparam("new_owner"))
)

RELEASE: Update = (
    update(jobs)
    .where(
        jobs.c.task_id == bindparam("the_id"),
        jobs.c.server == bindparam("the_server"),
        IS_RUNNING,
        jobs.c.owner == bindparam("old_owner"),
    )
    .values(owner=NO_OWNER)
)


async def execute_many(
    connection: AsyncConnection, statement: UpdateBase, rows: list[row_mapping.Values]
) -> int:
    """Run a statement for each row, and return the number of rows, or -1 if it is not known."""
    if not rows:
        return 0
    if len(rows) > 1:
        rows.sort(key=row_mapping.sort_key)
    result = await connection.execute(statement, rows)
    return result.rowcount


def now(dialect: str) -> ColumnElement[float]:
    """Return the SQL expression for the clock of the database, in seconds of the Unix epoch.

    Heartbeats use this clock, because machines that share a database may disagree about the time.
    """
    if dialect == "postgresql":
        return literal_column("extract(epoch FROM clock_timestamp())")
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)")


def insert_or_replace(table: Table, columns: Sequence[str], dialect: str) -> Any:
    """Return the statement that inserts rows, or replaces some columns of existing ones."""
    insert = _INSERT[dialect](table)
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={column: insert.excluded[column] for column in columns},
    )


def beat(dialect: str) -> Any:
    """Return the statement that records the heartbeat of an owner."""
    clock = now(dialect)
    return (
        _INSERT[dialect](owners)
        .values(
            owner=bindparam("the_owner"),
            host=bindparam("the_host"),
            pid=bindparam("the_pid"),
            start=bindparam("the_start"),
            heartbeat=clock,
        )
        .on_conflict_do_update(index_elements=[owners.c.owner], set_={"heartbeat": clock})
    )


def select_watchers(dialect: str, server: str) -> Select[Any]:
    """Return the query for the owners of the running jobs of a server, each once."""
    # A literal state, because an index with a condition serves no query with a parameter.
    is_running = text("luma_jobs.state = 'running'")
    watchers = (
        select(jobs.c.owner)
        .where(is_running, jobs.c.server == server)
        .distinct()
        .subquery("watchers")
    )
    return select(watchers.c.owner, *_signs_of_life(dialect)).select_from(
        watchers.outerjoin(owners, watchers.c.owner == owners.c.owner)
    )


def select_jobs(dialect: str) -> Select[Any]:
    """Return the query for rows, oldest first, each with the silence of its owner in seconds."""
    return (
        select(jobs, *_signs_of_life(dialect))
        .select_from(jobs.outerjoin(owners, jobs.c.owner == owners.c.owner))
        .order_by(jobs.c.submitted_at, jobs.c.key)
    )


def _signs_of_life(dialect: str) -> list[ColumnElement[Any]]:
    """Return the columns by which `DeadOwners` decides; all are NULL if an owner has left."""
    silence = (now(dialect) - owners.c.heartbeat).label("silence")
    return [owners.c.host, owners.c.pid, owners.c.start, owners.c.heartbeat, silence]
