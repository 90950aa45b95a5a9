"""Whole runs: ten thousand jobs from prompt to video link, compared with bare programs."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import aiohttp

from benchmarks.gateway import gateway
from benchmarks.programs import output_of
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, LumaClient

JOBS = 10_000
SPEED = 10.0
IN_FLIGHT = 64
BATCH = 100
REPETITIONS = 3
KEY = "benchmark-key"


async def with_luma_async(url: str) -> float:
    """Submit and await all jobs with luma-async, and return the CPU seconds."""
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
    """Submit the same jobs, and make as many looks at 100 jobs each; return the CPU seconds.

    Without `reuse`, each submission opens a connection.
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


async def with_lumaai(url: str, looks_at_a_job: int) -> float:
    """Run a hundredth of the jobs with the official SDK, and return 100 times the CPU seconds.

    It looks at one job at a time, as often as luma-async looks at each job.
    """
    from lumaai import AsyncLumaAI  # noqa: PLC0415  each program loads its own client only
    from lumaai.types import Generation  # noqa: PLC0415

    share = 100
    async with AsyncLumaAI(auth_token=KEY, base_url=f"{url}/luma") as client:

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                body = {"user_prompt": f"cat {number}"}  # its create() posts to another path
                job = await client.post("/generations", cast_to=Generation, body=body)
                for _ in range(looks_at_a_job):
                    await client.generations.get(str(job.id))

        start = time.process_time()
        numbers = iter(range(JOBS // share))
        await asyncio.gather(*(work(numbers) for _ in range(IN_FLIGHT)))
        return (time.process_time() - start) * share


def rows() -> Iterator[Row]:
    """Compare the medians of several runs, over plain HTTP and over TLS."""
    for tls in (False, True):
        yield from _rows(tls=tls)


def _rows(*, tls: bool) -> Iterator[Row]:
    found: dict[str, list[float]] = {}
    for _ in range(REPETITIONS):
        with gateway(median=60.0, speed=SPEED, tls=tls) as server:
            found.setdefault("luma-async", []).append(_run("luma-async", server.url))
            books = server.summary()
            looks = books["requests"].get("tasks", 0) + books["requests"].get("get", 0)
            of_a_job = round(books["jobs_looked_at"] / JOBS)
        for name, count in (("reusing", looks), ("closing", looks), ("lumaai", of_a_job)):
            with gateway(median=60.0, speed=SPEED, tls=tls) as server:
                found.setdefault(name, []).append(_run(name, server.url, count))
    seconds = {name: statistics.median(times) for name, times in found.items()}
    ratio = seconds["luma-async"] / seconds["reusing"]
    over = ", over TLS" if tls else ""
    yield Row(
        f"CPU to submit and await {JOBS:,} jobs{over}: ratio to bare aiohttp with the same "
        "requests and kept connections",
        f"{ratio:.2f} ({seconds['luma-async']:.2f} s against {seconds['reusing']:.2f} s, "
        f"{looks:,} looks)",
        "at most 2",
        ratio <= 2,
    )
    yield Row(
        f"CPU to submit and await {JOBS:,} jobs{over}: ratio to bare aiohttp with the same "
        "requests and a connection for each submission",
        f"{seconds['luma-async'] / seconds['closing']:.2f} (against {seconds['closing']:.2f} s)",
    )
    yield Row(
        f"CPU to submit and await {JOBS:,} jobs{over}: lumaai, which looks at one job at a time, "
        "takes more by a factor of",
        f"{seconds['lumaai'] / seconds['luma-async']:.0f} (against {seconds['lumaai']:.0f} s, "
        f"{of_a_job} looks at each job)",
    )


def _run(name: str, url: str, looks: int = 0) -> float:
    return float(output_of("whole", name, url, looks))


if __name__ == "__main__":
    name, url, looks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "luma-async":
        print(asyncio.run(with_luma_async(url)))
    elif name == "lumaai":
        print(asyncio.run(with_lumaai(url, looks)))
    else:
        print(asyncio.run(with_aiohttp(url, looks, reuse=name == "reusing")))
