"""Standard streams: serve MCP on standard input and output until the input is closed.

The package `mcp` reads and writes in threads that it waits for. A signal would have to wait for the
next line of a client, or for a client that reads no more. Here daemon threads do both, and nothing
waits for these.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mcp.server import Server
from mcp.server.stdio import stdio_server

logger = logging.getLogger("luma_async")

_CHUNK = 2**16
_MOST_LINES = 100
"""Number of lines to read ahead of the server."""

_LAST_WRITE = 1.0
"""Seconds for the last message, once the client has closed the input."""


async def serve_on_standard_streams(server: Server[Any]) -> None:
    """Serve one client on standard input and output until it closes the input.

    Meanwhile the descriptor of standard output leads to standard error, so that nothing else can be
    written between the messages.
    """
    with _taken_output() as descriptor:
        lines: Any = _Lines(0)
        output: Any = _Output(descriptor)
        try:
            async with stdio_server(lines, output) as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())
                await output.finish()
        except* BrokenPipeError:
            logger.info("The client does not read standard output any more.")


@contextmanager
def _taken_output() -> Iterator[int]:
    """Let standard output lead to standard error in a context, and yield a descriptor for it."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        yield own
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os.dup2(own, 1)  # `own` stays open: a thread may be writing to it


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
        parts: list[bytes] = []  # of a line that has not ended: it may hold an image of megabytes
        with suppress(RuntimeError):  # the event loop is closed: the server has ended
            while chunk := self._next_chunk():
                *ends, rest = chunk.split(b"\n")
                for end in ends:
                    self._put(b"".join([*parts, end]).decode("utf-8", "replace"))
                    parts.clear()
                parts.append(rest)
            self._put(None)

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


class _Output:
    """Texts that a daemon thread writes to a file descriptor, one at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._texts: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self._last: asyncio.Future[None] | None = None
        threading.Thread(target=self._write, name="luma-async stdout", daemon=True).start()

    async def write(self, text: str) -> None:
        """Write a text.

        Raises:
            BrokenPipeError: nobody reads it.

        """
        self._last = self._loop.create_future()
        self._texts.put((text.encode(), self._last))
        await self._last

    async def flush(self) -> None:
        """Do nothing: `write()` returns when a text is written."""

    async def finish(self) -> None:
        """Wait for the text that is being written, but not for long."""
        if self._last is None or self._last.done():
            return
        await asyncio.wait([self._last], timeout=_LAST_WRITE)
        if not self._last.done():
            self._last.set_exception(BrokenPipeError())

    def _write(self) -> None:
        with suppress(RuntimeError):  # the event loop is closed: the server has ended
            while True:
                data, written = self._texts.get()
                error: OSError | None = None
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except OSError:
                    error = BrokenPipeError()
                self._loop.call_soon_threadsafe(_settle, written, error)


def _settle(written: asyncio.Future[None], error: OSError | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
