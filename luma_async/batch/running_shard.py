"""Running shard: the rows of a shard that run on the client of a worker, with their news."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from luma_async.batch.circuit_breaker import CircuitBreaker
from luma_async.batch.cluster_run import ClusterRun, ShardNews, ShardReport
from luma_async.batch.progress import Progress
from luma_async.batch.results import Result
from luma_async.batch.row_runner import RowRunner
from luma_async.batch.shards import Shard
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import JournalError
from luma_async.tasks.run_many import Outcome


class RunningShard:
    """A shard that runs on a client from now on, with the results that are still to be sent.

    `breaker` counts the failures of all shards of the client.
    """

    def __init__(
        self, run: ClusterRun, shard: Shard, luma: LumaClient, breaker: CircuitBreaker
    ) -> None:
        self.name = shard.name
        self._breaker = breaker
        self._results = _ShardResults(shard.results)
        self._sent = 0
        self._last: ShardNews | None = None
        self._progress = Progress(len(shard.rows))
        self._runner = _ShardRunner(
            luma,
            run.output,
            results=self._results,
            progress=self._progress,
            max_tasks=run.max_tasks,
            retry_failed=run.retry_failed,
            retry_uncertain=run.retry_uncertain,
            breaker=breaker,
        )
        self._runner.states.update(shard.states)
        self._runner.queue(shard.rows)
        if breaker.problem is not None:
            self._runner.stop()
        self._task = asyncio.create_task(self._run(), name=f"luma-async shard {self.name}")

    async def _run(self) -> None:
        async with aclosing(self._runner.run()) as results:
            async for _ in results:
                pass

    async def wait(self) -> None:
        """Wait for the end of the shard. If this is cancelled, the shard is stopped at once.

        Raises:
            LumaError: the client was closed, or the journal cannot be used.

        """
        try:
            await asyncio.wait([self._task])
        finally:
            self._task.cancel()
            await to_completion(asyncio.wait, [self._task])
        self._task.result()

    def stop(self) -> None:
        """Submit no more rows."""
        self._runner.stop()

    def cancel(self) -> None:
        """Stop at once. Running jobs continue at the server."""
        self._task.cancel()

    def news(self) -> ShardNews | None:
        """Return the news since the last call, `None` if there are none."""
        results = self._results.added[self._sent :]
        news = ShardNews(
            shard=self.name,
            results=tuple(results),
            running=tuple(self._runner.running_rows),
            paid=self._progress.paid,
            repeated=self._progress.repeated,
            has_problem=self._breaker.problem is not None,
        )
        if news == self._last:
            return None
        self._sent += len(results)
        self._last = news
        return news

    def report(self) -> ShardReport:
        """Return all results."""
        return ShardReport(
            results=tuple(self._results.added),
            paid=self._progress.paid,
            repeated=self._progress.repeated,
            problem=self._breaker.problem,
            journal_problem=self._runner.journal_problem,
            unreachable=self._breaker.unreachable,
        )


class _ShardRunner(RowRunner):
    """Runner that leaves rows to do if the journal could not take them.

    The journal of a cluster is on another machine, which may be away for a while. Nothing is
    submitted without it, and the coordinator lets the rest of the shard run again.
    """

    journal_problem: JournalError | None = None

    def _is_left_to_do(self, outcome: Outcome) -> bool:
        error = outcome.error
        if isinstance(error, JournalError) and outcome.id is None:
            self.journal_problem = error
            return True
        return super()._is_left_to_do(outcome)


class _ShardResults:
    """Results in memory. `added` has those of this run, in their order."""

    def __init__(self, before: Mapping[str, Result]) -> None:
        self.all: dict[str, Result] = dict(before)
        self.added: list[Result] = []

    def add(self, result: Result, *, has_ended: bool = True) -> None:
        """Add the result of a row. It counts as one of this run if the row `has_ended` in it."""
        self.all[result.key] = result
        if has_ended:
            self.added.append(result)
