"""Programs that look at running jobs with different clients, and measure the CPU time of a look.

`python -m benchmarks.lookers NAME URL LOOKS` prints the CPU seconds of one look at one job, with 64
requests in flight. All programs look at the same jobs of the same gateway and parse the answers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from urllib.parse import urlsplit

import aiohttp

from benchmarks.gateway import GatewayProcess
from benchmarks.programs import output_of
from luma_async import AdaptiveSchedule, FixedSchedule, LumaClient
from luma_async.dialects import DialectName

IN_FLIGHT = 64
KEY = "benchmark-key"
SECONDS_PER_LOOK = 1 / 2000
"""Assumed duration of a look, from which the time of a run of the poller follows."""

Look = Callable[[str], Awaitable[object]]


async def submit(url: str, jobs: int, dialect: DialectName = "gateway") -> None:
    """Submit jobs that nobody looks at."""
    schedule = FixedSchedule(1e5)  # no looks yet
    # A new context trusts the authority of `gateway(tls=True)`; aiohttp's own may be older.
    trusted = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with (
        aiohttp.ClientSession(connector=trusted) as session,
        LumaClient(
            KEY, base_url=url, dialect=dialect, max_requests=32, schedule=schedule, session=session
        ) as luma,
    ):
        await asyncio.gather(*(luma.generate(f"cat {number}") for number in range(jobs)))


async def measured(look: Look, ids: Sequence[str], looks: int) -> float:
    """Return the CPU seconds of one look, averaged over `looks`, `IN_FLIGHT` at a time."""
    left = islice(cycle(ids), looks)

    async def work(left: Iterator[str]) -> None:
        for id in left:
            await look(id)

    await asyncio.gather(*(look(id) for id in ids[:IN_FLIGHT]))  # opens the connections
    gc.collect()
    start = time.process_time()
    await asyncio.gather(*(work(left) for _ in range(IN_FLIGHT)))
    return (time.process_time() - start) / looks


async def lumaai(url: str, ids: Sequence[str], looks: int) -> float:
    """Look with the official SDK."""
    from lumaai import AsyncLumaAI  # noqa: PLC0415  each program loads its own client only

    async with AsyncLumaAI(auth_token=KEY, base_url=f"{url}/luma") as client:
        return await measured(client.generations.get, ids, looks)


async def luma_agents(url: str, ids: Sequence[str], looks: int) -> float:
    """Look with the official agents SDK."""
    from luma_agents import AsyncLuma  # noqa: PLC0415  each program loads its own client only

    async with AsyncLuma(auth_token=KEY, base_url=f"{url}/luma") as client:
        return await measured(client.generations.get, ids, looks)


async def lumaai_at_luma(url: str, ids: Sequence[str], looks: int) -> float:
    """Look at jobs of the Dream Machine API with its official SDK."""
    from lumaai import AsyncLumaAI  # noqa: PLC0415  each program loads its own client only

    async with AsyncLumaAI(auth_token=KEY, base_url=f"{url}/dream-machine/v1") as client:
        return await measured(client.generations.get, ids, looks)


async def luma_agents_at_luma(url: str, ids: Sequence[str], looks: int) -> float:
    """Look at jobs of the Agents API with its official SDK."""
    from luma_agents import AsyncLuma  # noqa: PLC0415  each program loads its own client only

    async with AsyncLuma(auth_token=KEY, base_url=f"{url}/v1") as client:
        return await measured(client.generations.get, ids, looks)


async def bare_aiohttp(
    url: str, ids: Sequence[str], looks: int, *, path: str = "/luma/generations"
) -> float:
    """Look with `aiohttp` and `json.loads` only."""
    headers = {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def look(id: str) -> object:
            async with session.get(f"{url}{path}/{id}") as response:
                return json.loads(await response.read())

        return await measured(look, ids, looks)


async def raw_stream(url: str, ids: Sequence[str], looks: int) -> float:
    """Look over asyncio streams, with a minimal parser of answers."""
    host, _, port = urlsplit(url).netloc.partition(":")
    free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    free = asyncio.LifoQueue()
    for _ in range(IN_FLIGHT):
        free.put_nowait(await asyncio.open_connection(host, port))

    async def look(id: str) -> object:
        reader, writer = await free.get()
        writer.write(
            f"GET /luma/generations/{id} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {KEY}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        answer = json.loads(await reader.readexactly(length))
        free.put_nowait((reader, writer))
        return answer

    cost = await measured(look, ids, looks)
    while not free.empty():
        free.get_nowait()[1].close()
    return cost


async def luma_async_get(url: str, ids: Sequence[str], looks: int) -> float:
    """Look with `LumaClient.get`, one job at a time."""
    async with LumaClient(KEY, base_url=url, max_requests=IN_FLIGHT) as luma:
        return await measured(luma.get, ids, looks)


async def luma_async_polling(
    url: str, ids: Sequence[str], looks: int, *, dialect: DialectName = "gateway"
) -> float:
    """Look with the poller without a pause. The server counts the looks."""
    schedule = AdaptiveSchedule(shortest=0.01, longest=0.01)
    server = GatewayProcess(url)
    async with LumaClient(
        KEY, base_url=url, dialect=dialect, max_requests=IN_FLIGHT, schedule=schedule
    ) as luma:
        await asyncio.gather(*(luma.watch(id) for id in ids))
        gc.collect()
        before, start = server.jobs_looked_at(), time.process_time()
        await asyncio.sleep(looks * SECONDS_PER_LOOK)
        cpu = time.process_time() - start
        return cpu / (server.jobs_looked_at() - before)


PROGRAMS: dict[str, Callable[[str, Sequence[str], int], Awaitable[float]]] = {
    "lumaai": lumaai,
    "luma-agents": luma_agents,
    "aiohttp": bare_aiohttp,
    "asyncio stream": raw_stream,
    "luma-async, LumaClient.get": luma_async_get,
    "luma-async, polling": luma_async_polling,
}

AT_LUMA: dict[str, dict[str, Callable[[str, Sequence[str], int], Awaitable[float]]]] = {
    "agents": {
        "luma-agents, Agents API": luma_agents_at_luma,
        "aiohttp, Agents API": partial(bare_aiohttp, path="/v1/generations"),
        "luma-async, Agents API": partial(luma_async_polling, dialect="agents"),
    },
    "dream-machine": {
        "lumaai, Dream Machine API": lumaai_at_luma,
        "aiohttp, Dream Machine API": partial(bare_aiohttp, path="/dream-machine/v1/generations"),
        "luma-async, Dream Machine API": partial(luma_async_polling, dialect="dream-machine"),
    },
}
"""Programs for Luma's own APIs, by dialect: the official client, aiohttp, and ours."""


def cost_of_a_look(name: str, url: str, looks: int) -> float:
    """Run a program in a process of its own, and return the CPU seconds of one look at a job."""
    return float(output_of("lookers", name, url, looks))


async def _main(name: str, url: str, looks: int) -> None:
    api = next((api for api, programs in AT_LUMA.items() if name in programs), "gateway")
    program = AT_LUMA[api][name] if api in AT_LUMA else PROGRAMS[name]
    jobs = GatewayProcess(url).ledger()["jobs"]
    print(await program(url, [job["id"] for job in jobs if job["api"] == api], looks))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
