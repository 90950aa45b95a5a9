"""Closing: the time limit for closing a client, and writes that finish in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

GRACE = 1.0
"""Seconds added to a client's time for closing, to write the pending changes."""


class Closing:
    """Time limit for everything that a client waits for while it closes.

    Writes that no caller waits for (`write_in_background()`) start again if they are cancelled.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._until: float | None = None
        self._waits: set[asyncio.Timeout] = set()
        self._writes: set[asyncio.Future[None]] = set()

    def begin(self, *, within: float) -> None:
        """Limit every wait to `within` seconds from now."""
        if self.begun.is_set():
            return
        self.begun.set()
        self._until = asyncio.get_running_loop().time() + within
        for wait in self._waits:
            wait.reschedule(self._until)

    @property
    def left(self) -> float:
        """Seconds that closing may still take.

        This is at least `GRACE`, or nothing could be written any more.
        """
        if self._until is None:
            return GRACE
        return max(self._until - asyncio.get_running_loop().time(), 0.0) + GRACE

    @asynccontextmanager
    async def bound(self) -> AsyncIterator[None]:
        """Raise `TimeoutError` in the body when the time for closing is over."""
        async with asyncio.timeout_at(self._until) as wait:
            self._waits.add(wait)  # its limit is set when closing begins
            try:
                yield
            finally:
                self._waits.discard(wait)

    def write_in_background(self, write: Callable[[], Awaitable[Any]]) -> None:
        """Start a write without waiting for it, and start it again if it is cancelled."""
        # The variables of a caller that was cancelled do not live on in the write.
        writing = asyncio.create_task(
            _run(write), name="luma-async background write", context=Context()
        )
        self._writes.add(writing)

        def restart_if_cancelled(writing: asyncio.Future[None]) -> None:
            self._writes.discard(writing)
            if writing.cancelled():
                self.write_in_background(write)

        writing.add_done_callback(restart_if_cancelled)

    async def wait_for_writes(self) -> None:
        """Wait until all background writes are done."""
        while self._writes:
            await asyncio.wait(self._writes)


async def _run(write: Callable[[], Awaitable[Any]]) -> None:
    await write()
