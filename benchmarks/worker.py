"""Program that runs its share of many jobs, beside other processes that use the same account.

`python -m benchmarks.worker SETTINGS` prints `ready`, begins when a line is written to it, and
prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.flow import PROMPT
from benchmarks.programs import outputs_of
from luma_async import LumaClient
from luma_async.client_settings import MaxTasksScope


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the program.

    Attributes:
        url: base URL of a timed server.
        journal: database URL.
        name: name of the process, for its job keys.
        jobs: number of jobs.
        max_tasks: as of `LumaClient`.
        scope: as its `max_tasks_scope`.

    """

    url: str
    journal: str
    name: str
    jobs: int
    max_tasks: int
    scope: MaxTasksScope


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a process: its CPU seconds, and the times of the Unix epoch of its run."""

    jobs: int
    cpu: float
    began: float
    ended: float


AT_ONCE = 1_000
"""Maximum number of jobs of one process at a time."""


async def run(settings: Settings) -> Measured:
    """Run jobs as fast as possible."""
    async with LumaClient(
        "benchmark-key",
        base_url=settings.url,
        journal=settings.journal,
        max_tasks=settings.max_tasks,
        max_tasks_scope=settings.scope,
    ) as luma:
        await luma.run(PROMPT, key=f"{settings.name}-warm")  # loads all modules
        gc.collect()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began, cpu = time.time(), time.process_time()
        requests = (
            (f"{settings.name}-{number}", f"{PROMPT}, take {number}")
            for number in range(settings.jobs)
        )
        completed = 0
        async for outcome in luma.run_many(requests, max_tasks=AT_ONCE):
            completed += outcome.ok
        assert completed == settings.jobs
        return Measured(settings.jobs, time.process_time() - cpu, began, time.time())


def measure_together(every: Sequence[Settings]) -> list[Measured]:
    """Run processes that begin at the same time, and return the result of each."""
    arguments = [(json.dumps(asdict(settings)),) for settings in every]
    return [Measured(**json.loads(output)) for output in outputs_of("worker", arguments)]


if __name__ == "__main__":
    settings = Settings(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(asyncio.run(run(settings)))))
