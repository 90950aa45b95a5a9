"""Cluster worker: the part of a batch that runs on the workers of a Dask cluster.

Dask calls the functions of this module by name, so that a worker needs the same version of this
library as the coordinator.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from luma_async.batch.circuit_breaker import CircuitBreaker
from luma_async.batch.cluster_run import (
    SCHEDULER_TIMEOUT,
    ClusterRun,
    Phase,
    ShardReport,
    process_name,
)
from luma_async.batch.log_forwarder import LogForwarder
from luma_async.batch.running_shard import RunningShard
from luma_async.batch.shards import Shard
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import BatchError, LumaError
from luma_async.extras import needing
from luma_async.version import __version__

with needing("distributed", user="luma_async.batch.cluster_worker", extra="cluster"):
    import distributed
    from distributed import Worker as DaskWorker

EVERY = 0.5
"""Seconds from one message to the coordinator to the next."""

PHASE_EVERY = 1.0
"""Seconds from one question for the phase of the run to the next."""

SILENCE = 30.0
"""Seconds of silence after which the coordinator counts as dead. Then the worker leaves the run."""

_runs: dict[tuple[str, str], WorkerRun] = {}
"""Runs of this process, by their ids and the addresses of its workers."""


async def prepare(run: ClusterRun, dask_worker: DaskWorker) -> str | None:
    """Open the client of a run on a worker, and return the problem if the worker cannot serve it.

    Nothing is submitted.
    """
    try:
        await _joined(run, dask_worker).open()
    except (LumaError, ModuleNotFoundError) as error:
        return str(error)
    return None


async def run_shard(run: ClusterRun, shard: Shard) -> ShardReport:
    """Run the rows of a shard on the worker that executes this, and return their results.

    Raises:
        BatchError: the worker cannot serve the run; nothing was submitted.
        LumaError: the journal cannot be used, or the coordinator of the run is dead.

    """
    return await _joined(run, distributed.get_worker()).run_shard(shard)


async def stop(id: str, dask_worker: DaskWorker) -> None:
    """Submit no more rows of a run on a worker."""
    run = _runs.get((id, dask_worker.address))
    if run is not None:
        run.stop()


async def leave(id: str, dask_worker: DaskWorker) -> None:
    """Close the client of a run on a worker, once its submissions in flight are answered."""
    run = _runs.get((id, dask_worker.address))
    if run is not None:
        await run.aclose()


def _joined(run: ClusterRun, worker: DaskWorker) -> WorkerRun:
    joined = _runs.get((run.id, worker.address))
    if joined is None or joined.is_closed:
        joined = _runs[run.id, worker.address] = WorkerRun(run, worker)
    return joined


def client_of(run: ClusterRun) -> LumaClient:
    """Return a client for a run, with the API key of this machine's environment or `.env`.

    Raises:
        ConfigurationError: there is no API key, or a setting is not valid.

    """
    return LumaClient.from_env(
        base_url=run.base_url,
        dialect=run.dialect,
        journal=run.journal,
        max_tasks=run.max_tasks,
        max_tasks_scope="journal",
        **run.settings,
    )


class WorkerRun:
    """A run of a batch on one worker: its client, and the shards that run on it.

    The client stays open from the first shard to the end of the run. It is also closed if the
    worker closes, and if the coordinator is silent for `SILENCE` seconds.
    """

    def __init__(self, run: ClusterRun, worker: DaskWorker) -> None:
        self.is_closed = False
        self._run = run
        self._worker = worker
        self._opening = asyncio.Lock()
        self._luma: LumaClient | None = None
        self._breaker = CircuitBreaker()
        self._shards: dict[str, RunningShard] = {}
        self._is_stopping = False
        self._has_ended = False
        self._beat: int | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._log = LogForwarder()

    async def open(self) -> LumaClient:
        """Check that this worker can serve the run, and return the client of the run.

        Raises:
            BatchError: the version of the library, or the output, is another one.
            ConfigurationError: there is no API key, or a setting is not valid.
            JournalError: the journal cannot be used.

        """
        async with self._opening:
            if self._luma is None:
                self._check_version()
                await self._check_output()
                luma = client_of(self._run)
                try:
                    await luma.open()
                    await self._ask_for_phase()
                except BaseException:
                    await to_completion(luma.aclose)
                    raise
                self._luma = luma
                if self._run.process != process_name():
                    self._log.start()
                await self._worker.plugin_add(_Closing(self), name=self._run.topic)
                self._ticker = asyncio.create_task(self._tick(), name="luma-async cluster worker")
            return self._luma

    def _check_version(self) -> None:
        if self._run.version != __version__:
            raise BatchError(
                f"It has luma-async {__version__}, but the batch was started with "
                f"{self._run.version}. Install the same version everywhere."
            )

    async def _check_output(self) -> None:
        """Check that files can be written to the output, and that it is the coordinator's place.

        Raises:
            BatchError: it is not.
            ConfigurationError: the package for its URL is not installed.

        """
        # First, because preparing the place would create a folder that is not shared.
        if self._run.marker is not None:
            await self._run.output.check_marker(self._run.marker)
        await self._run.output.prepare()

    async def run_shard(self, shard: Shard) -> ShardReport:
        """Run the rows of a shard.

        Raises:
            BatchError: the worker cannot serve the run; nothing was submitted.
            LumaError: the journal cannot be used, or the run was left.

        """
        luma = await self.open()
        await self._ask_for_phase()
        if self._is_stopping or self._has_ended:
            return ShardReport()
        if await self._has_begun(shard):
            return ShardReport(began_before=True)
        running = self._shards[shard.name] = RunningShard(self._run, shard, luma, self._breaker)
        try:
            await running.wait()
        finally:
            del self._shards[shard.name]
        return running.report()

    async def _has_begun(self, shard: Shard) -> bool:
        """Return `True` if another worker has begun the shard. Otherwise this one has now."""
        keys = self._run.begun_keys(shard.name)
        scheduler: Any = self._worker.scheduler
        if await scheduler.get_metadata(keys=keys, default=None) is not None:
            return True
        await scheduler.set_metadata(keys=keys, value=self._worker.address)
        return False

    async def _tick(self) -> None:
        """Send news, and ask for the phase, until the run has ended or its coordinator is dead."""
        asked = heard = time.monotonic()
        while True:
            await asyncio.sleep(EVERY)
            self._send_news()
            now = time.monotonic()
            if now - asked < PHASE_EVERY:
                continue
            asked = now
            self._drop_released_shards()
            if await self._ask_for_phase():
                heard = now
            if self._has_ended or now - heard > SILENCE:
                self._leave()
                return

    def _send_news(self) -> None:
        messages = [news.message() for shard in self._shards.values() if (news := shard.news())]
        lines = self._log.take()
        if messages or lines:
            self._worker.log_event(self._run.topic, {"shards": messages, "log": lines})

    async def _ask_for_phase(self) -> bool:
        """Follow the phase of the run, and return `True` if the coordinator is alive."""
        scheduler: Any = self._worker.scheduler
        try:
            async with asyncio.timeout(SCHEDULER_TIMEOUT):
                found = await scheduler.get_metadata(keys=self._run.phase_keys, default=None)
        except OSError:  # the scheduler is not reached, or hangs
            return False
        if found is None:
            return False
        phase, beat = found
        if phase == Phase.STOPPING:
            self.stop()
        self._has_ended = phase == Phase.ENDED
        before, self._beat = self._beat, beat
        return bool(beat != before)

    def stop(self) -> None:
        """Submit no more rows. Running jobs are watched to their ends."""
        self._is_stopping = True
        for shard in self._shards.values():
            shard.stop()
        if self._luma is not None:
            self._luma.stop_submitting()

    def _drop_released_shards(self) -> None:
        """Cancel the shards that the scheduler no longer wants from this worker.

        Their coordinator is dead or has stopped at once, or another worker has them.
        """
        tasks = self._worker.state.tasks
        for shard in self._shards.values():
            task = tasks.get(self._run.task_key(shard.name))
            if task is None or task.state == "cancelled":
                shard.cancel()

    def _leave(self) -> None:
        """Close the client in the background, because closing ends the task that calls this."""
        self._closing = asyncio.create_task(
            self.aclose(), name="luma-async cluster worker, closing"
        )

    async def aclose(self) -> None:
        """Leave the run: submit nothing more, and close the client once submissions are answered.

        Running jobs continue at the server, and the next run of the batch finds them.
        """
        self.is_closed = True
        await to_completion(self._close)

    async def _close(self) -> None:
        async with self._opening:
            if _runs.get((self._run.id, self._worker.address)) is self:
                del _runs[self._run.id, self._worker.address]
            luma, self._luma = self._luma, None
            if luma is None:
                return
            for shard in self._shards.values():
                shard.cancel()
            if self._ticker is not None:
                self._ticker.cancel()
            self._log.stop()
            self._worker.plugins.pop(self._run.topic, None)
            await luma.aclose()


class _Closing(distributed.WorkerPlugin):
    """Plugin that closes the client of a run when its worker closes."""

    def __init__(self, run: WorkerRun) -> None:
        self._run = run

    async def teardown(self, worker: DaskWorker) -> None:  # noqa: ARG002  Dask calls it so
        """Close the client."""
        await self._run.aclose()
