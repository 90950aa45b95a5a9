"""Image places: a limit on the images in memory, however they are spread over requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ImagePlaces:
    """Places for images in memory. A request takes one for each of its images, all at once.

    Requests are served in the order in which they come, so that those with many images get their
    turn. A request with more images than there are places takes all of them.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = number
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, images: int) -> AsyncIterator[None]:
        """Wait until there are places for so many images, and keep them within the context."""
        wanted = min(images, self._number)
        await self._acquire(wanted)
        try:
            yield
        finally:
            self._release(wanted)

    async def _acquire(self, wanted: int) -> None:
        if not self._waiting and wanted <= self._free:
            self._free -= wanted
            return
        turn = asyncio.get_running_loop().create_future()
        waiter = (wanted, turn)
        self._waiting.append(waiter)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release(wanted)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
                self._release(0)  # those behind may fit now
            raise

    def _release(self, places: int) -> None:
        self._free += places
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.done():  # it may be cancelled
                self._free -= wanted
                turn.set_result(None)
