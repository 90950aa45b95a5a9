"""A thousand jobs, 16 requests and 200 jobs at once; then ten times as many in no more memory."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gateway import gateway
from benchmarks.many import measure
from benchmarks.row import Row

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
