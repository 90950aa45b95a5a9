"""Responsiveness of an event loop, such as that of a bot, in which a thousand jobs run."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.gateway import gateway
from benchmarks.many import measure
from benchmarks.row import Row

REPETITIONS = 3


def rows() -> Iterator[Row]:
    """Run a thousand jobs several times. The best run counts, since other load only adds stalls."""
    stalls, cpu, collections = [], [], []
    for _ in range(REPETITIONS):
        with gateway(median=60, speed=20, latency=0.05) as server:
            measured = measure(server.url, 1_000, 1_000)
        stalls.append(measured.longest_stall)
        cpu.append(measured.longest_stall_cpu)
        collections.append(measured.collection)
    yield Row(
        f"Longest stall of the event loop, 1,000 jobs at a time (best of {REPETITIONS} runs)",
        f"{min(stalls) * 1000:.0f} ms (CPU time: {min(cpu) * 1000:.0f} ms; not included: full "
        f"garbage collection of the bare interpreter, {min(collections) * 1000:.0f} ms)",
        "at most 50 ms",
        min(stalls) <= 0.05,
    )
