"""Writer: puts what arrives onto the disk in threads, while more of it arrives."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import anyio.to_thread

from luma_async.media.part_file import Part

LARGEST_QUEUE = 16 * 2**20
"""Bytes that wait to be written before no more are read."""


class Writer:
    """Writes to a part, in order, one thread at a time."""

    def __init__(self, part: Part, threads: anyio.CapacityLimiter) -> None:
        self._part = part
        self._threads = threads
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether `catch_up` should be awaited before there is more."""
        return self._size > LARGEST_QUEUE or self._has_failed()

    def put(self, chunk: bytes) -> None:
        """Have a piece written."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._writing is None or (self._writing.done() and not self._has_failed()):
            self._writing = asyncio.create_task(self._write(), name="luma-async download")

    async def catch_up(self) -> None:
        """Wait until there is room for more.

        Raises:
            OSError: it cannot be written.

        """
        while self._size > LARGEST_QUEUE and not self._has_failed():
            self._progress.clear()
            await self._progress.wait()
        if self._has_failed():
            await self.drain()

    async def drain(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: it cannot be.

        """
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    async def aclose(self) -> None:
        """Write what was put, if that is possible. Not to be cancelled."""
        with contextlib.suppress(OSError):
            await self.drain()

    def _has_failed(self) -> bool:
        writing = self._writing
        return writing is not None and writing.done() and writing.exception() is not None

    async def _write(self) -> None:
        try:
            while self._chunks:
                chunks, self._chunks = self._chunks, []
                await anyio.to_thread.run_sync(self._part.write, chunks, limiter=self._threads)
                self._size -= sum(map(len, chunks))
                self._progress.set()
        finally:
            self._progress.set()
