"""Make a video with a journal in a PostgreSQL database, and find it again there."""

from __future__ import annotations

import asyncio
import os
import uuid

from luma_async import LumaClient


async def main() -> None:
    ids = set()
    key = str(uuid.uuid4())
    for _ in range(2):
        async with LumaClient(journal=os.environ["DATABASE"]) as luma:
            task = await luma.generate("a cat dances", key=key)
            ids.add((await task).id)
    assert len(ids) == 1


asyncio.run(main())
