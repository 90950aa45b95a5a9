"""BatchSize: number of jobs in one status request, adapted to the server's limits. Pure."""

from __future__ import annotations

import logging

from luma_async.errors import APIError, LumaError

logger = logging.getLogger("luma_async")

GROW_AFTER = 50
"""Number of successful batches after which a reduced size is doubled. Doubles at each reduction,
so that a gateway with a fixed limit is tested ever more rarely."""

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
"""Seconds without batch requests after they failed: the first pause, and the longest."""

MAX_FAILURES = 3
"""Number of consecutive failed batches after which batch requests pause."""

_TOO_LARGE = (400, 413, 414, 422)
"""HTTP statuses with which gateways reject a batch for its size."""

_NOT_OFFERED = (404, 405, 501)
"""HTTP statuses of gateways that have no batch request."""


class BatchSize:
    """Size of the next batch, at most `largest`.

    The size is halved when a batch is rejected for its size, and doubled after `grow_after`
    successful ones. If the batch request itself fails, jobs are looked at one by one for a pause
    that doubles each time. `at()` is called for every look, so all state is plain attributes.
    """

    def __init__(
        self,
        largest: int,
        *,
        grow_after: int = GROW_AFTER,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self.limit = largest
        """Current size, regardless of a pause."""
        self._largest = largest
        self._grow_after = grow_after
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._successes = 0
        self._failures = 0
        self._paused_until = 0.0
        self._next_pause = first_pause

    def at(self, now: float) -> int:
        """Return the number of jobs to put into one request at a time."""
        return 1 if now < self._paused_until else self.limit

    def succeeded(self) -> None:
        """Record a batch request that was answered."""
        self._failures = 0
        self._next_pause = self._first_pause
        self._successes += 1
        if self._successes >= self._grow_after:
            self._successes = 0
            self.limit = min(self.limit * 2, self._largest)

    def failed(self, error: LumaError, size: int, now: float) -> None:
        """Record a batch request of a given size that failed, while a single look was answered."""
        status = error.status if isinstance(error, APIError) else None
        self._successes = 0
        if status in _TOO_LARGE and size > 2:
            self.limit = min(self.limit, size // 2)
            self._grow_after *= 2
            logger.info("The server rejects status requests for %d jobs: asking for less.", size)
            return
        self._failures += 1
        is_due = status in _NOT_OFFERED or self._failures >= MAX_FAILURES
        if is_due and self.at(now) > 1:
            self._paused_until = now + self._next_pause
            if self._next_pause == self._first_pause:
                logger.info("Status requests for many jobs fail; looking one by one. (%s)", error)
            self._next_pause = min(self._next_pause * 2, self._longest_pause)
