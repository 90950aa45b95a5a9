"""Start `luma-async mcp` as an agent's program does, list its tools, and make a video."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters, stdio_client


async def main() -> None:
    server = StdioServerParameters(
        command=str(Path(sys.executable).parent / "luma-async"), args=["mcp"], env={**os.environ}
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        names = {tool.name for tool in (await session.list_tools()).tools}
        assert {"generate_video", "wait_for_job", "download_files"} <= names, names
        made = await session.call_tool("generate_video", {"key": "cat", "prompt": "a cat dances"})
        assert not made.is_error, made.content
        assert made.structured_content is not None
        job = made.structured_content["id"]
        ended = await session.call_tool("wait_for_job", {"job": job})
        assert not ended.is_error, ended.content
        saved = await session.call_tool("download_files", {"job": job})
        assert not saved.is_error, saved.content
    assert list(Path("luma-videos").glob("*.mp4"))


asyncio.run(main())
