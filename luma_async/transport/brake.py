"""One 429 slows the whole client, not one request."""

from __future__ import annotations

import asyncio

from luma_async.transport.pace import Pace

UNSAID_WAIT = 1.0
"""Seconds to hold still after a 429 that does not say how long."""


class Brake:
    """Holds requests back until the moment that the last 429 asked for, then paces them."""

    def __init__(self) -> None:
        self._until = 0.0
        self._times_held = 0
        self._pace = Pace()
        self.passed = self._pace.taken
        self.is_off = True
        """Whether requests may leave as they come."""

    def press(self, seconds: float | None, *, sent: float) -> None:
        """Hold everything for `seconds` from now (`UNSAID_WAIT` if the server did not say).

        `sent` is when the refused request had left, by the event loop's clock.
        """
        now = asyncio.get_running_loop().time()
        self._pace.refused(now, sent=sent)
        self.hold(UNSAID_WAIT if seconds is None else seconds)

    def hold(self, seconds: float) -> None:
        """Hold everything for `seconds` from now."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)
        self._times_held += 1
        self.is_off = False

    async def wait(self) -> None:
        """Return once it is off, and a turn has come."""
        clock = asyncio.get_running_loop().time
        while True:
            if (left := self._until - clock()) > 0:
                await asyncio.sleep(left)
                continue  # it may have been pressed again
            self._until = 0.0
            if (left := self._pace.turn(clock()) - clock()) <= 0:
                self.is_off = not self._pace.is_limited
                return
            times_held = self._times_held
            await asyncio.sleep(left)
            if times_held == self._times_held:  # else the turn was of an earlier pace
                return
