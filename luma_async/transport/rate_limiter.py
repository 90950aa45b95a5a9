"""One 429 slows all calls of its kind, not one request."""

from __future__ import annotations

import asyncio
import logging

import anyio

from luma_async.transport.pace import Pace
from luma_async.transport.rate_limit_headers import LONGEST_WAIT

logger = logging.getLogger("luma_async")

UNSAID_WAIT = 1.0
"""Seconds to hold still after a 429 that does not say how long."""

WORTH_SAYING = 10.0
"""Seconds of an allowance that is used up from which on the log says so."""


class Brake:
    """Holds calls of one kind back until the moment that a 429 asked for, then paces them.

    A refusal holds them at once. When all that were on their way are answered, it is judged: where
    most of them were taken it came at random, and the others go on. `kind` is their name for the
    log.
    """

    def __init__(self, kind: str = "requests") -> None:
        self._kind = kind
        self._held_until = 0.0
        self._asked_until = 0.0  # by refusals that are not judged yet
        self._is_in_doubt = False
        self._in_flight = 0
        self._times_held = 0
        self._released = asyncio.Event()
        self._used_up = (0.0, 0.0)  # when that was said last, and until when
        self._pace = Pace()
        self.passed = self._pace.taken
        self.is_off = True
        """Whether requests may leave as they come."""

    @property
    def is_held(self) -> bool:
        """Whether nothing may leave now, whatever the pace."""
        return not self.is_off and self._until() > _now()

    def left(self) -> None:
        """Note that a request leaves."""
        self._in_flight += 1

    def ended(self) -> None:
        """Note that a request that had left was answered, or will never be."""
        self._in_flight -= 1
        if self._is_in_doubt and not self._in_flight:
            self._judge()

    def press(self, seconds: float | None, *, sent: float) -> None:
        """Hold everything for `seconds` from now (`UNSAID_WAIT` if the server did not say).

        `sent` is when the refused request had left, by the event loop's clock.
        """
        until = _now() + (UNSAID_WAIT if seconds is None else seconds)
        if self._pace.refused(sent):
            self._is_in_doubt = True
            self._asked_until = max(self._asked_until, until)
        else:
            self._held_until = max(self._held_until, until)
        self._times_held += 1
        self.is_off = False

    def used_up(self, seconds: float, *, sent: float) -> None:
        """Hold everything because an answer said that nothing more is allowed for so long.

        That is believed for `LONGEST_WAIT` at most. A server that then takes a request, and says
        the same again before the time is over, does not mean it.
        """
        said_at, until = self._used_up
        now = _now()
        if said_at + LONGEST_WAIT <= sent < until - 1.0:
            return
        self._used_up = (now, now + seconds)
        believed = min(seconds, LONGEST_WAIT)
        if seconds >= WORTH_SAYING and self._held_until <= now:
            capped = f"; trying again after {believed:.0f} s" if believed < seconds else ""
            logger.info(
                "The server allows no more %s for %.0f s (X-RateLimit-Remaining: 0)%s.",
                self._kind,
                seconds,
                capped,
            )
        self._held_until = max(self._held_until, now + believed)
        self._times_held += 1
        self.is_off = False

    async def wait(self) -> None:
        """Return once it is off, and a turn has come."""
        while True:
            if (left := self._until() - _now()) > 0:
                with anyio.move_on_after(left):
                    await self._released.wait()
                continue  # it may have been pressed again
            if self._is_in_doubt:
                self._judge()  # those that are still on their way are late
                continue
            self._held_until = 0.0
            if (left := self._pace.turn(_now()) - _now()) <= 0:
                self.is_off = not self._pace.is_limited
                return
            times_held = self._times_held
            await asyncio.sleep(left)
            if times_held == self._times_held:  # else the turn was of an earlier pace
                return

    def _until(self) -> float:
        return max(self._held_until, self._asked_until)

    def _judge(self) -> None:
        """Believe the refusals, or let everything go on."""
        self._is_in_doubt = False
        asked_until, self._asked_until = self._asked_until, 0.0
        if self._pace.judge(_now()):
            self._held_until = max(self._held_until, asked_until)
            self._times_held += 1
        else:
            self._released.set()
            self._released = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()
