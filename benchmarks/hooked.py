"""Program like a bot: a client and its receiver in one event loop, under aiohttp or uvicorn.

`python -m benchmarks.hooked SERVER GATEWAY JOBS SECONDS` prints the public URL, then its figures.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import web

from benchmarks.memory import resident
from luma_async import AdaptiveSchedule, LumaClient, WebhookReceiver

PATH = "/luma"


@asynccontextmanager
async def serving(
    name: str, receiver: WebhookReceiver, listener: socket.socket
) -> AsyncIterator[None]:
    """Serve a receiver in this event loop."""
    if name == "aiohttp":
        app = web.Application()
        app.add_routes(receiver.routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield
        await runner.cleanup()
        return
    config = uvicorn.Config(receiver, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    yield
    server.should_exit = True
    await running


class Resolved:
    """Times of jobs, and of their callbacks."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def run(self, luma: LumaClient, number: int) -> None:
        """Run one job."""
        began = time.perf_counter()
        await luma.run(f"cat {number}")
        self.seconds.append(time.perf_counter() - began)


async def main(name: str, gateway: str, jobs: int, seconds: float) -> dict[str, Any]:
    """Run jobs that are submitted evenly over a number of seconds."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    receiver = WebhookReceiver(url)
    resolved = Resolved()
    async with (
        LumaClient(
            "benchmark-key",
            base_url=gateway,
            webhook=receiver,
            schedule=AdaptiveSchedule(expected=5.0),
        ) as luma,
        serving(name, receiver, listener),
        asyncio.TaskGroup() as group,
    ):
        await luma.run("the first one")  # loads all modules, and opens the connections
        print(url, flush=True)
        gc.collect()
        before = resident()
        for number in range(jobs):
            group.create_task(resolved.run(luma, number))
            await asyncio.sleep(seconds / jobs)
        gc.collect()
        after = resident()
    return {"seconds": resolved.seconds, "before": before, "after": after}


if __name__ == "__main__":
    name, gateway, jobs, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(main(name, gateway, int(jobs), float(seconds)))))
