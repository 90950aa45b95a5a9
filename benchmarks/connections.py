"""Connections over TLS: how many it takes, what they cost, and what their loss costs."""

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
from benchmarks.row import Row
from luma_async import FixedSchedule, LumaClient, SubmissionUncertainError, VideoTask

CALLS = 800
IN_FLIGHT = 16
ENOUGH = 32
SUBMISSIONS = 500
REPETITIONS = 5
KEY = "benchmark-key"
SELDOM = FixedSchedule(1e6)


async def submit_with_luma_async(url: str, _: Sequence[str]) -> float:
    """Submit, and return the CPU seconds for all of them."""
    async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, schedule=SELDOM) as luma:
        start = time.process_time()
        await asyncio.gather(*(luma.generate(f"cat {number}") for number in range(CALLS)))
        return time.process_time() - start


async def poll_with_luma_async(url: str, ids: Sequence[str]) -> float:
    """Look at one job after another through a session of the caller's."""
    async with aiohttp.ClientSession() as session:
        async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT, session=session) as luma:
            start = time.process_time()
            await asyncio.gather(*(luma.get(id) for id in ids))
            return time.process_time() - start


async def submit_with_aiohttp(url: str, _: Sequence[str]) -> float:
    """Post the same bodies over connections that are kept, and read the answers."""
    bodies = iter([{"user_prompt": f"cat {number}"} for number in range(CALLS)])

    async def work(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(f"{url}/luma/generations", json=body) as response:
                json.loads(await response.read())

    return await _measured(work)


async def poll_with_aiohttp(url: str, ids: Sequence[str]) -> float:
    """Look at the same jobs over connections that are kept, and read the answers."""
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


async def submit_through_trouble(url: str, _: Sequence[str]) -> int:
    """Submit, and return how many of the submissions are uncertain."""
    async with LumaClient(KEY, base_url=url, schedule=SELDOM) as luma:
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
    "luma-async submits through trouble": submit_through_trouble,
}


def rows() -> Iterator[Row]:
    """Run each beside bare aiohttp, in turn."""
    with gateway(median=1e6, tls=True) as server:
        for what, verb in (("submissions", "submits"), ("polls, session of the caller's", "polls")):
            yield from _compared(server, what, verb)
    yield from _lost_connections()


def _compared(server: GatewayProcess, what: str, verb: str) -> Iterator[Row]:
    seconds: dict[str, list[float]] = {}
    connections = 0
    for _ in range(REPETITIONS):
        for client in ("luma-async", "aiohttp"):
            before = _connections(server)
            found = float(_run(f"{client} {verb}", server.url))
            seconds.setdefault(client, []).append(found)
            if client == "luma-async":
                connections = max(connections, _connections(server) - before)
    ours, bare = (statistics.median(found) for found in seconds.values())
    yield Row(
        f"TLS, {CALLS} {what}, {IN_FLIGHT} at once: CPU against bare aiohttp with kept connections",
        f"{ours / bare:.2f} ({ours * 1e6 / CALLS:.0f} µs against {bare * 1e6 / CALLS:.0f} µs each)",
        "at most 2",
        ours <= 2 * bare,
    )
    yield Row(
        f"TLS, {CALLS} {what}, {IN_FLIGHT} at once: connections",
        f"{connections}",
        f"at most {ENOUGH}",
        connections <= ENOUGH,
    )


def _lost_connections() -> Iterator[Row]:
    for what, slow in (("closed by the server after each answer", 0.0), ("a restart", 0.05)):
        uncertain = []
        for _ in range(REPETITIONS):
            with gateway(median=1e6, latency=slow) as server:
                if not slow:
                    server.close_after_answers()
                command = _command("luma-async submits through trouble", server.url)
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                    while slow and server.jobs_taken() < SUBMISSIONS // 2:
                        time.sleep(0.02)
                    if slow:
                        server.restart()
                    uncertain.append(int(process.communicate()[0]))
                jobs = Counter(job["request"]["user_prompt"] for job in server.ledger()["jobs"])
                lost = SUBMISSIONS - uncertain[-1] - len(jobs)
                assert lost <= 0, lost
                assert set(jobs.values()) == {1}, jobs
        yield Row(
            f"{SUBMISSIONS} submissions, {what}: uncertain, in the worst of {REPETITIONS} runs "
            "(none lost, none there twice)",
            f"{max(uncertain)}",
            f"at most {IN_FLIGHT}",
            max(uncertain) <= IN_FLIGHT,
        )


def _connections(server: GatewayProcess) -> int:
    return int(server.summary()["connections"])


def _command(program: str, url: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.connections", program, url]


def _run(program: str, url: str) -> str:
    done = subprocess.run(_command(program, url), check=True, capture_output=True, text=True)
    return done.stdout


async def _main(program: str, url: str) -> None:
    ids = [job["id"] for job in GatewayProcess(url).ledger()["jobs"][:CALLS]]
    print(await PROGRAMS[program](url, ids))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2]))
