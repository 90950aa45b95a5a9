"""A thousand jobs, 16 requests and 200 jobs at once; then ten times as many in no more memory.

Then what a gateway's own limits cost: refusals at random, and an account that is full.
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
    """Run 1,000 and 10,000 jobs and compare."""
    measured = {}
    for jobs in (1_000, 10_000):
        with gateway(median=60, speed=50, latency=0.05) as server:
            measured[jobs] = measure(server.url, jobs, 200, trace=True)
            books = server.ledger()
        yield Row(
            f"{jobs:,} jobs, max_requests=16, max_tasks=200: all completed",
            f"{measured[jobs].completed:,} in {measured[jobs].wall:.0f} s",
            f"{jobs:,}",
            measured[jobs].completed == jobs == len(books["jobs"]),
        )
        yield Row(
            f"{jobs:,} jobs: most requests / most jobs the gateway saw at once",
            f"{books['most_requests']} / {books['most_jobs']}",
            "at most 16 / 200",
            books["most_requests"] <= 16 and books["most_jobs"] <= 200,
        )
    small, large = measured[1_000], measured[10_000]
    growth = large.peak_allocated / small.peak_allocated
    yield Row(
        "peak of allocated memory, 10,000 jobs against 1,000",
        f"{growth:.2f} ({small.peak_allocated / MEBIBYTE:.1f} → "
        f"{large.peak_allocated / MEBIBYTE:.1f} MiB)",
        "at most 1.1",
        growth <= 1.1,
    )
    resident = large.peak_resident / small.peak_resident
    yield Row(
        "peak of resident memory, 10,000 jobs against 1,000",
        f"{resident:.2f} ({small.peak_resident / MEBIBYTE:.0f} → "
        f"{large.peak_resident / MEBIBYTE:.0f} MiB)",
        "at most 1.1",
        resident <= 1.1,
    )
    yield from refused_at_random()
    yield from full_account()


def refused_at_random() -> Iterator[Row]:
    """Compare 300 jobs, one in ten of whose requests is refused, with as many undisturbed."""
    seconds, completed = {}, 0
    for refused in (0.0, 0.1):
        with gateway(median=60, speed=50, latency=0.05, refused=refused) as server:
            measured = measure(server.url, 300, 200)
        seconds[refused], completed = measured.wall, measured.completed
    ratio = seconds[0.1] / seconds[0.0]
    yield Row(
        "300 jobs, 10 % of requests refused at random with `Retry-After: 1`, against none refused",
        f"{ratio:.1f} times as long ({seconds[0.0]:.1f} → {seconds[0.1]:.1f} s)",
        "at most 5",
        ratio <= 5 and completed == 300,
    )


def full_account() -> Iterator[Row]:
    """Submit one job more than the account allows at once."""
    with gateway(median=2.0, sigma=0.0, max_jobs=2, full_for=8.0) as server:
        seen, third_left = asyncio.run(_one_too_many(server.url))
    yield Row(
        "jobs of 2.0 s, two at once, `Retry-After: 8`: the latest end seen after",
        f"{max(seen):.2f} s",
        "at most 3 s",
        max(seen) <= 3.0,
    )
    yield Row(
        "jobs of 2.0 s, two at once, `Retry-After: 8`: the third accepted after the first end",
        f"{third_left - 2.0:.2f} s",
        "at most 1 s",
        third_left - 2.0 <= 1.0,
    )


async def _one_too_many(url: str) -> tuple[list[float], float]:
    """Return the seconds until each end was seen, and when the last job was accepted."""
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
