"""Long rows and long journals: memory of a pending job, and stalls of the event loop."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import journalled, long_journal, watched
from benchmarks.full_rows import full_rows
from benchmarks.gateway import gateway
from benchmarks.row import Row

JOBS = 20_000
REPETITIONS = 3
LONGEST_STALL = 0.05


def rows() -> Iterator[Row]:
    """Measure memory once, because it does not vary, and the best of several stalls."""
    with full_rows() as url:
        allocated = watched.measure("memory", url, JOBS)
        resident = watched.measure("resident", url, JOBS)
    yield Row(
        f"Memory of each of {JOBS:,} watched jobs with rows of 1.5 KB (tracemalloc)",
        f"{allocated:,.0f} bytes (resident memory: {resident:,.0f})",
        "at most 2,048 bytes",
        allocated <= 2048,
    )
    with full_rows(80_000) as url:
        stalls = [watched.measure("stall", url, 100) for _ in range(REPETITIONS)]
    yield _stall("one look at 100 jobs with rows of 80 KB", stalls)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "jobs.db"
        asyncio.run(long_journal.fill(place))
        for what in ("states", "export"):
            read = [long_journal.measure(what, place) for _ in range(REPETITIONS)]
            assert all(each.entries == long_journal.JOBS for each in read)
            stalls = [each.longest_stall for each in read]
            yield _stall(f"{what}() of a journal with {long_journal.JOBS:,} entries", stalls)
    stalls = [_gathered() for _ in range(REPETITIONS)]
    yield _stall(f"{journalled.AT_ONCE:,} generate() in one gather, with a journal", stalls)


def _gathered() -> float:
    with (
        gateway(median=60.0, speed=journalled.SPEED) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        place = str(Path(folder) / "jobs.db")
        return journalled.measure(server.url, 16, 1, place).longest_stall


def _stall(what: str, stalls: list[float]) -> Row:
    shown = ", ".join(f"{stall * 1000:.0f}" for stall in sorted(stalls))
    return Row(
        f"Longest stall of the event loop: {what} (best of {REPETITIONS} runs)",
        f"{min(stalls) * 1000:.0f} ms (all: {shown})",
        f"at most {LONGEST_STALL * 1000:.0f} ms",
        min(stalls) <= LONGEST_STALL,
    )
