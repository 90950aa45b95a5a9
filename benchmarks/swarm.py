"""Swarm: number of requests and lateness until the ends of a thousand jobs are noticed."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.gateway import gateway
from benchmarks.programs import output_of
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, LumaClient

JOBS = 1_000
SPEED = 5.0
"""Simulated seconds per real second. The schedules work in real seconds, so all times shrink."""
INTERVAL = 3.0
"""Simulated seconds between two looks at a job, in the program that looks one by one."""
REPETITIONS = 3
KEY = "benchmark-key"

Resolved = dict[str, float]
"""Time by job id at which its end was noticed, in seconds of the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Mean lateness in simulated seconds, and mean number of status requests for a job."""

    lateness: float
    requests: float


async def adaptively(url: str) -> Resolved:
    """Await all jobs with luma-async and its default schedule."""
    schedule = AdaptiveSchedule(
        0.25 / SPEED, shortest=1.0 / SPEED, longest=30.0 / SPEED, expected=60.0 / SPEED
    )
    resolved: Resolved = {}
    async with LumaClient(KEY, base_url=url, schedule=schedule) as luma:
        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(JOBS)))
        for task in tasks:
            task.add_done_callback(lambda task: resolved.setdefault(task.id, time.time()))
        await asyncio.gather(*tasks)
    return resolved


async def at_intervals(url: str) -> Resolved:
    """Look at each job every few seconds with bare aiohttp."""
    resolved: Resolved = {}
    headers = {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector) as session:

        async def run(number: int) -> None:
            body = {"user_prompt": f"cat {number}"}
            async with session.post("/luma/generations", json=body) as response:
                id = (await response.json())["id"]
            while id not in resolved:
                await asyncio.sleep(INTERVAL / SPEED)
                async with session.get(f"/luma/generations/{id}") as response:
                    if (await response.json())["state"] == "completed":
                        resolved[id] = time.time()

        await asyncio.gather(*(run(number) for number in range(JOBS)))
    return resolved


PROGRAMS: dict[str, Callable[[str], Coroutine[Any, Any, Resolved]]] = {
    "luma-async": adaptively,
    "each job every 3 s": at_intervals,
}


def noticed(name: str) -> Noticed:
    """Run a program in a process of its own against a gateway of its own."""
    with gateway(median=60.0, sigma=0.35, speed=SPEED) as server:
        resolved: Resolved = json.loads(output_of("swarm", name, server.url))
        books = server.ledger()
    late = [(resolved[job["id"]] - job["ends_at"]) * SPEED for job in books["jobs"]]
    looks = books["requests"].get("tasks", 0) + books["requests"].get("get", 0)
    return Noticed(statistics.mean(late), looks / len(late))


def rows() -> Iterator[Row]:
    """Compare luma-async with looks at each job at fixed intervals."""
    runs: dict[str, list[Noticed]] = {name: [] for name in PROGRAMS}
    for _ in range(REPETITIONS):
        for name, found in runs.items():
            found.append(noticed(name))
    requests = {name: statistics.median(run.requests for run in runs[name]) for name in runs}
    lateness = {name: statistics.median(run.lateness for run in runs[name]) for name in runs}
    ours, theirs = PROGRAMS
    yield Row(
        f"Status requests per job, {JOBS:,} jobs at a time",
        f"{requests[ours]:.2f} ({theirs}: {requests[theirs]:.1f})",
        "at most 1",
        requests[ours] <= 1,
    )
    ratio = lateness[ours] / lateness[theirs]
    yield Row(
        f"Mean lateness, {JOBS:,} jobs at a time: ratio to looks at each job every 3 s",
        f"{ratio:.2f} ({lateness[ours]:.2f} s against {lateness[theirs]:.2f} s)",
        "at most 0.5",
        ratio <= 0.5,
    )


if __name__ == "__main__":
    print(json.dumps(asyncio.run(PROGRAMS[sys.argv[1]](sys.argv[2]))))
