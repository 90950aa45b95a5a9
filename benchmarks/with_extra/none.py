"""Make a video with the base package: the program of the README."""

from __future__ import annotations

import asyncio

from luma_async import ConfigurationError, LumaClient


async def main() -> None:
    async with LumaClient() as luma:
        await luma.run("a cat dances", download="cat.mp4")


asyncio.run(main())
try:
    LumaClient(journal="jobs.db")
except ConfigurationError as error:
    assert str(error).endswith('pip install "luma-async[journal]"'), error
