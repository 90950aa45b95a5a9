"""Transactions: all operations of a group, in one commit."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, ClassVar

from sqlalchemy import RowMapping, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.errors import JournalError
from luma_async.journal.journal import Entry, EntryState, made_up_key
from luma_async.journal.shared_journal import Change
from luma_async.journal.sql import leases, row_mapping, statements
from luma_async.journal.sql.change_signals import change_of, send_change
from luma_async.journal.sql.connections import Connections
from luma_async.journal.sql.driver_errors import ConflictError, is_database_failure
from luma_async.journal.sql.error_explanations import explain
from luma_async.journal.sql.group_commit import CommitError
from luma_async.journal.sql.operations import (
    Accepted,
    Beat,
    Claim,
    ClaimOutcome,
    Find,
    Finish,
    Forget,
    Hold,
    Lease,
    MarkEnded,
    Operation,
    Rejected,
    Release,
    Uncertain,
    Withdrawn,
)
from luma_async.journal.sql.owner import (
    LEASE_TIMEOUT,
    DeadOwners,
    Owner,
    running_time,
    start_of,
    this_host,
)
from luma_async.journal.sql.running_limit import RunningLimit
from luma_async.journal.sql.schema import jobs, owners

_DIED = "The process that was submitting the job ended before the answer arrived."

_STEP = 64 * 2**10
"""Characters of rows to convert to entries before other tasks of the event loop have their turn."""

_MAX_TRIES = 5
"""Number of times that a claim is tried if competing entries appear and disappear."""

_CHANGES = (ClaimOutcome, Finish, Forget, MarkEnded, Release, Lease)
"""Operations that change existing rows, in a transaction apart from claims."""

_OPEN_STATES = (EntryState.SUBMITTING, EntryState.UNCERTAIN)

Results = Mapping[Operation, Any]


class Transactions:
    """Operations on a journal in the name of one owner, a group in each transaction.

    All writers write rows in the order of their keys, to avoid deadlocks. `dead_owners` detects
    claims whose process has died. Errors name the database as `shown`.
    """

    def __init__(
        self,
        connections: Connections,
        owner: Owner,
        dead_owners: DeadOwners,
        *,
        dialect: str,
        shown: str,
    ) -> None:
        self._connections = connections
        self._owner = owner
        self._dead_owners = dead_owners
        self._dead_watchers = DeadOwners(LEASE_TIMEOUT, spares_suspended=False)
        self._limit = RunningLimit(dialect, self.read)
        self._dialect = dialect
        self._shown = shown

    async def commit(self, group: Sequence[Operation]) -> Results:
        """Commit the operations of a group, and return their results.

        The result of a `Claim` or `Find` is the entry that the key has then, or `None`. That of a
        `Hold` is whether the claim is valid, and that of a `Lease` the claims that were leased.

        Raises:
            CommitError: the group was not committed.

        """
        owner = self._owner
        began = running_time()
        is_silent = began - owner.last_beat > owner.beat_every
        beating = (Beat, Hold, Claim, Lease) if is_silent else (Beat, Hold)
        must_beat = False
        changes: list[Operation] = []
        others: list[Operation] = []
        for operation in group:
            must_beat = must_beat or isinstance(operation, beating)
            (changes if isinstance(operation, _CHANGES) else others).append(operation)
        if must_beat:
            others.append(Beat())
        # In PostgreSQL, a claim waits for any transaction that changes the existing row of its key.
        # If that transaction could wait for a claim in turn, the two would deadlock, so they are
        # kept apart. SQLite has one writer at a time.
        parts = [changes + others] if self._dialect == "sqlite" else [changes, others]
        results: dict[Operation, Any] = {}
        try:
            for part in filter(None, parts):
                results |= await self._connections.run(self._execute, part, as_writer=True)
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            self.note_failure(error)
            failure = CommitError(self.error_for(error), is_database=is_database_failure(error))
        else:
            if must_beat:
                owner.last_beat = began
            for operation in changes:
                _note_change(owner, operation)
            return results
        raise failure  # outside of the handler, because its context would keep cursors alive

    def note_failure(self, error: Exception) -> None:
        """Let no owner count as dead if an outage of the database may have kept it from beating."""
        if is_database_failure(error):
            self._dead_owners.restart()
            self._dead_watchers.restart()

    def error_for(self, error: Exception) -> JournalError:
        """Return the error for the user, with the problem and the next step."""
        return JournalError(f"The journal {self._shown} cannot be used: {explain(error)}.")

    async def _execute(
        self, connection: AsyncConnection, group: Sequence[Operation]
    ) -> dict[Operation, Any]:
        by_kind: dict[type[Operation], list[Operation]] = {}
        for operation in group:
            by_kind.setdefault(type(operation), []).append(operation)
        results: dict[Operation, Any] = {}
        self._limit.took_last = 0
        for kind, step in self._STEPS.items():
            if operations := by_kind.get(kind):
                results |= await step(self, connection, operations) or {}
        if (change := change_of(group, taken=self._limit.took_last)) is not None:
            await send_change(connection, change, self._owner.id)
        return results

    async def beat(self, connection: AsyncConnection, _: Sequence[Beat] = ()) -> None:
        """Record a heartbeat of this owner."""
        pid = os.getpid()
        values = {
            "the_owner": self._owner.id,
            "the_host": this_host(),
            "the_pid": pid,
            "the_start": start_of(pid),
        }
        await connection.execute(statements.beat(self._dialect), values)

    async def leave(self, connection: AsyncConnection) -> None:
        """Record that this owner submits and watches no jobs any more."""
        await connection.execute(delete(owners).where(owners.c.owner == self._owner.id))
        if self._owner.leases:
            await send_change(connection, Change(is_released=True), self._owner.id)

    async def dead_watchers(self, connection: AsyncConnection, server: str) -> list[str]:
        """Return the owners of running jobs of a server that watch them no more."""
        found = await connection.execute(statements.select_watchers(self._dialect, server))
        self._note_silence()
        return [
            row["owner"]
            for row in found.mappings()
            if row["owner"] != self._owner.id and self._dead_watchers.is_dead(row)
        ]

    async def read(self, connection: AsyncConnection, condition: Any) -> list[Entry]:
        """Return the entries that meet a condition, oldest first.

        Entries that a dead process was submitting become uncertain first.
        """
        found = await connection.execute(statements.select_jobs(self._dialect).where(condition))
        self._note_silence()
        entries: list[Entry] = []
        died: list[row_mapping.Values] = []
        is_watching: dict[str, bool] = {}  # by owner, because reading a process table takes time
        moment = row_mapping.this_moment()
        since_turn = 0
        for row in found.mappings().all():
            since_turn += len(row["request"]) + len(row["generation"] or "")
            if since_turn > _STEP:
                since_turn = 0
                await asyncio.sleep(0)
            entry = row_mapping.entry_of(row)
            if entry.state is EntryState.SUBMITTING:
                if self._is_dead(row):
                    entry = replace(entry, state=EntryState.UNCERTAIN, reason=_DIED)
                    died.append({**_row_of(entry), "new_reason": _DIED, "now": moment})
                elif row["owner"] != self._owner.id:
                    entry = replace(entry, reason=self._dead_owners.describe_silence(row))
            elif entry.state is EntryState.RUNNING and row["owner"] != self._owner.id:
                if entry.owner not in is_watching:
                    is_watching[entry.owner] = not self._dead_watchers.is_dead(row)
                entry = replace(entry, is_watched_elsewhere=is_watching[entry.owner])
            entries.append(entry)
        await statements.execute_many(connection, statements.MARK_OWNER_DEAD, died)
        return entries

    def _note_silence(self) -> None:
        """Let no watcher count as dead as long as this owner cannot write its heartbeat either."""
        if self._owner.leases and running_time() - self._owner.last_beat > LEASE_TIMEOUT / 2:
            self._dead_watchers.restart()

    def _is_dead(self, row: RowMapping) -> bool:
        if row["owner"] == self._owner.id:
            return row["claim"] not in self._owner.claims
        return self._dead_owners.is_dead(row)

    async def _read_keys(self, connection: AsyncConnection, keys: set[str]) -> dict[str, Entry]:
        entries = await self.read(connection, jobs.c.key.in_(keys))
        return {entry.key: entry for entry in entries}

    async def _find(self, connection: AsyncConnection, finds: Sequence[Find]) -> Results:
        entries = await self._read_keys(connection, {find.key for find in finds})
        return {find: entries.get(find.key) for find in finds}

    async def _hold(self, connection: AsyncConnection, holds: Sequence[Hold]) -> Results:
        moment = row_mapping.this_moment()
        results: dict[Operation, bool] = {}
        for hold in holds:
            row = {**_row_of(hold.entry), "now": moment}
            results[hold] = await statements.execute_many(connection, statements.HOLD, [row]) == 1
        return results

    async def _accept(self, connection: AsyncConnection, accepted: Sequence[Accepted]) -> None:
        moment = row_mapping.this_moment()
        rows: list[row_mapping.Values] = []
        for each in accepted:
            new_id = row_mapping.clean(each.id)
            rows.append({**_row_of(each.entry), "new_id": new_id, "now": moment})
        written = await statements.execute_many(connection, statements.ACCEPT, rows)
        if written != len(accepted):
            await self._insert_settled(connection, accepted)

    async def _insert_settled(
        self, connection: AsyncConnection, accepted: Sequence[Accepted]
    ) -> None:
        """Insert entries for accepted jobs whose own entries were settled before the answer."""
        ids = {each: row_mapping.clean(each.id) for each in accepted}
        is_known = jobs.c.task_id.in_(set(ids.values()))
        query = select(jobs.c.server, jobs.c.task_id).where(is_known)
        known = {(row.server, row.task_id) for row in await connection.execute(query)}
        rows = []
        for each, id in ids.items():
            entry = each.entry
            if (entry.server, id) not in known:
                settled = replace(
                    entry,
                    key=made_up_key(f"{entry.claim}-{_digest(id)}"),
                    state=EntryState.RUNNING,
                    id=id,
                    reason=f"Its job key {entry.key!r} was settled before the answer arrived.",
                )
                rows.append(row_mapping.values_of(settled, self._owner.id))
        await statements.execute_many(connection, statements.INSERT_IF_FREE[self._dialect], rows)

    async def _reject(self, connection: AsyncConnection, rejected: Sequence[Rejected]) -> None:
        removed: list[row_mapping.Values] = []
        restored: list[row_mapping.Values] = []
        for each in rejected:
            if each.instead_of is None:
                removed.append(_row_of(each.entry))
            else:
                before = replace(each.instead_of, claim=each.entry.claim)
                restored.append(self._replacement(each.entry, _OPEN_STATES, before))
        await statements.execute_many(connection, statements.REJECT, removed)
        await statements.execute_many(connection, statements.REPLACE, restored)

    async def _mark_uncertain(
        self, connection: AsyncConnection, uncertain: Sequence[Uncertain]
    ) -> None:
        moment = row_mapping.this_moment()
        rows: list[row_mapping.Values] = []
        for each in uncertain:
            reason = row_mapping.clean(each.reason)
            rows.append({**_row_of(each.entry), "new_reason": reason, "now": moment})
        await statements.execute_many(connection, statements.MARK_UNCERTAIN, rows)

    async def _finish(self, connection: AsyncConnection, finishes: Sequence[Finish]) -> None:
        moment = row_mapping.this_moment()
        rows = [
            {**row_mapping.end_values(end), "now": moment}
            for finish in finishes
            for end in finish.ends
        ]
        await statements.execute_many(connection, statements.FINISH, rows)

    async def _forget(self, connection: AsyncConnection, marks: Sequence[Forget]) -> None:
        # A later mark of a job overrides an earlier one, so they are written one after another.
        rows = [
            {
                "the_server": mark.server,
                "the_id": row_mapping.clean(id),
                "new_forgotten": 1 if mark.forgotten else None,
            }
            for mark in marks
            for id in mark.ids
        ]
        await statements.execute_many(connection, statements.MARK_FORGOTTEN, rows)
        given_up = [Release(server=each.server, ids=each.ids) for each in marks if each.forgotten]
        await self._release(connection, given_up)

    async def _mark_ended(self, connection: AsyncConnection, marks: Sequence[MarkEnded]) -> None:
        await leases.mark_ended(connection, marks)

    async def _release(self, connection: AsyncConnection, releases: Sequence[Release]) -> None:
        await leases.release(connection, releases, self._owner.id)

    async def _lease(self, connection: AsyncConnection, asked: Sequence[Lease]) -> Results:
        return await leases.lease(connection, asked, self._owner.id)

    async def _claim(self, connection: AsyncConnection, claims: Sequence[Claim]) -> Results:
        """Write claims, and return the entry that the key of each has then.

        That is `None` if there is no free place for a new entry.
        """
        beyond = await self._limit.beyond(connection, claims)
        current: dict[Operation, Entry | None] = {claim: claim.entry for claim in claims}
        if beyond:
            current |= await self._find_others(connection, beyond)
        remaining: Sequence[Claim] = [claim for claim in claims if claim not in beyond]
        for tried in range(_MAX_TRIES):
            # Only the first try may replace the entries that the callers had read.
            contested = await self._try_to_claim(connection, remaining, may_replace=tried == 0)
            if not contested:
                return current
            found = await self._read_keys(connection, {claim.entry.key for claim in contested})
            for claim in contested:
                current[claim] = found.get(claim.entry.key, claim.entry)
            # A competing entry may be gone by now, so that the key is free.
            remaining = [claim for claim in contested if claim.entry.key not in found]
            if not remaining:
                return current
        raise ConflictError

    async def _find_others(
        self, connection: AsyncConnection, claims: AbstractSet[Claim]
    ) -> dict[Operation, Entry | None]:
        """Return the entries that other callers have given to the keys of claims, if any."""
        contested = {claim.entry.key for claim in claims if claim.is_contested}
        found = await self._read_keys(connection, contested) if contested else {}
        others: dict[Operation, Entry | None] = {}
        for claim in claims:
            entry, before = found.get(claim.entry.key), claim.instead_of
            is_unchanged = (
                entry is not None
                and before is not None
                and (entry.claim, entry.state) == (before.claim, before.state)
            )
            others[claim] = None if is_unchanged else entry
        return others

    async def _try_to_claim(
        self, connection: AsyncConnection, claims: Sequence[Claim], *, may_replace: bool
    ) -> list[Claim]:
        """Write claims, and return those that another caller may have won."""
        new: list[Claim] = []
        rows: list[row_mapping.Values] = []
        replacing: list[Claim] = []
        replacements: list[row_mapping.Values] = []
        for claim in claims:
            if claim.instead_of is None or not may_replace:
                new.append(claim)
                rows.append(row_mapping.values_of(claim.entry, self._owner.id))
            else:
                before = claim.instead_of
                replacing.append(claim)
                replacements.append(
                    self._replacement(before, (before.state, before.state), claim.entry)
                )
        insert = statements.INSERT_IF_FREE[self._dialect]
        inserted = await statements.execute_many(connection, insert, rows)
        replaced = await statements.execute_many(connection, statements.REPLACE, replacements)
        contested: list[Claim] = []
        if inserted != len(new):
            contested += [claim for claim in new if claim.is_contested]
        if replaced != len(replacing):
            contested += replacing
        return contested

    def _replacement(
        self, there: Entry, states: tuple[EntryState, EntryState], entry: Entry
    ) -> row_mapping.Values:
        """Return the parameters that replace an existing entry, if it is in one of two states."""
        values = row_mapping.values_of(entry, self._owner.id)
        return {
            **_row_of(there),
            "the_state": states[0].value,
            "or_state": states[1].value,
            **{f"new_{name}": value for name, value in values.items() if name != "key"},
        }

    _STEPS: ClassVar[Mapping[type[Operation], Callable[..., Awaitable[Results | None]]]] = {
        Accepted: _accept,
        Rejected: _reject,
        Withdrawn: _reject,
        Uncertain: _mark_uncertain,
        Finish: _finish,
        Forget: _forget,
        MarkEnded: _mark_ended,
        Release: _release,
        Lease: _lease,
        Beat: beat,
        Claim: _claim,
        Hold: _hold,
        Find: _find,
    }
    """Methods for each kind of operation, in their order within a transaction.

    Outcomes come first, so that a claim finds the keys that they free. The heartbeat comes before
    the claims that depend on it, and reads come last, so that they see all writes. A claim with a
    limit may wait for a lock, so no rows of jobs are changed before it that its holder could need.
    """


def _note_change(owner: Owner, operation: Operation) -> None:
    """Update the claims and leases of an owner after an operation was committed."""
    if isinstance(operation, Accepted):
        owner.add_lease(operation.id)
    if isinstance(operation, ClaimOutcome):
        owner.remove(operation.entry.claim)
    elif isinstance(operation, Finish):
        for end in operation.ends:
            owner.remove_lease(end.id)
    elif isinstance(operation, Release) or (isinstance(operation, Forget) and operation.forgotten):
        for id in operation.ids:
            owner.remove_lease(id)


def _row_of(entry: Entry) -> row_mapping.Values:
    """Return the parameters that identify the row of an entry."""
    return {"the_key": entry.key, "the_claim": entry.claim}


def _digest(id: str) -> str:
    """Return a short digest of an id, for a key. Keys are indexed, so they must not be long."""
    return hashlib.sha256(id.encode()).hexdigest()[:16]
