"""Connections over TLS: their number, their cost, and the effect of losing them."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp

from benchmarks.gateway import GatewayProcess, gateway
from benchmarks.programs import command, output_of
from benchmarks.row import Row
from luma_async import FixedSchedule, LumaClient, SubmissionUncertainError, VideoTask

CALLS = 800
IN_FLIGHT = 16
MAX_CONNECTIONS = 32
SUBMISSIONS = 500
"""Number of submissions while connections are lost."""
REPETITIONS = 5
KEY = "benchmark-key"
NO_LOOKS = FixedSchedule(1e6)


async def submit_with_luma_async(url: str, _: Sequence[str]) -> float:
    """Submit jobs with luma-async, and return the CPU seconds."""
    async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, schedule=NO_LOOKS) as luma:
        start = time.process_time()
        await asyncio.gather(*(luma.generate(f"cat {number}") for number in range(CALLS)))
        return time.process_time() - start


async def poll_with_luma_async(url: str, ids: Sequence[str]) -> float:
    """Look at jobs with luma-async through a session of the caller, and return the CPU seconds."""
    async with aiohttp.ClientSession() as session:
        async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, session=session) as luma:
            start = time.process_time()
            await asyncio.gather(*(luma.get(id) for id in ids))
            return time.process_time() - start


async def submit_with_aiohttp(url: str, _: Sequence[str]) -> float:
    """Submit the same jobs with aiohttp over kept connections, and return the CPU seconds."""
    bodies = iter([{"user_prompt": f"cat {number}"} for number in range(CALLS)])

    async def work(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(f"{url}/luma/generations", json=body) as response:
                json.loads(await response.read())

    return await _measured(work)


async def poll_with_aiohttp(url: str, ids: Sequence[str]) -> float:
    """Look at the same jobs with aiohttp over kept connections, and return the CPU seconds."""
    left = iter(ids)

    async def work(session: aiohttp.ClientSession) -> None:
        for id in left:
            async with session.get(f"{url}/luma/generations/{id}") as response:
                json.loads(await response.read())

    return await _measured(work)


async def _measured(work: Any) -> float:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        start = time.process_time()
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
        return time.process_time() - start


async def count_uncertain(url: str, _: Sequence[str]) -> int:
    """Submit jobs while connections are lost, and return the number of uncertain submissions."""
    async with LumaClient(KEY, base_url=url, schedule=NO_LOOKS) as luma:
        asked = (luma.generate(f"cat {number}") for number in range(SUBMISSIONS))
        results = await asyncio.gather(*asked, return_exceptions=True)
    kinds = Counter(type(result) for result in results)
    assert set(kinds) <= {VideoTask, SubmissionUncertainError}, kinds
    return kinds[SubmissionUncertainError]


PROGRAMS = {
    "luma-async submits": submit_with_luma_async,
    "luma-async polls": poll_with_luma_async,
    "aiohttp submits": submit_with_aiohttp,
    "aiohttp polls": poll_with_aiohttp,
    "luma-async loses connections": count_uncertain,
}


def rows() -> Iterator[Row]:
    """Compare luma-async with bare aiohttp, then count uncertain submissions."""
    with gateway(median=1e6, tls=True) as server:
        for what, verb in (
            ("submissions", "submits"),
            ("looks through a session of the caller", "polls"),
        ):
            yield from _compared(server, what, verb)
    yield from _lost_connections()


def _compared(server: GatewayProcess, what: str, verb: str) -> Iterator[Row]:
    seconds: dict[str, list[float]] = {}
    connections = 0
    for _ in range(REPETITIONS):
        for client in ("luma-async", "aiohttp"):
            before = _connections(server)
            found = float(output_of("connections", f"{client} {verb}", server.url))
            seconds.setdefault(client, []).append(found)
            if client == "luma-async":
                connections = max(connections, _connections(server) - before)
    ours, bare = (statistics.median(found) for found in seconds.values())
    yield Row(
        f"CPU for {CALLS} {what} over TLS, {IN_FLIGHT} at a time: ratio to bare aiohttp with kept "
        "connections",
        f"{ours / bare:.2f} ({ours * 1e6 / CALLS:.0f} µs to {bare * 1e6 / CALLS:.0f} µs each)",
        "at most 2",
        ours <= 2 * bare,
    )
    yield Row(
        f"Connections for {CALLS} {what} over TLS, {IN_FLIGHT} at a time",
        f"{connections}",
        f"at most {MAX_CONNECTIONS}",
        connections <= MAX_CONNECTIONS,
    )


def _lost_connections() -> Iterator[Row]:
    for what, latency in (
        ("the server closes each connection after an answer", 0.0),
        ("the server restarts", 0.05),
    ):
        uncertain = []
        for _ in range(REPETITIONS):
            with gateway(median=1e6, latency=latency) as server:
                if not latency:
                    server.close_after_answers()
                line = command("connections", "luma-async loses connections", server.url)
                with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
                    while latency and server.jobs_accepted() < SUBMISSIONS // 2:
                        time.sleep(0.02)
                    if latency:
                        server.restart()
                    uncertain.append(int(process.communicate()[0]))
                jobs = Counter(job["request"]["user_prompt"] for job in server.ledger()["jobs"])
                lost = SUBMISSIONS - uncertain[-1] - len(jobs)
                assert lost <= 0, lost
                assert set(jobs.values()) == {1}, jobs
        yield Row(
            f"Uncertain submissions of {SUBMISSIONS} if {what} (worst of {REPETITIONS} runs; none "
            "lost, none accepted twice)",
            f"{max(uncertain)}",
            f"at most {IN_FLIGHT}",
            max(uncertain) <= IN_FLIGHT,
        )


def _connections(server: GatewayProcess) -> int:
    return int(server.summary()["connections"])


async def _main(program: str, url: str) -> None:
    ids = [job["id"] for job in GatewayProcess(url).ledger()["jobs"][:CALLS]]
    print(await PROGRAMS[program](url, ids))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
