"""A program that downloads one video, for tests that kill it.

python -m tests.media.downloader URL ID PATH
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import LumaClient


async def main(url: str, id: str, path: str) -> None:
    async with LumaClient("sk-simulated", base_url=url) as luma:
        await luma.download(id, path)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
