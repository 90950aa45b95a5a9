"""Transactions: everything that is asked at a time, in one commit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, UpdateBase, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from luma_async.journal import rows, statements
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.operations import Beat, Change, Claim, Find, Finish, Operation
from luma_async.journal.owner import is_gone, this_host
from luma_async.journal.schema import jobs, owners

_DIED = "The process that was submitting it ended before the answer came."


@dataclass(frozen=True, slots=True)
class Transactions:
    """Does what is asked of a journal, in the name of one owner.

    Rows are written in the order of their keys, whoever writes.
    An owner that has been silent for `owner_timeout` seconds counts as dead.
    """

    owner: str
    owner_timeout: float
    dialect: str

    async def run(
        self, connection: AsyncConnection, group: Sequence[Operation]
    ) -> Mapping[Operation, Entry | None]:
        """Do all that is in a group, and return what stands under the keys that it asks for."""
        moment = time.time()
        changes = [operation for operation in group if isinstance(operation, Change)]
        claims = [operation for operation in group if isinstance(operation, Claim)]
        finishes = [operation for operation in group if isinstance(operation, Finish)]
        await self._change(connection, changes, moment)
        ends = [end for finish in finishes for end in finish.ends]
        await _many(
            connection, statements.FINISH, [{**rows.end_values(end), "now": moment} for end in ends]
        )
        if any(isinstance(operation, Beat) for operation in group):
            await self.beat(connection)
        lost = await self._claim(connection, claims, moment)
        asked: dict[Operation, str] = {claim: claim.entry.key for claim in lost}
        for operation in group:
            if isinstance(operation, Find):
                asked[operation] = operation.key
        if not asked:
            return {}
        found = await self.read(connection, jobs.c.key.in_(set(asked.values())))
        by_key = {entry.key: entry for entry in found}
        return {operation: by_key.get(key) for operation, key in asked.items()}

    async def beat(self, connection: AsyncConnection) -> None:
        """Note that this owner is alive."""
        me = {"the_owner": self.owner, "the_host": this_host(), "the_pid": os.getpid()}
        await connection.execute(statements.beat(self.dialect), me)

    async def leave(self, connection: AsyncConnection) -> None:
        """Note that this owner has nothing under way any more."""
        await connection.execute(delete(owners).where(owners.c.owner == self.owner))

    async def read(self, connection: AsyncConnection, condition: Any) -> list[Entry]:
        """Return the entries that meet a condition, the oldest first.

        Those that a dead process was submitting become uncertain before.
        """
        found = await connection.execute(statements.select_jobs(self.dialect).where(condition))
        entries: list[Entry] = []
        dead: list[Entry] = []
        for row in found.all():
            entry = rows.entry_of(row._mapping)  # noqa: SLF001  its public name
            if entry.state is EntryState.SUBMITTING and self._is_dead(row):
                entry = replace(entry, state=EntryState.UNCERTAIN, reason=_DIED)
                dead.append(entry)
            entries.append(entry)
        moment = time.time()
        await _many(
            connection,
            statements.UNCLEAR,
            [{**_the(entry), "new_reason": _DIED, "now": moment} for entry in dead],
        )
        return entries

    def _is_dead(self, row: Row[Any]) -> bool:
        if row.owner == self.owner:
            return False
        if row.silence is None:
            return True  # it left for good
        return bool(row.silence > self.owner_timeout or is_gone(row.host, row.pid))

    async def _change(
        self, connection: AsyncConnection, changes: Iterable[Change], moment: float
    ) -> None:
        taken: list[Change] = []
        refused: list[rows.Values] = []
        unclear: list[rows.Values] = []
        for change in changes:
            match change.to:
                case "taken":
                    taken.append(change)
                case "refused":
                    refused.append(_the(change.entry))
                case "unclear":
                    new = {"new_reason": change.reason, "now": moment}
                    unclear.append({**_the(change.entry), **new})
        if taken:
            await self._take_ids(connection, taken, moment)
        await _many(connection, statements.REFUSED, refused)
        await _many(connection, statements.REFUSED_AGAIN, refused)
        await _many(connection, statements.UNCLEAR, unclear)

    async def _take_ids(
        self, connection: AsyncConnection, taken: Sequence[Change], moment: float
    ) -> None:
        written = await _many(
            connection,
            statements.TAKEN,
            [
                {**_the(change.entry), **rows.id_values(change.entry, change.id), "now": moment}
                for change in taken
            ],
        )
        if written == len(taken):
            return
        # An entry may have been settled while its answer was on the way.
        ids = [change.id for change in taken]
        known = set(await connection.scalars(select(jobs.c.task_id).where(jobs.c.task_id.in_(ids))))
        await self._insert(
            connection,
            [
                replace(
                    change.entry,
                    key=f"auto-{change.entry.claim}-{change.id}",
                    state=EntryState.RUNNING,
                    id=change.id,
                    reason=f"Its key {change.entry.key!r} was settled before the answer came.",
                )
                for change in taken
                if change.id not in known
            ],
        )

    async def _claim(
        self, connection: AsyncConnection, claims: Sequence[Claim], moment: float
    ) -> list[Claim]:
        """Write claims, and return those that may have been lost to somebody else."""
        new = [claim for claim in claims if claim.instead_of is None]
        inserted = await self._insert(connection, [claim.entry for claim in new])
        again = await _many(
            connection,
            statements.RECLAIM,
            [
                {
                    **_the(claim.instead_of),
                    "the_state": claim.instead_of.state.value,
                    "new_claim": claim.entry.claim,
                    "new_owner": self.owner,
                    "new_server": claim.entry.server,
                    "now": moment,
                }
                for claim in claims
                if claim.instead_of
            ],
        )
        contested = [claim for claim in new if claim.is_contested]
        return [
            *([] if inserted == len(new) else contested),
            *([] if again == len(claims) - len(new) else [c for c in claims if c.instead_of]),
        ]

    async def _insert(self, connection: AsyncConnection, entries: Iterable[Entry]) -> int:
        return await _many(
            connection,
            statements.insert_if_free(jobs, self.dialect),
            [rows.values_of(entry, self.owner) for entry in entries],
        )


async def _many(
    connection: AsyncConnection, statement: UpdateBase, parameters: list[rows.Values]
) -> int:
    """Run a statement for each row, and return how many it met; -1 if the driver cannot say."""
    if not parameters:
        return 0
    result = await connection.execute(statement, sorted(parameters, key=rows.by_key))
    return result.rowcount


def _the(entry: Entry) -> rows.Values:
    """Return what tells which row is meant."""
    return {"the_key": entry.key, "the_claim": entry.claim}
