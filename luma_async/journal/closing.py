"""Closing: when a client is being closed, and how long that may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

GRACE = 1.0
"""Seconds that what is left is still written in when a client's time to close is up."""


class Closing:
    """Bounds what is waited for once a client closes.

    Words that nobody waits for (`say()`) are spoken for all that, whoever is cancelled.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._until: float | None = None
        self._waits: set[asyncio.Timeout] = set()
        self._words: set[asyncio.Future[None]] = set()

    def begin(self, *, within: float) -> None:
        """Let no wait go on for longer than so many seconds from now."""
        if self.begun.is_set():
            return
        self.begun.set()
        self._until = asyncio.get_running_loop().time() + within
        for wait in self._waits:
            wait.reschedule(self._until)

    @property
    def left(self) -> float:
        """Seconds that closing may still take; a few at least, or nothing could be written."""
        if self._until is None:
            return GRACE
        return max(self._until - asyncio.get_running_loop().time(), 0.0) + GRACE

    @asynccontextmanager
    async def bound(self) -> AsyncIterator[None]:
        """Raise `TimeoutError` inside when closing has taken its time."""
        async with asyncio.timeout_at(self._until) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    def say(self, words: Callable[[], Awaitable[Any]]) -> None:
        """Have something written down without waiting for it."""
        spoken = asyncio.ensure_future(_speak(words))
        self._words.add(spoken)

        def end(spoken: asyncio.Future[None]) -> None:
            self._words.discard(spoken)
            if spoken.cancelled():
                self.say(words)

        spoken.add_done_callback(end)

    async def heard(self) -> None:
        """Wait until everything is written that nobody waited for."""
        while self._words:
            await asyncio.wait(self._words)


async def _speak(words: Callable[[], Awaitable[Any]]) -> None:
    await words()
