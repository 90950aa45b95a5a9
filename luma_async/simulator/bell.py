"""Bell: wakes whoever waits in an event loop, rung from any thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial


class Bell:
    """An event that is over at once: those who wait when it rings wake, later ones wait anew.

    Tests ring it, and may run in another thread than the simulator.
    """

    def __init__(self) -> None:
        self._waiting: set[Callable[[], object]] = set()

    def ring(self) -> None:
        """Wake those who wait."""
        for wake in tuple(self._waiting):
            wake()

    async def wait(self, seconds: float) -> None:
        """Return when it rings, or after so many seconds."""
        loop = asyncio.get_running_loop()
        rung = asyncio.Event()
        wake = partial(loop.call_soon_threadsafe, rung.set)
        timer = loop.call_later(seconds, rung.set) if seconds < math.inf else None
        self._waiting.add(wake)
        try:
            await rung.wait()
        finally:
            self._waiting.discard(wake)
            if timer is not None:
                timer.cancel()
