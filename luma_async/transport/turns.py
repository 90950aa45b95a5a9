"""Turns: a bound on how much one round of the event loop does where very many begin at once."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets at most so many callers go on in one round of the event loop, in the order they came.

    A thousand submissions that are asked for with one `gather` begin in one round, and would hold
    everything else up until all of them have been prepared. One that comes alone goes on at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        """The event loop that begins the next round; `None` if none was asked to."""

    async def take(self) -> None:
        """Return in this round if it has room, else in a later one."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._left = loop, self._most
            self._waiting.clear()  # of a loop that has ended
            loop.call_soon(self._begin_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _begin_round(self) -> None:
        loop, self._left = self._loop, self._most
        while self._left and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # a cancelled one is
                waiter.set_result(None)
                self._left -= 1
        if loop is not None and self._left < self._most:
            loop.call_soon(self._begin_round)
        else:
            self._loop = None
