"""Shard planner: the shards of a batch on a cluster, planned again after a worker has died."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from luma_async.batch.plan import RowState, state_of_row
from luma_async.batch.results import ResultStore
from luma_async.batch.rows import Row
from luma_async.batch.shards import LARGEST_SHARD, Shard
from luma_async.journal import Entry, Journal


class ShardPlanner:
    """Planner of the shards of one run.

    A row that runs again may have been submitted by a worker that died. So the planner reads the
    journal anew, and no job that failed or became uncertain in this run is submitted once more.

    Args:
        journal: the journal.
        states: the states of all rows, by their keys.
        results: the results of all rows.
        retry_failed: submit rows again that failed in an earlier run.
        retry_uncertain: submit rows again that an earlier run left uncertain.

    """

    def __init__(
        self,
        journal: Journal,
        states: dict[str, RowState],
        results: ResultStore,
        *,
        retry_failed: bool,
        retry_uncertain: bool,
    ) -> None:
        self._journal = journal
        self._states = states
        self._results = results
        self._retry_failed = retry_failed
        self._retry_uncertain = retry_uncertain
        self._claims: dict[str, str] = {}
        """Claims of the failed and uncertain entries that this run may replace, by job key."""

    async def begin(self, rows: Sequence[Row]) -> None:
        """Note the failed and uncertain jobs that this run may submit again.

        Raises:
            JournalError: the journal cannot be read.

        """
        if not (self._retry_failed or self._retry_uncertain):
            return
        new = [row for row in rows if self._states[row.key].is_new]
        for start in range(0, len(new), LARGEST_SHARD):
            entries = await self._entries(new[start : start + LARGEST_SHARD])
            self._claims.update((key, entry.claim) for key, entry in entries.items())

    async def shard(self, name: str, rows: Sequence[Row], *, is_first: bool) -> Shard:
        """Return a shard of rows. If it is not the first one, the journal knows more by now.

        Raises:
            JournalError: the journal cannot be read.

        """
        states = self._states
        if not is_first:
            entries = await self._entries(rows)
            for row in rows:
                states[row.key] = self._new_state(row, entries.get(row.key))
            for row in rows:
                if row.parent is not None:
                    states[row.parent].extensions_left += 1
        return Shard.of(name, rows, states=states, results=self._results.all)

    async def _entries(self, rows: Iterable[Row]) -> dict[str, Entry]:
        found = await asyncio.gather(*(self._journal.find(row.key) for row in rows))
        return {entry.key: entry for entry in found if entry is not None}

    def _new_state(self, row: Row, entry: Entry | None) -> RowState:
        retries = entry is not None and self._claims.get(row.key) == entry.claim
        state = state_of_row(
            row,
            None if entry is None else entry.state,
            self._results.all.get(row.key),
            retry_failed=self._retry_failed and retries,
            retry_uncertain=self._retry_uncertain and retries,
        )
        state.retries = retries
        return state
