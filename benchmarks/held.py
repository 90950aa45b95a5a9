"""Program that watches many running jobs of a journal, and measures itself.

`python -m benchmarks.held URL JOURNAL SECONDS` prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import asyncpg

from benchmarks.flow import PROMPT
from benchmarks.loop_delay import LoopDelay
from benchmarks.memory import resident
from benchmarks.programs import output_of
from benchmarks.timed_server import job_id
from luma_async import LumaClient, SQLJournal

KEY = "benchmark-key"
SETTLING = 20.0
"""Seconds after the jobs are resumed that are not measured: each is looked at for the first time,
and the schedule learns how long jobs take."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a run.

    Attributes:
        jobs: number of jobs that ran, on average.
        ended: number of jobs that ended.
        cpu: CPU seconds.
        seconds: duration in seconds.
        delay: 99th percentile of the delay of the event loop in seconds.
        delay_cpu: the same in CPU seconds of the event loop.
        memory: resident bytes for each job.

    """

    jobs: float
    ended: int
    cpu: float
    seconds: float
    delay: float
    delay_cpu: float
    memory: float


async def fill(journal: str, server: str, jobs: int, median: float, sigma: float) -> None:
    """Record running jobs in an empty journal in PostgreSQL.

    Their durations are log-normal, and their ages those of jobs that begin at a steady rate.
    """
    async with SQLJournal(journal):
        pass
    connection = await asyncpg.connect(journal)
    try:
        await connection.copy_records_to_table(
            "luma_jobs", records=_records(server, jobs, median, sigma), columns=_COLUMNS
        )
    finally:
        await connection.close()


_COLUMNS = (
    *("key", "state", "claim", "owner", "server", "request", "fingerprint"),
    *("task_id", "submitted_at", "updated_at", "request_id"),
)


def _records(server: str, jobs: int, median: float, sigma: float) -> Iterator[tuple[object, ...]]:
    chance, now = random.Random(7), time.time()
    for number in range(jobs):
        # At any moment, long jobs are more likely to be running, in proportion to their duration.
        duration = median * math.exp(chance.gauss(sigma**2, sigma))
        began = now - duration * chance.random()
        request = {"prompt": f"{PROMPT}, take {number}", "aspect_ratio": "16:9"}
        yield (
            *(f"order-{number}", "running", f"{number:032x}", "", server),
            *(json.dumps(request), f"{number:064x}", job_id(began, duration)),
            *(began, began, f"{number:032x}"),
        )


async def hold(url: str, journal: str, seconds: float) -> Measured:
    """Resume the jobs of a journal, and watch them for some seconds."""
    delay = LoopDelay()
    async with LumaClient(KEY, base_url=url, journal=journal, max_requests=16) as luma:
        await luma.get(job_id(time.time(), 60.0))  # opens a connection
        assert luma.journal is not None
        await luma.journal.find("order-0")
        gc.collect()
        gc.freeze()  # keeps the collector from objects of the imports: that stall is not ours
        before = resident()
        tasks = await luma.resume()
        jobs = len(tasks)
        await asyncio.sleep(SETTLING)
        ended = sum(task.done() for task in tasks)
        cpu, start = time.process_time(), time.perf_counter()
        async with delay.measured():
            await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - start
        ended_later = sum(task.done() for task in tasks)
        gc.collect()
        memory = (resident() - before) / jobs
    return Measured(
        jobs=jobs - (ended + ended_later) / 2,
        ended=ended_later - ended,
        cpu=cpu,
        seconds=wall,
        delay=delay.percentile(99),
        delay_cpu=delay.percentile(99, of_cpu=True),
        memory=memory,
    )


def measure(url: str, journal: str, seconds: float) -> Measured:
    """Run the program in a process of its own, and return its result."""
    return Measured(**json.loads(output_of("held", url, journal, seconds)))


if __name__ == "__main__":
    url, journal, seconds = sys.argv[1:]
    print(json.dumps(asdict(asyncio.run(hold(url, journal, float(seconds))))))
