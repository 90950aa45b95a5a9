"""Rejected API keys: the rule for treating a rejection as final. Pure."""

from __future__ import annotations

FINAL_AFTER = 10.0
"""Seconds of consecutive rejections after which an API key counts as rejected for good. Proxies and
databases of gateways fail for a shorter time, and nobody should wait long for a revoked key."""

MIN_REJECTIONS = 3
"""Minimum number of consecutive rejections before an API key counts as rejected for good."""

PROBE_INTERVAL = 2.0
"""Seconds until a rejected look is repeated, regardless of the poll schedule."""


class APIKeyRejections:
    """Count of consecutive looks that were rejected because of the API key.

    A rejection concerns the client and not a single job: its API key, or its session. So there is
    one count for all jobs, and a look with any other result resets it.
    """

    def __init__(
        self, *, final_after: float = FINAL_AFTER, probe_interval: float = PROBE_INTERVAL
    ) -> None:
        self.final_after = final_after
        self._probe_interval = probe_interval
        self._since = 0.0
        self.count = 0
        """Number of consecutive rejections so far."""
        self._next_probe = 0.0

    def reset(self) -> None:
        """Record a look that was not rejected."""
        self.count = 0
        self._next_probe = 0.0

    def add(self, now: float) -> bool:
        """Record a rejected look, and return `True` if the rejection is now final."""
        if not self.count:
            self._since = now
        self.count += 1
        return self.count >= MIN_REJECTIONS and now - self._since >= self.final_after

    def probe_in(self, now: float) -> float | None:
        """Return the seconds until the rejected look is repeated; `None` if another look will be.

        One probe at a time is enough. With thousands of jobs, a probe for each would only add load.
        """
        if now < self._next_probe:
            return None
        left = self._since + self.final_after - now
        pause = min(self._probe_interval, left) if left > 0 else self._probe_interval
        self._next_probe = now + pause
        return pause
