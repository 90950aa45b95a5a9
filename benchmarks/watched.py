"""Programs that watch jobs with long rows, and measure their memory and how the loop fares.

`python -m benchmarks.watched memory URL JOBS` prints bytes for each job, twice: allocated, and
resident. `python -m benchmarks.watched stall URL JOBS` prints how long batches of looks hold the
event loop, in seconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from uuid import UUID

from benchmarks.many import Heartbeat
from benchmarks.memory import resident
from luma_async import FixedSchedule, LumaClient

KEY = "benchmark-key"
IN_FLIGHT = 16
ROUNDS = 4


async def memory(url: str, jobs: int, *, trace: bool) -> float:
    """Take up so many jobs, and return how many bytes each of them takes."""
    # Each is looked at once by `watch()`, and once by a batch.
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
    """Look at so many jobs a few times, all of them with one request."""
    heartbeat = Heartbeat()
    async with LumaClient(
        KEY, base_url=url, max_requests=IN_FLIGHT, schedule=FixedSchedule(0.5), batch_size=jobs
    ) as luma:
        tasks = await asyncio.gather(*(luma.watch(_id(number)) for number in range(jobs)))
        gc.collect()
        gc.freeze()  # what the imports left behind; its collection is the interpreter's stall
        beating = asyncio.create_task(heartbeat.beat())
        await asyncio.sleep(0.6 * ROUNDS)
        beating.cancel()
        assert "palette" in tasks[0].generation.raw["data"]
    return heartbeat.longest


def _id(number: int) -> str:
    return str(UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def measure(what: str, url: str, jobs: int) -> float:
    """Run a program in a process of its own, and return its figure."""
    command = [sys.executable, "-m", "benchmarks.watched", what, url, str(jobs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


async def _main(what: str, url: str, jobs: int) -> float:
    if what == "stall":
        return await stall(url, jobs)
    return await memory(url, jobs, trace=what == "memory")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
