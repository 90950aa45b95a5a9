"""A program that sends one large image and notes how long its event loop was held.

It is run as a process of its own, `python -m benchmarks.images URL KIND`, and prints seconds.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image as PillowImage

from benchmarks.many import Heartbeat
from luma_async import LumaClient
from luma_async.image_sources import ImageLike

KINDS = ("path", "bytes", "file object", "PIL image")
SIZE = 19 * 2**20
SIDE = 2575
"""Of a square of noise that is as large as a PNG."""


async def send(url: str, source: ImageLike) -> float:
    """Send an image three times and return the longest time that the loop was held."""
    heartbeat = Heartbeat()
    async with LumaClient("benchmark-key", base_url=url) as luma:
        await luma.generate("a cat")  # what is done once is done
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
    """Run the program in a process of its own and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.images", url, kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(url: str, kind: str) -> None:
    """Make the image, send it, and print seconds."""
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
