"""Rate limit of the simulated gateway: a token bucket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from aiohttp import web

from luma_async.simulator.answers import Answers, Refusal


class RateLimit:
    """Token bucket of `rate` requests per second that holds the tokens of `burst` seconds.

    With `says`, each answer has the headers `X-RateLimit-Limit`, `-Remaining` and `-Reset`. `now`
    returns the time in seconds.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        rate: float | None,
        burst: float = 1.0,
        says: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._answers = answers
        self._rate = rate
        self._most = max(rate * burst, 1.0) if rate is not None else math.inf
        self._tokens = self._most
        self._now = now
        self._filled_at = now()
        self._says = says

    def refuse(self, refusal: Refusal | None = None) -> web.Response | None:
        """Take a token, or return an answer 429 with a `Retry-After` if there is none.

        The error is in the format of `refusal`, or of the gateway if it is not given.
        """
        if self._rate is None:
            return None
        now = self._now()
        self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._most)
        self._filled_at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return None
        response = (refusal or self._answers.refusal)(429, "rate_limit", "too many requests")
        response.headers["Retry-After"] = str(math.ceil((1.0 - self._tokens) / self._rate))
        return response

    def mark(self, response: web.StreamResponse) -> None:
        """Add the rate limit headers to an answer."""
        if self._says and self._rate is not None:
            reset = (self._most - self._tokens) / self._rate
            response.headers["X-RateLimit-Limit"] = f"{self._most:g}"
            response.headers["X-RateLimit-Remaining"] = f"{max(int(self._tokens), 0)}"
            response.headers["X-RateLimit-Reset"] = f"{reset:.3f}"
