"""Programs that watch jobs with long rows, and measure their memory or stalls of the event loop.

`python -m benchmarks.watched memory URL JOBS` prints the allocated bytes of each job, and
`resident` in place of `memory` the resident bytes. `stall` prints the longest stall of the event
loop in seconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
from uuid import UUID

from benchmarks.many import Heartbeat
from benchmarks.memory import resident
from benchmarks.programs import output_of
from luma_async import FixedSchedule, LumaClient

KEY = "benchmark-key"
IN_FLIGHT = 16
ROUNDS = 4


async def memory(url: str, jobs: int, *, trace: bool) -> float:
    """Watch a number of jobs, and return the bytes of memory for each."""
    # Each job is looked at once by `watch()` and once by a batch.
    schedule = FixedSchedule(jobs / 2000)
    async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, schedule=schedule) as luma:
        await luma.get(_id(0))
        gc.collect()
        if trace:
            tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0] if trace else resident()
        tasks = []
        for start in range(0, jobs, IN_FLIGHT):
            ids = [_id(number) for number in range(start, min(start + IN_FLIGHT, jobs))]
            tasks += await asyncio.gather(*map(luma.watch, ids))
        gc.collect()
        after = tracemalloc.get_traced_memory()[0] if trace else resident()
        assert len({id(task) for task in tasks}) == jobs
        return (after - before) / jobs


async def stall(url: str, jobs: int) -> float:
    """Look at a number of jobs several times in one request, and return the longest stall."""
    heartbeat = Heartbeat()
    async with LumaClient(
        KEY, base_url=url, max_requests=IN_FLIGHT, schedule=FixedSchedule(0.5), batch_size=jobs
    ) as luma:
        tasks = await asyncio.gather(*(luma.watch(_id(number)) for number in range(jobs)))
        gc.collect()
        gc.freeze()  # keeps the collector from objects of the imports: that stall is not ours
        beating = asyncio.create_task(heartbeat.beat())
        await asyncio.sleep(0.6 * ROUNDS)
        beating.cancel()
        assert "palette" in tasks[0].generation.raw["data"]
    return heartbeat.longest


def _id(number: int) -> str:
    return str(UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def measure(what: str, url: str, jobs: int) -> float:
    """Run a program in a process of its own, and return its result."""
    return float(json.loads(output_of("watched", what, url, jobs)))


async def _main(what: str, url: str, jobs: int) -> float:
    if what == "stall":
        return await stall(url, jobs)
    return await memory(url, jobs, trace=what == "memory")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
