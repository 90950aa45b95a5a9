"""Program that sends one large image and measures how long its event loop was blocked.

`python -m benchmarks.images URL KIND` runs it, and prints seconds.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image as PillowImage

from benchmarks.many import Heartbeat
from benchmarks.programs import output_of
from luma_async import LumaClient
from luma_async.image_sources import ImageLike

KINDS = ("path", "bytes", "file object", "PIL image")
SIZE = 19 * 2**20
"""Size of the image in bytes."""

SIDE = 2575
"""Side in pixels of a square of random pixels. As a PNG, it has about `SIZE` bytes."""


async def send(url: str, source: ImageLike) -> float:
    """Send an image three times, and return the longest time that the event loop was blocked."""
    heartbeat = Heartbeat()
    async with LumaClient("benchmark-key", base_url=url) as luma:
        await luma.generate("a cat")  # warm up: connections, imports, caches
        gc.collect()
        gc.freeze()
        beating = asyncio.create_task(heartbeat.beat())
        for _ in range(3):
            if isinstance(source, io.IOBase):
                source.seek(0)
            await luma.generate("a cat", image=source)
        beating.cancel()
    return heartbeat.longest


def measure(url: str, kind: str) -> float:
    """Run the program in a process of its own, and return its measurement in seconds."""
    return float(output_of("images", url, kind))


def main(url: str, kind: str) -> None:
    """Make an image of a kind, send it, and print the seconds."""
    if kind == "PIL image":
        noise = PillowImage.frombytes("RGB", (SIDE, SIDE), os.urandom(SIDE * SIDE * 3))
        print(asyncio.run(send(url, noise)))
        return
    data = b"\xff\xd8\xff\xe0" + os.urandom(SIZE - 4)
    if kind == "bytes":
        print(asyncio.run(send(url, data)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.jpg")
        path.write_bytes(data)
        if kind == "path":
            print(asyncio.run(send(url, path)))
            return
        with path.open("rb") as file:
            print(asyncio.run(send(url, file)))


if __name__ == "__main__":
    main(*sys.argv[1:])
