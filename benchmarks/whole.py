"""Ten thousand jobs from prompt to video link, against bare programs that do as much."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import aiohttp

from benchmarks.gateway import gateway
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, LumaClient

JOBS = 10_000
SPEED = 10.0
IN_FLIGHT = 64
BATCH = 100
REPETITIONS = 3
KEY = "benchmark-key"


async def with_luma_async(url: str) -> float:
    """Submit, watch and resolve them, and return the CPU seconds."""
    schedule = AdaptiveSchedule(
        0.25 / SPEED, shortest=1.0 / SPEED, longest=30.0 / SPEED, expected=60.0 / SPEED
    )
    async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, schedule=schedule) as luma:
        start = time.process_time()
        prompts = (f"cat {number}" for number in range(JOBS))
        resolved = [outcome.id async for outcome in luma.run_many(prompts, max_tasks=JOBS)]
        assert len(resolved) == JOBS
        return time.process_time() - start


async def with_aiohttp(url: str, looks: int, *, reuse: bool) -> float:
    """Post the same bodies, make as many looks at a hundred jobs, and return the CPU seconds.

    Without `reuse` every submission has a connection of its own, as it has in luma-async.
    """
    headers = {"Authorization": f"Bearer {KEY}"}
    ids: list[str] = []
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, force_close=not reuse)
    async with (
        aiohttp.ClientSession(url, headers=headers, connector=connector) as submitting,
        aiohttp.ClientSession(url, headers=headers) as looking,
    ):

        async def post(session: aiohttp.ClientSession, path: str, body: object) -> Any:
            async with session.post(path, json=body) as response:
                return json.loads(await response.read())

        async def submit(numbers: Iterator[int]) -> None:
            for number in numbers:
                body = {"user_prompt": f"cat {number}"}
                ids.append((await post(submitting, "/luma/generations", body))["id"])

        async def look(starts: Iterator[int]) -> None:
            for start in starts:
                await post(looking, "/luma/tasks", {"ids": ids[start : start + BATCH]})

        start = time.process_time()
        numbers = iter(range(JOBS))
        await asyncio.gather(*(submit(numbers) for _ in range(IN_FLIGHT)))
        starts = islice(cycle(range(0, JOBS, BATCH)), looks)
        await asyncio.gather(*(look(starts) for _ in range(IN_FLIGHT)))
        return time.process_time() - start


def rows() -> Iterator[Row]:
    """Run all of them in turn, and compare the medians."""
    ours: list[float] = []
    bare: list[float] = []
    bare_closing: list[float] = []
    for _ in range(REPETITIONS):
        with gateway(median=60.0, speed=SPEED) as server:
            ours.append(_run("luma-async", server.url))
            books = server.ledger()
            looks = books["requests"]["tasks"] + books["requests"].get("get", 0)
        for name, found in (("reusing", bare), ("closing", bare_closing)):
            with gateway(median=60.0, speed=SPEED) as server:
                found.append(_run(name, server.url, looks))
    seconds = statistics.median(ours)
    ratio = seconds / statistics.median(bare)
    yield Row(
        f"CPU to submit, watch and resolve {JOBS:,} jobs, against bare aiohttp that posts and "
        "looks as often",
        f"{ratio:.2f} ({seconds:.2f} s against {statistics.median(bare):.2f} s, {looks:,} looks)",
        "at most 2",
        ratio <= 2,
    )
    yield Row(
        "the same, where bare aiohttp opens a connection for each submission, too",
        f"{seconds / statistics.median(bare_closing):.2f} "
        f"(against {statistics.median(bare_closing):.2f} s)",
    )


def _run(name: str, url: str, looks: int = 0) -> float:
    command = [sys.executable, "-m", "benchmarks.whole", name, url, str(looks)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    name, url, looks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "luma-async":
        print(asyncio.run(with_luma_async(url)))
    else:
        print(asyncio.run(with_aiohttp(url, looks, reuse=name == "reusing")))
