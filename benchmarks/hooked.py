"""Program like a bot: a client and its receiver in one event loop, under aiohttp or uvicorn.

`python -m benchmarks.hooked SERVER GATEWAY JOBS WITHIN SECONDS` prints the public URL, then its
figures. Jobs are submitted evenly within `WITHIN` seconds; memory is measured for `SECONDS`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aiohttp import web

from benchmarks.memory import resident
from luma_async import AdaptiveSchedule, LumaClient, WebhookReceiver
from luma_async.transport.credentials import Secret
from luma_async.webhooks import TakesCallbacks

PATH = "/luma"

PROMPT = (
    "An orange tabby cat dances on a moonlit roof above a quiet harbour town, the camera circling "
    "slowly while paper lanterns drift past and the city lights shimmer in the water behind it"
)


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


class TimedReceiver(WebhookReceiver):
    """Receiver that knows when the first callback about the end of each job came."""

    def __init__(self, public_url: str) -> None:
        super().__init__(public_url)
        self.called: dict[str, float] = {}

    def connect(self, api_key: Secret, take: TakesCallbacks) -> Callable[[str], str]:
        def timed(request_id: str, body: bytes, /) -> bool:
            now, seen = time.perf_counter(), json.loads(body)
            if seen["state"] == "completed":
                self.called.setdefault(seen["id"], now)
            return take(request_id, body)

        return super().connect(api_key, timed)


class Resolved:
    """Seconds from the submission of each job to its end, and from its callback to its end."""

    def __init__(self, receiver: TimedReceiver) -> None:
        self.seconds: list[float] = []
        self.late: list[float] = []
        self._receiver = receiver

    async def run(self, luma: LumaClient, number: int) -> None:
        """Run one job. A look may be faster than the callback."""
        began = time.perf_counter()
        video = await luma.run(f"{PROMPT}, take {number}")
        now = time.perf_counter()
        self.seconds.append(now - began)
        called = self._receiver.called.get(video.id)
        if called is not None:
            self.late.append(now - called)


async def most_memory(seconds: float) -> int:
    """Return the most resident memory of a number of seconds."""
    most, ends = 0, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        most = max(most, resident())
        await asyncio.sleep(0.2)
    return most


async def main(name: str, gateway: str, jobs: int, within: float, seconds: float) -> dict[str, Any]:
    """Run jobs that are submitted evenly within a number of seconds."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    receiver = TimedReceiver(url)
    resolved = Resolved(receiver)
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
        most = group.create_task(most_memory(seconds))
        for number in range(jobs):
            group.create_task(resolved.run(luma, number))
            await asyncio.sleep(within / jobs)
    return {
        "seconds": resolved.seconds,
        "late": resolved.late,
        "called": len(receiver.called) - 1,  # without the first one
        "before": before,
        "most": most.result(),
    }


if __name__ == "__main__":
    name, gateway, jobs, within, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(main(name, gateway, int(jobs), float(within), float(seconds)))))
