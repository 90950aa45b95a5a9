"""Event loops whose clocks tests move, so that nobody waits, and no machine is too slow."""

from __future__ import annotations

import asyncio


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward; every asynchronous test runs in one."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


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
