"""Event loops whose clocks tests move, so that nobody waits, and no machine is too slow."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward; every asynchronous test runs in one."""

    ahead = 0.0

    def time(self) -> float:
        return monotonic() + self.ahead  # as the base class has it, which a loop asks very often


def skip(seconds: float) -> None:
    """Put the clock of the running event loop forward.

    Whatever was to happen within so many seconds is due now: looks, tries, timeouts. Unlike a
    short timeout in its place, a long one that is skipped never ends before its time.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    loop.ahead += seconds


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to what is next: an hour takes no longer than its events."""

    def __init__(self) -> None:
        self._moment = 0.0
        super().__init__()

    def time(self) -> float:
        return self._moment

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._moment = max(self._moment, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class HurryingLoop(SkippingLoop):
    """An event loop that skips the time in which nothing happens, for clients and simulators alike.

    Unlike in a `JumpingLoop`, there may be sockets: time is skipped only if none of them is ready.
    """

    QUIET = 0.002
    """Real seconds without an event after which nothing more comes over loopback."""

    def __init__(self) -> None:
        super().__init__()
        self.on_skip: list[Callable[[float], object]] = []
        """Functions that are called with the seconds that are skipped, such as `sim.advance`."""

    def _run_once(self) -> None:
        scheduled = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():  # nothing happens at its time
            heapq.heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
        if not self._ready and scheduled and not self._selector.select(self.QUIET):  # type: ignore[attr-defined]
            left = scheduled[0].when() - self.time()
            if left > 0:
                self.ahead += left
                for skipped in self.on_skip:
                    skipped(left)
        super()._run_once()  # type: ignore[misc]


def in_a_hurry(test: Callable[[HurryingLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in a `HurryingLoop`, which it gets, and return its result."""
    with asyncio.Runner(loop_factory=HurryingLoop, debug=True) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, HurryingLoop)
        return runner.run(test(loop))
