"""Program that runs a thousand jobs at a time, with or without a journal, and measures itself.

`python -m benchmarks.journalled URL REQUESTS ROUNDS [JOURNAL]` prints JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import count

from benchmarks.many import Heartbeat
from benchmarks.programs import output_of
from luma_async import AdaptiveSchedule, LumaClient

AT_ONCE = 1_000
SPEED = 20.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a run: CPU seconds, and the longest stall of the event loop in seconds."""

    jobs: int
    submitting: float
    whole: float
    longest_stall: float


async def run(url: str, max_requests: int, rounds: int, journal: str | None) -> Measured:
    """Submit a thousand jobs at once and await all of them, several times."""
    schedule = AdaptiveSchedule(
        0.25 / SPEED, shortest=1.0 / SPEED, longest=30.0 / SPEED, expected=60.0 / SPEED
    )
    heartbeat = Heartbeat()
    numbers = count()
    submitting = 0.0
    async with LumaClient(
        "benchmark-key",
        base_url=url,
        max_requests=max_requests,
        schedule=schedule,
        journal=journal,
    ) as luma:

        async def submit(number: int) -> object:
            key = None if journal is None else f"row-{number}"
            return await luma.generate(f"cat {number}", key=key)

        gc.collect()
        gc.freeze()  # keeps the collector from objects of the imports: that stall is not ours
        beating = asyncio.create_task(heartbeat.beat())
        began = time.process_time()
        for _ in range(rounds):
            start = time.process_time()
            tasks = await asyncio.gather(*(submit(next(numbers)) for _ in range(AT_ONCE)))
            submitting += time.process_time() - start
            await asyncio.gather(*(task.wait() for task in tasks))  # type: ignore[attr-defined]
        beating.cancel()
    return Measured(
        jobs=rounds * AT_ONCE,
        submitting=submitting,
        whole=time.process_time() - began,
        longest_stall=heartbeat.longest,
    )


def measure(url: str, max_requests: int, rounds: int, journal: str | None) -> Measured:
    """Run the program in a process of its own, and return its result."""
    options = [journal] if journal else []
    return Measured(**json.loads(output_of("journalled", url, max_requests, rounds, *options)))


if __name__ == "__main__":
    url, max_requests, rounds, *rest = sys.argv[1:]
    place = rest[0] if rest else None
    print(json.dumps(asdict(asyncio.run(run(url, int(max_requests), int(rounds), place)))))
