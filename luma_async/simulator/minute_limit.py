"""Minute limit: submissions to the Agents API within a sliding window of 60 seconds."""

from __future__ import annotations

import math
import time
from collections import deque

from aiohttp import web

from luma_async.simulator.answers import detail_refusal
from luma_async.simulator.clock import Clock

WINDOW = 60.0


class MinuteLimit:
    """Sliding window: submissions age out one by one, and there is no full refill.

    The window is a simulated minute. The headers of answers tell real seconds, because a client
    waits for these.
    """

    def __init__(self, clock: Clock, most: int | None) -> None:
        self._clock = clock
        self._most = most
        self._moments: deque[float] = deque()

    def refuse(self) -> web.Response | None:
        """Count a submission, or return an answer 429 if the window is full."""
        if self._most is None:
            return None
        now = self._clock.now()
        while self._moments and self._moments[0] <= now - WINDOW:
            self._moments.popleft()
        if len(self._moments) < self._most:
            self._moments.append(now)
            return None
        response = detail_refusal(429, "", "Rate limit exceeded")
        response.headers["Retry-After"] = str(max(math.ceil(self._until_place()), 1))
        self.mark(response)
        return response

    def mark(self, response: web.StreamResponse) -> None:
        """Add the headers with the limit, the remaining submissions, and the next free place."""
        if self._most is not None:
            reset = math.ceil(time.time() + self._until_place())
            response.headers["X-RateLimit-Limit"] = str(self._most)
            response.headers["X-RateLimit-Remaining"] = str(self._most - len(self._moments))
            response.headers["X-RateLimit-Reset"] = str(reset)

    def _until_place(self) -> float:
        """Return the real seconds until the oldest submission leaves the window."""
        if not self._moments:
            return 0.0
        return max(self._moments[0] + WINDOW - self._clock.now(), 0.0) / self._clock.speed
