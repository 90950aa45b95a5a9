"""Standard streams: serve MCP on standard input and output until the input is closed.

The package `mcp` reads standard input in a thread that only a line or the end of the input wakes,
so that a signal would have to wait for one. Here a daemon thread reads, which nothing waits for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

from mcp.server import Server
from mcp.server.stdio import stdio_server

logger = logging.getLogger("luma_async")

_CHUNK = 2**16
_MOST_LINES = 100
"""Number of lines to read ahead of the server."""


async def serve_on_standard_streams(server: Server[Any]) -> None:
    """Serve one client on standard input and output until it closes the input.

    Meanwhile the descriptor of standard output leads to standard error, so that nothing else can be
    written between the messages.
    """
    lines = cast("Any", _Lines(0))
    try:
        async with stdio_server(stdin=lines) as (messages, answers):
            await server.run(messages, answers, server.create_initialization_options())
    except* BrokenPipeError:
        logger.info("The client has closed standard output.")


class _Lines(AsyncIterator[str]):
    """Lines that a daemon thread reads from a file descriptor.

    The thread reads the descriptor itself: at the end of the program, Python would wait for the
    lock of a buffered file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_MOST_LINES)
        threading.Thread(target=self._read, name="luma-async stdin", daemon=True).start()

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        try:
            rest = b""
            while chunk := self._next_chunk():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._put(line.decode("utf-8", "replace"))
            self._put(None)
        except RuntimeError:
            pass  # the event loop is closed: the server has ended

    def _next_chunk(self) -> bytes:
        try:
            return os.read(self._descriptor, _CHUNK)
        except OSError:
            return b""

    def _put(self, line: str | None) -> None:
        putting = self._lines.put(line)
        try:
            future = asyncio.run_coroutine_threadsafe(putting, self._loop)
        except RuntimeError:
            putting.close()
            raise
        future.result()
