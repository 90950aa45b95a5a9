"""Limits: 16 requests and 200 jobs at a time, with 1,000 and with 10,000 jobs in constant memory.

Also the effect of the gateway's own limits: random 429 answers, and an account that is full.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from benchmarks.gateway import gateway
from benchmarks.many import measure
from benchmarks.row import Row
from luma_async import LumaClient

MEBIBYTE = 2**20


def rows() -> Iterator[Row]:
    """Compare runs of 1,000 and 10,000 jobs, then measure the limits of the gateway."""
    measured = {}
    for jobs in (1_000, 10_000):
        with gateway(median=60, speed=50, latency=0.05) as server:
            measured[jobs] = measure(server.url, jobs, 200, trace=True)
            books = server.ledger()
        yield Row(
            f"Completed jobs of {jobs:,} with max_requests=16 and max_tasks=200",
            f"{measured[jobs].completed:,} in {measured[jobs].wall:.0f} s",
            f"{jobs:,}",
            measured[jobs].completed == jobs == len(books["jobs"]),
        )
        yield Row(
            f"Requests and jobs at a time with {jobs:,} jobs, at most",
            f"{books['most_requests']} requests, {books['most_jobs']} jobs",
            "at most 16 and 200",
            books["most_requests"] <= 16 and books["most_jobs"] <= 200,
        )
    small, large = measured[1_000], measured[10_000]
    growth = large.peak_allocated / small.peak_allocated
    yield Row(
        "Peak of allocated memory: ratio of 10,000 jobs to 1,000",
        f"{growth:.2f} ({small.peak_allocated / MEBIBYTE:.1f} → "
        f"{large.peak_allocated / MEBIBYTE:.1f} MiB)",
        "at most 1.1",
        growth <= 1.1,
    )
    resident = large.peak_resident / small.peak_resident
    yield Row(
        "Peak of resident memory: ratio of 10,000 jobs to 1,000",
        f"{resident:.2f} ({small.peak_resident / MEBIBYTE:.0f} → "
        f"{large.peak_resident / MEBIBYTE:.0f} MiB)",
        "at most 1.1",
        resident <= 1.1,
    )
    yield from rejected_at_random()
    yield from full_account()
    yield from few_places()


def rejected_at_random() -> Iterator[Row]:
    """Compare 300 jobs with 10 % rejected requests with as many jobs without rejections."""
    seconds, completed = {}, 0
    for rejected in (0.0, 0.1):
        with gateway(median=60, speed=50, latency=0.05, rejected=rejected) as server:
            measured = measure(server.url, 300, 200)
        seconds[rejected], completed = measured.wall, measured.completed
    ratio = seconds[0.1] / seconds[0.0]
    yield Row(
        "Time for 300 jobs with 10 % of requests answered 429, `Retry-After: 1`: ratio to none",
        f"{ratio:.1f} ({seconds[0.0]:.1f} → {seconds[0.1]:.1f} s)",
        "at most 5",
        ratio <= 5 and completed == 300,
    )


def full_account() -> Iterator[Row]:
    """Submit one more job than the account allows at a time."""
    with gateway(median=2.0, sigma=0.0, max_jobs=2, full_for=8.0) as server:
        seen, third_left = asyncio.run(_one_too_many(server.url))
    yield Row(
        "Jobs of 2 s, account full with two, `Retry-After: 8`: latest end of a job noticed after",
        f"{max(seen):.2f} s",
        "at most 3 s",
        max(seen) <= 3.0,
    )
    yield Row(
        "Jobs of 2 s, account full with two, `Retry-After: 8`: third accepted after the first end",
        f"{third_left - 2.0:.2f} s",
        "at most 1 s",
        third_left - 2.0 <= 1.0,
    )


def few_places() -> Iterator[Row]:
    """Make twenty jobs of the Agents API, whose jobs are looked at one by one, in three places."""
    jobs, places = 20, 3
    with gateway(median=5.0, sigma=0.0, max_jobs=places, full_for=60.0) as server:
        seconds, accepted = asyncio.run(_in_few_places(server.url, jobs))
        books = server.ledger()
    rejected = books["statuses"].get("429", 0)
    ends = sorted(moment + 5.0 for moment in accepted)
    idle = max(later - end for later, end in zip(sorted(accepted)[places:], ends, strict=False))
    done = len(books["jobs"]) == jobs
    yield Row(
        "20 jobs of 5 s, account full with three, `Retry-After: 60`: seconds for all",
        f"{seconds:.1f} s",
        "at most 40 s (35 s without any wait)",
        seconds <= 40.0 and done,
    )
    yield Row(
        "20 jobs of 5 s, account full with three, `Retry-After: 60`: longest time of a free place",
        f"{idle:.2f} s",
        "at most 2 s",
        idle <= 2.0 and done,
    )
    yield Row(
        "20 jobs of 5 s, account full with three, `Retry-After: 60`: rejected submissions",
        f"{rejected}",
        # 15 are sent at once, and one more for each that is accepted before the first rejection.
        "at most 15, all of the first moment",
        rejected <= 15,
    )


async def _in_few_places(url: str, jobs: int) -> tuple[float, list[float]]:
    """Return the seconds until all jobs were completed, and until each was accepted."""
    accepted: list[float] = []
    async with LumaClient("benchmark-key", base_url=url, dialect="agents") as luma:
        start = time.perf_counter()

        async def run(prompt: str) -> None:
            task = await luma.generate(prompt)
            accepted.append(time.perf_counter() - start)
            await task

        await asyncio.gather(*(run(f"cat {number}") for number in range(jobs)))
        return time.perf_counter() - start, accepted


async def _one_too_many(url: str) -> tuple[list[float], float]:
    """Return the seconds until each end was seen, and until the last job was accepted."""
    accepted: list[float] = []
    async with LumaClient("benchmark-key", base_url=url) as luma:
        start = time.perf_counter()

        async def run(prompt: str) -> float:
            task = await luma.generate(prompt)
            began = time.perf_counter()
            accepted.append(began - start)
            await task
            return time.perf_counter() - began

        seen = await asyncio.gather(*(run(f"cat {number}") for number in range(3)))
    return seen, max(accepted)
