"""Cost of a journal: CPU time, and stalls of the event loop."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import journalled, many
from benchmarks.gateway import gateway
from benchmarks.row import Row

REPETITIONS = 3
ROUNDS = 3


def rows() -> Iterator[Row]:
    """Compare jobs with and without a journal, and measure the longest stall."""
    for max_requests, target in ((1_000, 1.5), (16, None)):
        bare: list[journalled.Measured] = []
        kept: list[journalled.Measured] = []
        for _ in range(REPETITIONS):
            bare.append(_measure(max_requests, with_journal=False))
            kept.append(_measure(max_requests, with_journal=True))
        whole = _median(kept, "whole") / _median(bare, "whole")
        submitting = _median(kept, "submitting") / _median(bare, "submitting")
        yield Row(
            f"CPU for a job with a journal: ratio to one without, {journalled.AT_ONCE:,} at once, "
            f"max_requests={max_requests:,}",
            f"{whole:.2f} ({_median(kept, 'whole'):.0f} µs against "
            f"{_median(bare, 'whole'):.0f} µs; submitting alone {submitting:.2f})",
            f"at most {target}" if target else "",
            None if target is None else whole <= target,
        )
    stalls = [_stall() for _ in range(REPETITIONS)]
    yield Row(
        f"Longest stall of the event loop, 1,000 jobs with a journal (worst of {REPETITIONS} runs)",
        f"{max(stalls) * 1000:.0f} ms (best {min(stalls) * 1000:.0f} ms)",
        "at most 20 ms",
        max(stalls) <= 0.02,
    )


def _measure(max_requests: int, *, with_journal: bool) -> journalled.Measured:
    with gateway(median=60.0, speed=journalled.SPEED) as server, _place() as place:
        journal = place if with_journal else None
        return journalled.measure(server.url, max_requests, ROUNDS, journal)


def _stall() -> float:
    with gateway(median=60.0, speed=20.0, latency=0.05) as server, _place() as place:
        measured = many.measure(server.url, 1_000, 1_000, journal=place)
    assert measured.completed == measured.jobs
    return measured.longest_stall


@contextmanager
def _place() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "jobs.db")


def _median(measured: list[journalled.Measured], what: str) -> float:
    """Return the median CPU time of a job in microseconds."""
    return float(statistics.median(getattr(each, what) / each.jobs * 1e6 for each in measured))
