"""Luma's own APIs: CPU time of a look at one job, and lateness, without a call for many jobs."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

from benchmarks.gateway import gateway
from benchmarks.lookers import AT_LUMA, KEY, cost_of_a_look, submit
from benchmarks.programs import output_of
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, LumaClient
from luma_async.dialects import DialectName

NAMES: Sequence[DialectName] = get_args(DialectName)
JOBS = 640
LOOKS, LOOKS_OF_OFFICIAL_CLIENTS = 6_000, 1_500
REPETITIONS = 5
LATE_JOBS = 300
SPEED = 5.0
"""Simulated seconds per real second. The schedules work in real seconds, so all times shrink."""


def rows() -> Iterator[Row]:
    """Measure looks over plain HTTP and TLS, and the lateness of all dialects at once."""
    for tls in (False, True):
        yield from _rows_of_looks(tls=tls)
    yield from _rows_of_lateness()


def _rows_of_looks(*, tls: bool) -> Iterator[Row]:
    look = "look over TLS" if tls else "look"
    runs: dict[str, list[float]] = {}
    with gateway(median=1e6, batch="404", tls=tls) as server:
        for name in NAMES:
            if name in AT_LUMA:
                asyncio.run(submit(server.url, JOBS, name))
        for _ in range(REPETITIONS):
            for programs in AT_LUMA.values():
                for program in programs:
                    is_official = program.startswith(("luma-agents", "lumaai"))
                    looks = LOOKS_OF_OFFICIAL_CLIENTS if is_official else LOOKS
                    seconds = cost_of_a_look(program, server.url, looks)
                    runs.setdefault(program, []).append(seconds)
    cost = {name: statistics.median(found) for name, found in runs.items()}
    for programs in AT_LUMA.values():
        official, bare, ours = programs
        for program in programs:
            yield Row(f"CPU for one {look}: {program}", f"{cost[program] * 1e6:.1f} µs")
        yield Row(
            f"CPU for one {look}: {official} takes more by a factor of",
            f"{cost[official] / cost[ours]:.1f}",
        )
        ratio = cost[ours] / cost[bare]
        yield Row(
            f"CPU for one {look}: ratio of {ours} to aiohttp GET and json.loads",
            f"{ratio:.2f}",
            "at most 1.25",
            ratio <= 1.25,
        )


def _rows_of_lateness() -> Iterator[Row]:
    late: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(3):
        for name, seconds in _lateness().items():
            late[name].append(seconds)
    mean = {name: statistics.median(found) for name, found in late.items()}
    for name, seconds in mean.items():
        if name in AT_LUMA:
            ratio = seconds / mean["gateway"]
            yield Row(
                f"Mean lateness, {LATE_JOBS} jobs of a minute one by one: {name} dialect",
                f"{seconds:.2f} s ({ratio:.2f} of the gateway dialect)",
                "at most 1.15 of the gateway dialect",
                ratio <= 1.15,
            )


def _lateness() -> dict[str, float]:
    """Return the mean lateness by dialect, in simulated seconds; all run against one server."""
    with gateway(median=60.0, sigma=0.35, speed=SPEED, batch="404") as server:
        with ThreadPoolExecutor(len(NAMES)) as threads:
            outputs = threads.map(lambda name: output_of("dialects", name, server.url), NAMES)
            resolved: dict[str, float] = {}
            for output in outputs:
                resolved |= json.loads(output)
        jobs = server.ledger()["jobs"]
    return {
        name: statistics.mean(
            (resolved[job["id"]] - job["ends_at"]) * SPEED for job in jobs if job["api"] == name
        )
        for name in NAMES
    }


async def _main(dialect: DialectName, url: str) -> None:
    schedule = AdaptiveSchedule(
        0.25 / SPEED, shortest=1.0 / SPEED, longest=30.0 / SPEED, expected=60.0 / SPEED
    )
    resolved: dict[str, float] = {}
    async with LumaClient(KEY, base_url=url, dialect=dialect, schedule=schedule) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(LATE_JOBS)))
        for task in tasks:
            task.add_done_callback(lambda task: resolved.setdefault(task.id, time.time()))
        await asyncio.gather(*tasks)
    print(json.dumps(resolved))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))  # type: ignore[arg-type]  # one of NAMES
