"""A Dask cluster whose workers are in the process of the test, where nothing has to start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import pytest

from luma_async import FixedSchedule, LumaClient
from luma_async.batch import Result, cluster_worker, local_cluster, read_manifest
from luma_async.batch.cluster import ClusterBatch
from luma_async.batch.cluster_run import ClusterRun
from luma_async.simulator import Simulator
from tests.clients import KEY, connect


def start_workers_here(monkeypatch: pytest.MonkeyPatch) -> list[distributed.Worker]:
    """Let `local:N` start workers in this process, with clients that look every 20 ms."""
    started: list[distributed.Worker] = []
    real_client_of = cluster_worker.client_of

    class WorkerHere(distributed.Worker):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            started.append(self)
            super().__init__(*arguments, **options)

    def client_of(run: ClusterRun) -> LumaClient:
        settings = {**run.settings, "schedule": FixedSchedule(0.02)}
        return real_client_of(replace(run, settings=settings))

    monkeypatch.setattr(local_cluster, "worker_class", lambda: WorkerHere)
    monkeypatch.setattr(cluster_worker, "client_of", client_of)
    monkeypatch.setattr(cluster_worker, "EVERY", 0.05)
    monkeypatch.setattr(cluster_worker, "PHASE_EVERY", 0.1)
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    return started


def batch_on(luma: LumaClient, manifest: Path, folder: Path, **settings: Any) -> ClusterBatch:
    settings.setdefault("cluster", "local:2")
    return ClusterBatch(luma, read_manifest(manifest), folder, **settings)


async def run_on_cluster(
    sim: Simulator, manifest: Path, folder: Path, **settings: Any
) -> list[Result]:
    """Run a batch once on a cluster, as a new process would."""
    folder.mkdir(exist_ok=True)
    async with connect(sim, journal=folder / "jobs.db") as luma:
        batch = batch_on(luma, manifest, folder, **settings)
        return [result async for result in batch.run()]
