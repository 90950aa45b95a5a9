"""One 429 slows the whole client, not one request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is asked again after this long."""

UNSAID_WAIT = 1.0
"""Seconds to hold still after a 429 that does not say how long."""


def parse_retry_after(value: str | None, *, date: str | None = None) -> float | None:
    """Return a `Retry-After` header in seconds, between 0 and `LONGEST_WAIT`.

    It holds seconds or an HTTP date; a date is measured from the server's own `Date` where that
    is given, so that a wrong clock on either side does not matter. What cannot be read is `None`.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = _http_date(value)
        if until is None:
            return None
        seconds = (until - (_http_date(date) or datetime.now(UTC))).total_seconds()
    if seconds != seconds:  # noqa: PLR0124  "nan" is a float, too
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _http_date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Brake:
    """Holds requests back until the moment that the last 429 asked for."""

    def __init__(self) -> None:
        self._until = 0.0

    def press(self, seconds: float | None) -> None:
        """Hold everything for `seconds` from now (`UNSAID_WAIT` if the server did not say)."""
        wait = UNSAID_WAIT if seconds is None else seconds
        self._until = max(self._until, asyncio.get_running_loop().time() + wait)

    async def wait(self) -> None:
        """Return once the brake is off, at once if it is."""
        if self._until:
            loop = asyncio.get_running_loop()
            while (left := self._until - loop.time()) > 0:  # noqa: ASYNC110  it can be pressed again
                await asyncio.sleep(left)
