"""ClusterBatch: a batch whose rows run on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from luma_async.batch.cluster_connection import ClusterConnection
from luma_async.batch.cluster_run import (
    ClusterRun,
    Phase,
    ShardNews,
    ShardReport,
    place_of_journal,
    process_name,
    shipped_settings,
)
from luma_async.batch.log_forwarder import log_forwarded
from luma_async.batch.manifest import Manifest
from luma_async.batch.output import Output, marker_of
from luma_async.batch.output_folder import OutputFolder
from luma_async.batch.plan import Plan
from luma_async.batch.progress import RunningRow, Stage
from luma_async.batch.results import Result, ResultState
from luma_async.batch.rows import Row
from luma_async.batch.runner import Batch
from luma_async.batch.shard_planner import ShardPlanner
from luma_async.batch.shards import (
    split,
    with_full_paths,
    within_limit,
)
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import BatchError, LumaError

logger = logging.getLogger("luma_async")

if TYPE_CHECKING:
    from distributed import Client

BEAT_EVERY = 2.0
"""Seconds from one sign of life for the workers to the next."""

LONGEST_PAUSE = 30.0
"""Longest pause in seconds before rows of a shard run again that brought no result."""

MOST_FRUITLESS = 6
"""Maximum number of attempts in a row in which no row of a shard ended. A cluster whose workers are
restarted, or a database that is away, has about a minute to come back."""


class ClusterBatch(Batch):
    """One run of a manifest into a folder, on the workers of a Dask cluster.

    >>> batch = ClusterBatch(luma, manifest, "prompts", cluster="local:4")       # doctest: +SKIP
    >>> async for result in batch.run():                                        # doctest: +SKIP
    ...     print(result.key, result.state, result.file or result.error)

    It is used as a `Batch` is. The rows are split into shards, and each worker runs its shards on a
    client of its own. Results arrive here while the shards run. If a worker dies, another one goes
    on with its rows: their job keys find the jobs in the journal, so that none is paid twice.

    Each worker has the same version of this library, and the API key in its own environment
    (`LUMA_API_KEY`) or `.env`: the key is not sent to it. The URL of the journal is, with its
    password if it has one. The worker clients have the numbers of `luma`, but not its sessions, its
    webhook and its schedule.

    With `cluster="local:4"`, the program that makes the batch must be guarded by
    `if __name__ == "__main__":`, because worker processes import it.

    Args:
        luma: the client, with a journal that all workers reach: in PostgreSQL, or for `local:N`
            also in SQLite. It submits nothing itself.
        manifest: the rows to run.
        folder: the folder, which all workers share at the same path.
        cluster: `local:N` for N worker processes on this machine, the address of a Dask scheduler
            (`tcp://scheduler:8786`), or a `distributed.Client`.
        max_tasks: maximum number of jobs that run at once, of all workers and of all other programs
            that use the journal with `max_tasks_scope="journal"`.
        limit_jobs: maximum number of jobs to pay for in this run. A job that is rejected counts.
        retry_failed: submit rows again that failed in an earlier run.
        retry_uncertain: submit rows again that an earlier run left uncertain, as in `Batch`.
        output: the URL for the videos, as in `Batch`. The workers need no shared folder then, but
            the package of the protocol and its credentials. A password in the URL is sent to them.

    Raises:
        ConfigurationError: the client has no journal, or one that the workers do not reach;
            `cluster` is not valid.
        InvalidRequestError: `retry_failed` or `retry_uncertain` is not `True` or `False`.
        ModuleNotFoundError: `pip install "luma-async[cluster]"`.

    """

    def __init__(
        self,
        luma: LumaClient,
        manifest: Manifest,
        folder: str | os.PathLike[str],
        *,
        cluster: str | Client,
        max_tasks: int = 100,
        limit_jobs: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: bool = False,
        output: str | None = None,
    ) -> None:
        super().__init__(
            luma,
            manifest,
            folder,
            max_tasks=max_tasks,
            limit_jobs=limit_jobs,
            retry_failed=retry_failed,
            retry_uncertain=retry_uncertain,
            output=output,
        )
        self._connection = ClusterConnection(cluster)
        self._place = place_of_journal(luma, is_local=self._connection.is_local)
        self._slots = 1
        self._order: ClusterRun | None = None
        self._left: set[str] = set()
        """Keys of the rows of this run that have not ended."""
        self._planner = ShardPlanner(
            self._journal,
            self._runner.states,
            self._results,
            retry_failed=retry_failed,
            retry_uncertain=retry_uncertain,
        )
        self._active: set[str] = set()
        """Names of the running shards. News of another one come too late."""
        self._latest: dict[str, ShardNews] = {}
        """Latest news of the running shards, by their names."""
        self._paid: dict[str, tuple[int, int]] = {}
        """Numbers of paid and of repeated jobs of each shard."""
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        """Messages of workers."""
        self._ended: asyncio.Queue[Result | None] = asyncio.Queue()
        """Results that are added and not yielded yet; `None` comes last."""
        self._stopped = asyncio.Event()
        self._logged: set[str] = set()
        """Errors of workers that are in the log."""
        self._was_reached = False
        self._unreachable: LumaError | None = None

    @property
    def running_rows(self) -> list[RunningRow]:
        """Rows that have begun and not ended, as their workers told last."""
        return [row for news in self._latest.values() for row in news.running]

    @property
    def has_interrupted_redo(self) -> bool:
        """`True` if a run without a cluster must finish a redo first. `run()` raises for it."""
        return bool(self._redos.left)

    def stop(self) -> None:
        """Submit no more rows on any worker. Running jobs are watched to their end."""
        super().stop()
        self._stopped.set()

    async def run(
        self, *, prepare: Callable[[], None] | None = None
    ) -> AsyncGenerator[Result, None]:
        """Run the batch and yield the result of each row that had not ended before.

        To leave early, call `stop()` and read on, or close this generator, as with `Batch.run()`.

        Args:
            prepare: called in a thread before anything is submitted, once no other batch can use
                the folder.

        Raises:
            ManifestError: rows break rules of the client's dialect; nothing was submitted.
            BatchError: the folder or the cluster cannot be used.
            LumaError: the client was closed, or the journal cannot be used.

        """
        try:
            async with aclosing(super().run(prepare=prepare)) as results:
                async for result in results:
                    yield result
        finally:
            await to_completion(self._disconnect)

    async def _plan(self, prepare: Callable[[], None] | None) -> Plan:
        plan = await super()._plan(prepare)
        for key in self._redos.left:
            raise BatchError(
                f"An interrupted run was redoing row {key!r}. Finish that without a cluster first: "
                "run the same batch once more without one."
            )
        if plan.left:
            await self._connect()
        return plan

    async def _connect(self) -> None:
        """Connect to the cluster, and check that all workers can run rows.

        Raises:
            BatchError: the cluster cannot be used; nothing was submitted.

        """
        self._slots = await self._connection.open()
        self._order = order = self._new_order()
        if order.marker is not None:
            await self.output.create_marker(order.marker)
        await self._connection.tell_phase(order, Phase.RUNNING, 0)
        await self._connection.check(order)
        self._connection.subscribe(order, self._inbox.put_nowait)

    def _new_order(self) -> ClusterRun:
        id = uuid4().hex[:12]
        output: Output = self.output
        if isinstance(output, OutputFolder):
            output = OutputFolder(output.folder.absolute())
        return ClusterRun(
            id=id,
            base_url=self._luma.base_url,
            dialect=self._luma.dialect,
            journal=self._place,
            output=output,
            marker=marker_of(id),
            max_tasks=self.max_tasks,
            retry_failed=self._retry_failed,
            retry_uncertain=self._retry_uncertain,
            settings=shipped_settings(self._luma),
            process=process_name(),
        )

    async def _disconnect(self) -> None:
        """Let the workers leave the run, and close the connection."""
        try:
            if self._order is not None:
                await self._connection.tell_phase(self._order, Phase.ENDED, -1)
                await self._connection.leave(self._order)
        finally:
            await self._connection.aclose()
            if self._order is not None and self._order.marker is not None:
                await self.output.remove_marker(self._order.marker)

    async def _run_rows(self, rows: Sequence[Row]) -> AsyncGenerator[Result, None]:
        states, limit = self._runner.states, self.progress.limit
        if limit is not None:
            rows = within_limit(rows, lambda row: states[row.key].is_new, limit)
        self._left = {row.key for row in rows}
        await self._planner.begin(rows)
        dispatcher = asyncio.create_task(self._dispatch(rows), name="luma-async cluster batch")
        try:
            while (result := await self._ended.get()) is not None:
                yield result
            await dispatcher
        finally:
            dispatcher.cancel()
            await to_completion(asyncio.wait, [dispatcher])

    async def _dispatch(self, rows: Sequence[Row]) -> None:
        """Run all shards, and add the results that workers send meanwhile."""
        tasks: list[asyncio.Task[None]] = []
        try:
            shards = split(
                [with_full_paths(row) for row in rows], slots=self._slots, max_tasks=self.max_tasks
            )
            work = [self._run_shard(number, shard) for number, shard in enumerate(shards, 1)]
            tasks += [
                asyncio.create_task(each, name="luma-async cluster batch")
                for each in (*work, self._read_messages(), self._tell_phases())
            ]
            left = set(tasks[: len(work)])
            while left:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
                tasks = [task for task in tasks if task not in ended]
                left -= ended
            if self._unreachable is not None and not self._was_reached:
                self._set_problem(self._unreachable)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await to_completion(asyncio.wait, tasks)
            self._ended.put_nowait(None)

    async def _read_messages(self) -> None:
        while True:
            message = await self._inbox.get()
            log_forwarded(message["log"], message["worker"])
            for each in message["shards"]:
                self._take_news(ShardNews.of_message(each))

    async def _tell_phases(self) -> None:
        """Tell the workers that this process lives, and once that it stops."""
        assert self._order is not None  # noqa: S101  it is connected
        beat = 0
        told = Phase.RUNNING
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_EVERY):
                    await self._stopped.wait()
            beat += 1
            phase = Phase.STOPPING if self.is_stopped else Phase.RUNNING
            await self._connection.tell_phase(self._order, phase, beat)
            if phase is not told:
                told = phase
                # A worker that hangs must not delay the beat for the others, which would take
                # this process for dead. All of them ask for the phase as well.
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        await self._connection.stop(self._order)
            if self.is_stopped:
                await asyncio.sleep(BEAT_EVERY)

    async def _run_shard(self, number: int, rows: Sequence[Row]) -> None:
        """Run a shard, and its rest again for as long as workers die in it and rows end."""
        assert self._order is not None  # noqa: S101  it is connected
        attempt = fruitless = 0
        while rows and not self.is_stopped:
            attempt += 1
            before = len(rows)
            error: Exception | None = None
            name = f"{number}.{attempt}"
            self._active.add(name)
            try:
                shard = await self._planner.shard(name, rows, is_first=attempt == 1)
                report = await self._connection.run_shard(self._order, shard)
            except Exception as failure:  # noqa: BLE001  of a worker, of Dask, or of the journal
                error = failure
            else:
                error = self._take_report(name, report)
                if error is None and not report.began_before:
                    return
            finally:
                self._active.discard(name)
                self._latest.pop(name, None)
                self._count()
            rows = [row for row in rows if row.key in self._left]
            if error is not None and (lost := await self._lost()) is not None:
                self._give_up(lost)
                return
            if rows and not self.is_stopped:
                self._log_repeat(len(rows), error)
            fruitless = 0 if len(rows) < before else fruitless + 1
            if fruitless > MOST_FRUITLESS:
                self._give_up(error)
                return
            if error is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(2.0**fruitless, LONGEST_PAUSE)):
                        await self._stopped.wait()

    async def _lost(self) -> BatchError | None:
        """Wait for a scheduler that is away, and return the error if it stays so."""
        try:
            await self._connection.wait_for_scheduler()
        except BatchError as error:
            return error
        return None

    def _take_news(self, news: ShardNews) -> None:
        if news.shard in self._active:
            self._latest[news.shard] = news
            self._paid[news.shard] = news.paid, news.repeated
        self._take(news.results)
        if news.has_problem:
            self.stop()

    def _take_report(self, shard: str, report: ShardReport) -> LumaError | None:
        """Take the results of a shard, and return the error because of which its rest runs again.

        An error that concerns all rows stops the batch.
        """
        self._paid[shard] = report.paid, report.repeated
        self._take(report.results)
        if report.unreachable is None:
            self._was_reached = True
        else:
            self._unreachable = report.unreachable
        if report.problem is not None:
            self._set_problem(report.problem)
            self.stop()
        return report.journal_problem

    def _take(self, results: Iterable[Result]) -> None:
        """Add results of rows that have not ended before. A report repeats those of the news."""
        progress, states = self.progress, self._runner.states
        for result in results:
            if result.key not in self._left:
                continue
            self._left.discard(result.key)
            self._results.add(result)
            self._ended.put_nowait(result)
            is_completed = result.state in (ResultState.DONE, ResultState.NOT_DOWNLOADED)
            if is_completed:
                states[result.key].video = result.id
            progress.done += is_completed
            if result.state is ResultState.DONE:
                progress.downloaded += 1
            else:
                progress.failed += 1
            if result.took is not None:
                progress.observe(result.took)
        self._count()

    def _count(self) -> None:
        """Update the counts of rows that have not ended."""
        progress, running = self.progress, self.running_rows
        progress.running = sum(row.stage is not Stage.DOWNLOADING for row in running)
        progress.submitted = progress.downloaded + progress.failed + len(running)
        progress.paid = sum(paid for paid, _ in self._paid.values())
        progress.repeated = sum(repeated for _, repeated in self._paid.values())

    def _set_problem(self, problem: LumaError) -> None:
        breaker = self._runner.breaker
        breaker.problem = breaker.problem or problem

    def _log_repeat(self, rows: int, error: Exception | None) -> None:
        """Log that rows run again. Many shards may have the same error: it is logged once."""
        if error is None:
            logger.warning("A worker died. Another one runs its %d rows of the batch.", rows)
        elif (why := _shown(error)) not in self._logged:
            self._logged.add(why)
            logger.warning("Rows of the batch are tried again: %s", why)

    def _give_up(self, error: Exception | None) -> None:
        """Leave the rest of a shard to do. The other shards go on."""
        if isinstance(error, LumaError):
            self._set_problem(error)
        else:
            why = "their workers died" if error is None else _shown(error)
            self._set_problem(
                BatchError(f"Rows could not be run on the cluster, after several attempts: {why}.")
            )


def _shown(error: Exception) -> str:
    """Return an error of a worker as text: errors of this library are sentences."""
    return str(error) if isinstance(error, LumaError) else f"{type(error).__name__}: {error}"
