"""Scaling: 100,000 pending jobs, and the schedule of a million jobs in virtual time."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.gateway import GatewayProcess, gateway
from benchmarks.programs import output_of
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, FixedSchedule, LumaClient
from luma_async.tasks.agenda import Agenda

FEW, SOME, MANY = 1_000, 10_000, 100_000
VIRTUAL = (10_000, 100_000, 1_000_000)
REPETITIONS = 3
SECONDS = 8.0
LOOKS_A_SECOND = 15_000
IN_FLIGHT = 16
KEY = "benchmark-key"


@dataclass(frozen=True, slots=True)
class Pending:
    """Cost of pending jobs: bytes of memory for each, and CPU seconds of a look at one."""

    jobs: int
    size: float
    look: float


async def hold(url: str, jobs: int, *, trace: bool) -> Pending:
    """Submit jobs that do not end, and measure their memory or the looks at them."""
    delay = jobs / LOOKS_A_SECOND
    schedule = AdaptiveSchedule(shortest=delay, longest=delay)
    server = GatewayProcess(url)
    size = look = 0.0
    if trace:
        async with _client(url, FixedSchedule(1e5)) as luma:
            await luma.get((await luma.generate("a cat")).id)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            tasks = [await luma.generate("a cat dances on a moonlit roof") for _ in range(jobs)]
            gc.collect()
            size = (tracemalloc.get_traced_memory()[0] - before) / len(tasks)
    else:
        async with _client(url, schedule) as luma:
            await asyncio.gather(*(_submit(luma, jobs // 32) for _ in range(32)))
            await asyncio.sleep(2 * delay)  # until each job was looked at
            gc.collect()
            before, start = server.jobs_looked_at(), time.process_time()
            await asyncio.sleep(SECONDS)
            cpu = time.process_time() - start
            look = cpu / (server.jobs_looked_at() - before)
    return Pending(jobs, size, look)


def _client(url: str, schedule: AdaptiveSchedule | FixedSchedule) -> LumaClient:
    return LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, schedule=schedule)


async def _submit(luma: LumaClient, jobs: int) -> None:
    for number in range(jobs):
        await luma.generate(f"cat {number}")


def rows() -> Iterator[Row]:
    """Compare memory and looks of many pending jobs with those of few."""
    sizes = {jobs: _measured(jobs, trace=True).size for jobs in (FEW, SOME, MANY)}
    size = sizes[MANY]
    yield Row(
        f"Memory of each of {MANY:,} pending jobs (tracemalloc)",
        f"{size / 1024:.2f} KiB",
        "at most 2 KiB",
        size <= 2048,
        {f"size {jobs}": measured for jobs, measured in sizes.items()},
    )
    look: dict[int, list[float]] = {FEW: [], SOME: [], MANY: []}
    for _ in range(REPETITIONS):
        for jobs, found in look.items():
            found.append(_measured(jobs, trace=False).look)
    looks = {jobs: statistics.median(found) for jobs, found in look.items()}
    few, many = looks[FEW], looks[MANY]
    yield Row(
        f"CPU for one look with {MANY:,} pending jobs: ratio to {FEW:,}",
        f"{many / few:.2f} ({many * 1e6:.1f} µs against {few * 1e6:.1f} µs)",
        "at most 1.5",
        many <= 1.5 * few,
        {f"look {jobs}": measured for jobs, measured in looks.items()},
    )
    seconds = {jobs: schedule_virtually(jobs) for jobs in VIRTUAL}
    small, large = VIRTUAL[0], VIRTUAL[-1]
    allowed = large * math.log(large) / (small * math.log(small))
    growth = seconds[large] / seconds[small]
    yield Row(
        f"CPU to schedule {large:,} jobs in virtual time: ratio to {small:,}",
        f"{growth:.0f} ("
        + ", ".join(f"{jobs:,}: {taken:.1f} s" for jobs, taken in seconds.items())
        + ")",
        f"at most {allowed:.0f} (n log n)",
        growth <= allowed,
    )


def _measured(jobs: int, *, trace: bool) -> Pending:
    with gateway(median=1e7) as server:
        options = ["trace"] if trace else []
        return Pending(**json.loads(output_of("scale", server.url, jobs, *options)))


class _Job:
    """Job in virtual time."""

    __slots__ = ("done", "ends")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.done = False


def schedule_virtually(jobs: int) -> float:
    """Schedule all looks at a number of jobs in virtual time, and return the CPU seconds."""
    chance = random.Random(7)
    schedule = AdaptiveSchedule(look_cost=1.0)
    kind = schedule.for_jobs("generate", 1)
    agenda: Agenda[_Job] = Agenda(lambda job: job.done)
    durations = [60.0 * math.exp(chance.gauss(0.0, 0.35)) for _ in range(jobs)]
    gc.collect()
    start = time.process_time()
    for duration in durations:
        agenda.add(_Job(duration), kind.next_delay(0.0, 0))
    while (now := agenda.next_due()) is not None:
        for job in agenda.take(now, 100):
            if job.ends <= now:
                job.done = True
                kind.observe(now)
            else:
                agenda.add(job, now + kind.next_delay(now, 0) * (0.95 + 0.1 * chance.random()))
    return time.process_time() - start


async def _main(url: str, jobs: int, *, trace: bool) -> None:
    found = await hold(url, jobs, trace=trace)
    print(json.dumps({"jobs": found.jobs, "size": found.size, "look": found.look}))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), trace="trace" in sys.argv))
