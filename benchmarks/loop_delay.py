"""Delay of an event loop: the lateness of a timer, as any other task of the program feels it."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

INTERVAL = 0.005
"""Seconds between two measurements."""


class LoopDelay:
    """Delays of an event loop in seconds, measured with a timer.

    `of_cpu` counts only the CPU time of the event loop's thread, so that other programs on the
    machine hardly change it.
    """

    def __init__(self) -> None:
        self._delays = array("d")
        self._cpu = array("d")

    def percentile(self, percent: float, *, of_cpu: bool = False) -> float:
        """Return the delay that `percent` of the measurements do not exceed."""
        delays = sorted(self._cpu if of_cpu else self._delays)
        return delays[max(math.ceil(len(delays) * percent / 100) - 1, 0)]

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Measure while the context is open."""
        measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            measuring.cancel()

    async def _measure(self) -> None:
        while True:
            start, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(INTERVAL)
            self._delays.append(time.perf_counter() - start - INTERVAL)
            self._cpu.append(time.thread_time() - cpu)
