"""Bell: wakes whoever waits in an event loop, rung from any thread."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial


class Clock:
    """Simulated time: `speed` seconds pass in each real one, and more where it is put forward."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._start = time.monotonic()
        self._epoch = time.time()
        self._ahead = 0.0
        self._put_forward = Bell()

    def now(self) -> float:
        """Return simulated seconds since the start."""
        return (time.monotonic() - self._start) * self.speed + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward by simulated seconds."""
        self._ahead += seconds
        self._put_forward.ring()

    async def sleep_until(self, moment: float) -> None:
        """Return once a simulated moment has come."""
        while (left := moment - self.now()) > 0:
            await self._put_forward.wait(left / self.speed)

    def real(self, moment: float) -> float:
        """Return when a simulated moment is, in seconds of the Unix epoch."""
        return self._epoch + moment / self.speed


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
