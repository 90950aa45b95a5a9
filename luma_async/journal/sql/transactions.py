"""Transactions: all operations of a group, in one commit."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import RowMapping, UpdateBase, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal.journal import Entry, EntryState, made_up_key
from luma_async.journal.sql import row_mapping, statements
from luma_async.journal.sql.engine import Clash
from luma_async.journal.sql.heartbeats import Heartbeats
from luma_async.journal.sql.operations import Beat, Change, Claim, Find, Finish, Hold, Operation
from luma_async.journal.sql.owner import start_of, this_host
from luma_async.journal.sql.schema import jobs, owners

_DIED = "The process that was submitting the job ended before the answer arrived."

_STEP = 64 * 2**10
"""Characters of rows to convert to entries before other tasks of the event loop have their turn."""

_ROUNDS = 5
"""Number of times that a claim is tried if competing entries appear and disappear."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Operations on a journal in the name of one owner.

    All writers write rows in the order of their keys, to avoid deadlocks. `heartbeats` detects dead
    owners. `under_way` has the claims of this owner that have not ended yet.
    """

    owner: str
    heartbeats: Heartbeats
    dialect: str
    under_way: AbstractSet[str]

    async def run(
        self, connection: AsyncConnection, group: Sequence[Operation]
    ) -> Mapping[Operation, Entry | bool | None]:
        """Run all operations of a group, and return their results.

        The result of a `Claim` or `Find` is the entry that the key has then.
        """
        moment = row_mapping.this_moment()
        await self._change(connection, [each for each in group if isinstance(each, Change)], moment)
        await self._finish(connection, [each for each in group if isinstance(each, Finish)], moment)
        if any(isinstance(operation, Beat | Hold) for operation in group):
            await self.beat(connection)
        holds = [operation for operation in group if isinstance(operation, Hold)]
        held: dict[Operation, bool] = {
            hold: await self._hold(connection, hold.entry, moment) for hold in holds
        }
        found = await self._claim(connection, [each for each in group if isinstance(each, Claim)])
        finds = [operation for operation in group if isinstance(operation, Find)]
        entries = await self._under(connection, {find.key for find in finds})
        return {**held, **found, **{find: entries.get(find.key) for find in finds}}

    async def beat(self, connection: AsyncConnection) -> None:
        """Record that this owner is alive."""
        pid = os.getpid()
        me = {
            "the_owner": self.owner,
            "the_host": this_host(),
            "the_pid": pid,
            "the_start": start_of(pid),
        }
        await connection.execute(statements.beat(self.dialect), me)

    async def leave(self, connection: AsyncConnection) -> None:
        """Record that this owner has no submissions under way any more."""
        await connection.execute(delete(owners).where(owners.c.owner == self.owner))

    async def read(self, connection: AsyncConnection, condition: Any) -> list[Entry]:
        """Return the entries that meet a condition, oldest first.

        Entries that a dead process was submitting become uncertain first.
        """
        found = await connection.execute(statements.select_jobs(self.dialect).where(condition))
        entries: list[Entry] = []
        dead: list[Entry] = []
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
                    dead.append(entry)
                elif row["owner"] != self.owner:
                    entry = replace(entry, reason=self.heartbeats.complaint(row))
            entries.append(entry)
        moment = row_mapping.this_moment()
        await _many(
            connection,
            statements.DIED,
            [{**_the(entry), "new_reason": _DIED, "now": moment} for entry in dead],
        )
        return entries

    def _is_dead(self, row: RowMapping) -> bool:
        if row["owner"] == self.owner:
            return row["claim"] not in self.under_way
        return self.heartbeats.is_dead(row)

    async def _hold(self, connection: AsyncConnection, entry: Entry, moment: float) -> bool:
        values = [{**_the(entry), "now": moment}]
        return await _many(connection, statements.HOLD, values) == 1

    async def _under(self, connection: AsyncConnection, keys: set[str]) -> dict[str, Entry]:
        found = await self.read(connection, jobs.c.key.in_(keys)) if keys else []
        return {entry.key: entry for entry in found}

    async def _change(
        self, connection: AsyncConnection, changes: Iterable[Change], moment: float
    ) -> None:
        accepted: list[Change] = []
        rejected: list[row_mapping.Values] = []
        restored: list[row_mapping.Values] = []
        uncertain: list[row_mapping.Values] = []
        for change in changes:
            if change.to == "taken":
                accepted.append(change)
            elif change.to == "unclear":
                new = {"new_reason": row_mapping.clean(change.reason), "now": moment}
                uncertain.append({**_the(change.entry), **new})
            elif change.instead_of is None:
                rejected.append(_the(change.entry))
            else:
                before = replace(change.instead_of, claim=change.entry.claim)
                is_open = (EntryState.SUBMITTING, EntryState.UNCERTAIN)
                restored.append(self._replacing(change.entry, is_open, before))
        if accepted:
            await self._take_ids(connection, accepted, moment)
        await _many(connection, statements.REFUSED, rejected)
        await _many(connection, statements.REPLACE, restored)
        await _many(connection, statements.UNCLEAR, uncertain)

    async def _take_ids(
        self, connection: AsyncConnection, taken: Sequence[Change], moment: float
    ) -> None:
        ids = {change: row_mapping.clean(change.id) for change in taken}
        written = await _many(
            connection,
            statements.TAKEN,
            [{**_the(each), "new_id": id, "now": moment} for each, id in _entries(ids)],
        )
        if written == len(taken):
            return
        # An entry may have been settled before its answer arrived.
        where = jobs.c.task_id.in_(set(ids.values()))
        known = set(await connection.execute(select(jobs.c.server, jobs.c.task_id).where(where)))
        strays = [(each, id) for each, id in _entries(ids) if (each.server, id) not in known]
        await self._insert(
            connection,
            [
                replace(
                    entry,
                    key=made_up_key(f"{entry.claim}-{_digest(id)}"),
                    state=EntryState.RUNNING,
                    id=id,
                    reason=f"Its key {entry.key!r} was settled before the answer arrived.",
                )
                for entry, id in strays
            ],
        )

    async def _finish(
        self, connection: AsyncConnection, finishes: Iterable[Finish], moment: float
    ) -> None:
        ends = [end for finish in finishes for end in finish.ends]
        values = [{**row_mapping.end_values(end), "now": moment} for end in ends]
        await _many(connection, statements.FINISH, values)

    async def _claim(
        self, connection: AsyncConnection, claims: Sequence[Claim]
    ) -> dict[Operation, Entry]:
        """Write claims, and return the entry that the key of each has then."""
        current: dict[Operation, Entry] = {}
        open_claims = list(claims)
        for tried in range(_ROUNDS):
            contested = await self._try_to_claim(connection, open_claims, anew=tried > 0)
            current |= {claim: claim.entry for claim in open_claims if claim not in contested}
            found = await self._under(connection, {claim.entry.key for claim in contested})
            current |= {
                claim: found[claim.entry.key] for claim in contested if claim.entry.key in found
            }
            # A competing entry may be gone by now, so that the key is free.
            open_claims = [claim for claim in contested if claim.entry.key not in found]
            if not open_claims:
                return current
        raise Clash

    async def _try_to_claim(
        self, connection: AsyncConnection, claims: Sequence[Claim], *, anew: bool
    ) -> list[Claim]:
        """Write claims, and return those that another caller may have won."""
        replacing = {claim: claim.instead_of for claim in claims if claim.instead_of and not anew}
        new = [claim for claim in claims if claim not in replacing]
        inserted = await self._insert(connection, [claim.entry for claim in new])
        replaced = await _many(
            connection,
            statements.REPLACE,
            [
                self._replacing(before, (before.state, before.state), claim.entry)
                for claim, before in replacing.items()
            ],
        )
        return [
            *([] if inserted == len(new) else [claim for claim in new if claim.is_contested]),
            *([] if replaced == len(replacing) else replacing),
        ]

    async def _insert(self, connection: AsyncConnection, entries: Iterable[Entry]) -> int:
        return await _many(
            connection,
            statements.insert_if_free(jobs, self.dialect),
            [row_mapping.values_of(entry, self.owner) for entry in entries],
        )

    def _replacing(
        self, there: Entry, states: tuple[EntryState, EntryState], entry: Entry
    ) -> row_mapping.Values:
        """Return the parameters that replace an existing entry, if it is in one of two states."""
        values = row_mapping.values_of(entry, self.owner)
        return {
            **_the(there),
            "the_state": states[0].value,
            "or_state": states[1].value,
            **{f"new_{name}": value for name, value in values.items() if name != "key"},
        }


async def _many(
    connection: AsyncConnection, statement: UpdateBase, parameters: list[row_mapping.Values]
) -> int:
    """Run a statement for each row, and return the number of rows, or -1 if it is not known."""
    if not parameters:
        return 0
    result = await connection.execute(statement, sorted(parameters, key=row_mapping.by_key))
    return result.rowcount


def _the(entry: Entry) -> row_mapping.Values:
    """Return the parameters that identify the row of an entry."""
    return {"the_key": entry.key, "the_claim": entry.claim}


def _digest(id: str) -> str:
    """Return a short digest of an id, for a key. Keys are indexed, so they must not be long."""
    return hashlib.sha256(id.encode()).hexdigest()[:16]


def _entries(ids: Mapping[Change, str]) -> list[tuple[Entry, str]]:
    return [(change.entry, id) for change, id in ids.items()]
