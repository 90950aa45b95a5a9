"""SQL statements that change the rows of a journal, each for any number of rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Delete, Select, Table, Update, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from luma_async.journal.journal import EntryState
from luma_async.journal.sql.engine import now
from luma_async.journal.sql.schema import jobs, owners

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

OF_CLAIM = (jobs.c.key == bindparam("the_key")) & (jobs.c.claim == bindparam("the_claim"))
IS_SUBMITTING = jobs.c.state == EntryState.SUBMITTING.value

IS_OPEN = or_(IS_SUBMITTING, jobs.c.state == EntryState.UNCERTAIN.value)
"""Condition that the outcome of a submission may still be written. Uncertain entries meet it,
because an owner that was considered dead by mistake has the better information."""

REPLACE: Update = (
    update(jobs)
    .where(
        OF_CLAIM,
        or_(jobs.c.state == bindparam("the_state"), jobs.c.state == bindparam("or_state")),
    )
    .values(
        {column: bindparam(f"new_{column.name}") for column in jobs.c if not column.primary_key}
    )
)
TAKEN: Update = (
    update(jobs)
    .where(OF_CLAIM, IS_OPEN)
    .values(
        state=EntryState.RUNNING.value,
        task_id=bindparam("new_id"),
        reason=None,
        updated_at=bindparam("now"),
    )
)
REFUSED: Delete = delete(jobs).where(OF_CLAIM, IS_OPEN)
_UNCERTAIN: Update = update(jobs).values(
    state=EntryState.UNCERTAIN.value,
    reason=bindparam("new_reason"),
    updated_at=bindparam("now"),
)
UNCLEAR: Update = _UNCERTAIN.where(OF_CLAIM, IS_OPEN)
HOLD: Update = (
    update(jobs)
    .where(OF_CLAIM, IS_OPEN)
    .values(state=EntryState.SUBMITTING.value, reason=None, updated_at=bindparam("now"))
)
"""Statement that confirms a claim. An entry that became uncertain because its owner was silent is
submitting again."""
DIED: Update = _UNCERTAIN.where(OF_CLAIM, IS_SUBMITTING)
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
        updated_at=bindparam("now"),
    )
)


def insert_if_free(table: Table, dialect: str) -> Any:
    """Return the statement that inserts the rows whose keys are free and ignores the others."""
    return _INSERT[dialect](table).on_conflict_do_nothing()


def insert_or_replace(table: Table, column: str, dialect: str) -> Any:
    """Return the statement that inserts rows, or replaces one column of existing ones."""
    insert = _INSERT[dialect](table)
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={column: insert.excluded[column]}
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


def select_jobs(dialect: str) -> Select[Any]:
    """Return the query for rows, oldest first, each with the silence of its owner in seconds."""
    silence = (now(dialect) - owners.c.heartbeat).label("silence")
    return (
        select(jobs, owners.c.host, owners.c.pid, owners.c.start, owners.c.heartbeat, silence)
        .select_from(jobs.outerjoin(owners, jobs.c.owner == owners.c.owner))
        .order_by(jobs.c.submitted_at, jobs.c.key)
    )
