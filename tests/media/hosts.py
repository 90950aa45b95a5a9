"""Media hosts for tests, the videos that they serve, and the bytes that they sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from luma_async import (
    Asset,
    Generation,
    LumaClient,
    State,
    VideoTask,
)
from luma_async.simulator import Fault, Fixed, Simulator

MEGABYTE = 10**6


MP4 = (
    b"\0\0\0\x10ftypisom\0\0\2\0" + b"\0\0\0\x08moov" + b"\0\0\x10\x08mdat" + bytes(range(256)) * 16
)


def small(**settings: Any) -> Simulator:
    return Simulator(**{"durations": Fixed(0.1), "short_side": 90, **settings})


async def a_video(luma: LumaClient) -> VideoTask:
    task = await luma.generate("a cat dances", aspect_ratio="1:1")
    await task
    return task


def media(**fields: Any) -> Fault:
    return Fault(on=["media"], after=True, **fields)


async def reference(luma: LumaClient, task: VideoTask, folder: Path) -> bytes:
    """Return the video as it arrives when nothing goes wrong."""
    path = await luma.download(task, folder / "reference" / "cat.mp4")
    data = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    return data


def sent(sim: Simulator, name: str = "clean.mp4") -> list[tuple[int, int]]:
    """Return the ranges of a file that were sent, in order."""
    return [
        each for key, ranges in sim.ledger.sent.items() if key.endswith(name) for each in ranges
    ]


async def no_gateway(request: web.Request) -> web.Response:
    return web.json_response({"error": {"message": "no such job"}}, status=404)


@asynccontextmanager
async def host(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Run a media host with a test's own handler, beside a gateway that knows no jobs."""
    app = web.Application()
    app.router.add_route("*", "/luma/{tail:.*}", no_gateway)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def at(url: str, **fields: Any) -> Generation:
    """Return a completed generation with a video at a link."""
    asset = Asset(url=url, download_url=url)
    return Generation(id="job-1", state=State.COMPLETED, video=asset, **fields)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
