"""Program that runs many jobs, and measures its memory and the stalls of its event loop.

`python -m benchmarks.many URL JOBS MAX_TASKS [trace] [journal=PATH]` prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass

from benchmarks.memory import peak_resident
from benchmarks.programs import output_of
from luma_async import FixedSchedule, LumaClient


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of one run. Times are in seconds, sizes in bytes."""

    jobs: int
    completed: int
    wall: float
    cpu: float
    longest_stall: float
    longest_stall_cpu: float
    collection: float
    peak_resident: int
    peak_allocated: int


class Heartbeat:
    """Detector of stalls: measures the delay of a 5 ms timer on the event loop."""

    INTERVAL = 0.005

    def __init__(self) -> None:
        self.longest = 0.0
        self.longest_cpu = 0.0

    async def beat(self) -> None:
        """Measure until cancelled."""
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(self.INTERVAL)
            self.longest = max(self.longest, time.perf_counter() - wall - self.INTERVAL)
            self.longest_cpu = max(self.longest_cpu, time.thread_time() - cpu)


async def run(
    url: str, jobs: int, max_tasks: int, *, trace: bool, journal: str | None = None
) -> Measured:
    """Run jobs through `run_many`, and drop their outcomes.

    The objects of the imports are frozen (`gc.freeze`) after their garbage collection was timed.
    That stall belongs to the interpreter and would occur in any program.
    """
    heartbeat = Heartbeat()
    async with LumaClient(
        "benchmark-key",
        base_url=url,
        max_requests=16,
        schedule=FixedSchedule(0.5),
        journal=journal,
    ) as luma:
        gc.collect()
        start = time.perf_counter()
        gc.collect()
        collection = time.perf_counter() - start
        gc.freeze()
        if trace:
            tracemalloc.start()
        start, cpu, completed = time.perf_counter(), time.process_time(), 0
        beating = asyncio.create_task(heartbeat.beat())
        prompts = (f"cat {number}" for number in range(jobs))
        keyed = ((prompt, prompt) for prompt in prompts)
        requests = prompts if journal is None else keyed
        async for outcome in luma.run_many(requests, max_tasks=max_tasks):
            completed += outcome.ok
        beating.cancel()
    return Measured(
        jobs=jobs,
        completed=completed,
        wall=time.perf_counter() - start,
        cpu=time.process_time() - cpu,
        longest_stall=heartbeat.longest,
        longest_stall_cpu=heartbeat.longest_cpu,
        collection=collection,
        peak_resident=peak_resident(),
        peak_allocated=tracemalloc.get_traced_memory()[1] if trace else 0,
    )


def measure(
    url: str, jobs: int, max_tasks: int, *, trace: bool = False, journal: str | None = None
) -> Measured:
    """Run the program in a process of its own, and return its result."""
    options = [*(["trace"] if trace else []), *([f"journal={journal}"] if journal else [])]
    return Measured(**json.loads(output_of("many", url, jobs, max_tasks, *options)))


if __name__ == "__main__":
    url, jobs, max_tasks, *options = sys.argv[1:]
    places = [option.partition("=")[2] for option in options if option.startswith("journal=")]
    measured = asyncio.run(
        run(
            url,
            int(jobs),
            int(max_tasks),
            trace="trace" in options,
            journal=places[0] if places else None,
        )
    )
    print(json.dumps(asdict(measured)))
