"""Pace: how many requests a second a server bears, found out by its refusals. Pure: no clock."""

from __future__ import annotations

import math
from collections import deque

DECREASE = 0.9
"""What is left of the pace after a refusal for too many requests."""

RETURN = 20.0
"""Seconds until the pace is again what was refused; near it, it hardly grows."""

SLOWEST = 2.0
"""Requests a second that no refusal takes away: a server that wants less says when to come."""

LIFTED_AT = 100.0
"""How many times what was refused the pace may grow to before there is none any more."""

_WINDOW = 10
"""Seconds over which it is measured how much the server took."""


class Pace:
    """Times requests so that a server at its limit is seldom met above it.

    There is no pace until the first refusal. Then it is a little less than what the server took,
    grows back to that, stays near it for a while, and only then looks for more, faster and faster:
    multiplicative decrease, and the increase of CUBIC (RFC 9438, section 4.2). All moments are
    seconds of one clock that does not go back.
    """

    def __init__(self) -> None:
        # When a second began, and the requests in it. It begins with its first request: a burst
        # across the strokes of a clock would look like half as many.
        self._taken: deque[tuple[float, int]] = deque(maxlen=_WINDOW + 1)
        self._ceiling = math.inf
        self._cut_at = -math.inf
        self._next_turn = -math.inf

    @property
    def is_limited(self) -> bool:
        """Whether requests have to wait for their turn."""
        return self._ceiling < math.inf

    def taken(self, now: float) -> None:
        """Note that the server took a request."""
        if self._taken and now < self._taken[-1][0] + 1.0:
            began, requests = self._taken.pop()
            self._taken.append((began, requests + 1))
        else:
            self._taken.append((now, 1))

    def refused(self, now: float, *, sent: float) -> None:
        """Note that a request sent at `sent` was one too many.

        Those that were on their way when the pace was cut tell nothing new, and where nothing was
        taken lately there is nothing to keep below.
        """
        measured = self._measured(now)
        if sent > self._cut_at and measured > 0:
            self._ceiling = max(min(measured, self.rate(now)), SLOWEST)
            self._cut_at = now
            self._next_turn = now

    def rate(self, now: float) -> float:
        """Return how many requests may leave in a second."""
        if not self.is_limited:
            return math.inf
        since_return = (now - self._cut_at - RETURN) / RETURN
        return self._ceiling * (1.0 + (1.0 - DECREASE) * since_return**3)

    def turn(self, now: float) -> float:
        """Take the next turn, and return when it is."""
        if not self.is_limited:
            return now
        turn = max(now, self._next_turn)
        rate = self.rate(turn)
        if rate > self._ceiling * LIFTED_AT:
            self._ceiling = math.inf
            return now
        self._next_turn = turn + 1.0 / rate
        return turn

    def _measured(self, now: float) -> float:
        """Return how many requests a second were taken lately, in the seconds that had any."""
        lately = [requests for began, requests in self._taken if began >= now - _WINDOW]
        mean = sum(lately) / max(len(lately), 1)
        if len(lately) < 2 or now >= self._taken[-1][0] + 1.0:
            return mean
        return max(mean, sum(lately[:-1]) / (len(lately) - 1))  # the last second may have more
