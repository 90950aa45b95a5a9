"""A program that downloads one file and measures itself, and a server to download it from.

`python -m benchmarks.downloads URL PATH` prints JSON; `python -m benchmarks.downloads serve PATH`
serves a file until it is ended, and prints where.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from benchmarks.memory import peak_resident, resident
from luma_async import Asset, Generation, LumaClient, State


@dataclass(frozen=True, slots=True)
class Measured:
    """What one download took: seconds, and bytes beside what the program had before."""

    seconds: float
    extra_memory: int


async def download(url: str, path: Path) -> Measured:
    """Download a file as any program does that is running already."""
    asset = Asset(url=url, download_url=url)
    video = Generation(id="job-1", state=State.COMPLETED, video=asset)
    async with LumaClient("benchmark-key") as luma:
        before, start = resident(), time.perf_counter()
        await luma.download(video, path, overwrite=True)
        return Measured(time.perf_counter() - start, peak_resident() - before)


def measure(url: str, path: Path) -> Measured:
    """Run the program in a process of its own and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.downloads", url, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout))


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Serve a file, and yield its link."""
    command = [sys.executable, "-m", "benchmarks.downloads", "serve", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _serve(path: Path) -> None:
    app = web.Application()
    app.router.add_get("/video.mp4", lambda _: _answer(path))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/video.mp4", flush=True)
    await asyncio.Event().wait()


async def _answer(path: Path) -> web.StreamResponse:
    return web.FileResponse(path)


if __name__ == "__main__":
    where, name = sys.argv[1:]
    if where == "serve":
        asyncio.run(_serve(Path(name)))
    else:
        print(json.dumps(asdict(asyncio.run(download(where, Path(name))))))
