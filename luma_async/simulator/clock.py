"""Clock: simulated time, and waits that end early when the time is advanced."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from functools import partial


class Clock:
    """Simulated time: runs `speed` times as fast as real time, and any thread can advance it."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._start = time.monotonic()
        self._epoch = time.time()
        self._ahead = 0.0
        self._advancing = threading.Lock()
        self._advanced = Notifier()
        self._ended_sleeps = 0

    def now(self) -> float:
        """Return the simulated seconds since the start."""
        return (time.monotonic() - self._start) * self.speed + self._ahead

    def advance(self, seconds: float) -> None:
        """Advance the clock by simulated seconds."""
        with self._advancing:
            self._ahead += seconds
        self._advanced.notify_all()

    async def sleep_until(self, moment: float) -> None:
        """Sleep until a simulated time, or until `end_sleeps()`."""
        ended = self._ended_sleeps
        while ended == self._ended_sleeps and self.now() < moment:
            await self._advanced.wait(lambda: (moment - self.now()) / self.speed)

    def end_sleeps(self) -> None:
        """End all current sleeps at once, because the simulator stops."""
        self._ended_sleeps += 1
        self._advanced.notify_all()

    def real(self, moment: float) -> float:
        """Return a simulated time as seconds of the Unix epoch."""
        return self._epoch + moment / self.speed


class Notifier:
    """Event that wakes all current waiters and is not set afterwards.

    It can be notified from any thread, because tests may run in another thread than the simulator.
    """

    def __init__(self) -> None:
        self._waiting: set[Callable[[], object]] = set()

    def notify_all(self) -> None:
        """Wake all waiters."""
        for wake in tuple(self._waiting):
            wake()

    async def wait(self, seconds: Callable[[], float]) -> None:
        """Wait for `notify_all()`, for `seconds()` at most.

        The function is called when the notifications of other threads already arrive, so that none
        is lost in between.
        """
        loop = asyncio.get_running_loop()
        notified = asyncio.Event()
        wake = partial(loop.call_soon_threadsafe, notified.set)
        timer: asyncio.TimerHandle | None = None
        self._waiting.add(wake)
        try:
            left = seconds()
            if left <= 0.0:
                return
            if left < math.inf:
                timer = loop.call_later(left, notified.set)
            await notified.wait()
        finally:
            self._waiting.discard(wake)
            if timer is not None:
                timer.cancel()
