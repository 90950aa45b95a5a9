"""Make a video with a journal in a SQLite file, and find it again there."""

from __future__ import annotations

import asyncio

from luma_async import LumaClient


async def main() -> None:
    ids = set()
    for _ in range(2):
        async with LumaClient(journal="jobs.db") as luma:
            task = await luma.generate("a cat dances", key="cat")
            ids.add((await task).id)
            await luma.download(task, "cat.mp4", overwrite=True)
    assert len(ids) == 1


asyncio.run(main())
