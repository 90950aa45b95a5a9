"""Scale an image, and send it."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from PIL import Image

from luma_async import LumaClient, image_from


async def main() -> None:
    Image.new("RGB", (4000, 3000), "orange").save("sunset.png")
    start = await image_from(Path("sunset.png"), max_side=1024)
    assert not isinstance(start, str)
    with Image.open(io.BytesIO(start.data)) as scaled:
        assert scaled.size == (1024, 768)
    async with LumaClient() as luma:
        await luma.run("the sun goes down", image=start, download="sunset.mp4")


asyncio.run(main())
