"""Time limit for closing a client, and writes that finish in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

GRACE = 1.0
"""Seconds added to a client's time for closing, to write the pending changes."""


class Closing:
    """Time limit for everything that a client waits for while it closes.

    Writes that nobody waits for (`say()`) run in the background, and start again if they are
    cancelled.
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
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def say(self, write: Callable[[], Awaitable[Any]]) -> None:
        """Start a write without waiting for it."""
        running = asyncio.ensure_future(_run(write))
        self._writes.add(running)

        def end(running: asyncio.Future[None]) -> None:
            self._writes.discard(running)
            if running.cancelled():
                self.say(write)

        running.add_done_callback(end)

    async def heard(self) -> None:
        """Wait until all background writes are done."""
        while self._writes:
            await asyncio.wait(self._writes)


async def _run(write: Callable[[], Awaitable[Any]]) -> None:
    await write()
