"""Refused key: when a refusal of the API key is believed. Pure."""

from __future__ import annotations

BELIEVED_AFTER = 10.0
"""Seconds of nothing but refusals after which the API key counts as refused for good. Proxies and
databases of gateways stumble for less, and nobody should wait for a key that was revoked."""

LOOKS = 3
"""So many refused looks in a row it must be at least."""

PAUSE = 2.0
"""Seconds until a look that was refused is made again, whatever the schedule says."""


class Refusals:
    """Counts looks that were refused in a row.

    A refusal is about the client rather than a job: its API key, or how it was set up. So one
    count serves all jobs, and any look that ends otherwise begins it anew.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._times = 0
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last look was refused."""
        return self._times > 0

    def clear(self) -> None:
        """Note a look that ended otherwise."""
        self._times = 0
        self._next_probe = 0.0

    def add(self, now: float) -> bool:
        """Note a look that was refused, and return whether the refusal is believed."""
        if not self._times:
            self._since = now
        self._times += 1
        return self._times >= LOOKS and now - self._since >= BELIEVED_AFTER

    def probe_in(self, now: float) -> float | None:
        """Return in how many seconds to make a refused look again; `None` where another one is.

        One look at a time is enough: thousands of jobs would only make the same question louder.
        """
        if now < self._next_probe:
            return None
        left = self._since + BELIEVED_AFTER - now
        pause = min(PAUSE, left) if left > 0 else PAUSE
        self._next_probe = now + pause
        return pause
