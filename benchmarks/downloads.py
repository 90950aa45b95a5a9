"""Program that downloads one file and measures itself, and a server with that file.

`python -m benchmarks.downloads URL PATH` downloads a file, and prints time and memory as JSON.
`python -m benchmarks.downloads serve PATH` serves a file until it is terminated, and prints its
link.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from benchmarks.memory import peak_resident, resident
from benchmarks.programs import output_of, serve, server
from luma_async import Asset, Generation, LumaClient, State


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measurement of one download: its seconds, and the memory that it added, in bytes."""

    seconds: float
    extra_memory: int


async def download(url: str, path: Path) -> Measurement:
    """Download a file in this process, and measure it without the start of the program."""
    asset = Asset(url=url, download_url=url)
    video = Generation(id="job-1", state=State.COMPLETED, video=asset)
    async with LumaClient("benchmark-key", allow_private_media=True) as luma:
        before, start = resident(), time.perf_counter()
        await luma.download(video, path, overwrite=True)
        return Measurement(time.perf_counter() - start, peak_resident() - before)


def measure(url: str, path: Path) -> Measurement:
    """Run the program in a process of its own, and return its measurement."""
    return Measurement(**json.loads(output_of("downloads", url, path)))


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Serve a file, and yield its link."""
    with server("downloads", "serve", path) as (url, _):
        yield url


async def _serve(path: Path) -> None:
    async def send_file(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    app = web.Application()
    app.router.add_get("/video.mp4", send_file)
    await serve(app, "/video.mp4")


if __name__ == "__main__":
    url, name = sys.argv[1:]
    if url == "serve":
        asyncio.run(_serve(Path(name)))
    else:
        print(json.dumps(asdict(asyncio.run(download(url, Path(name))))))
