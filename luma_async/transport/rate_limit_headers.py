"""What servers say in headers of when to come again. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is asked again after this long."""

REMAINING = "X-RateLimit-Remaining"
"""The header that says how many requests are left."""

RESET = "X-RateLimit-Reset"
"""The header that says when there are more again."""

_EPOCH_FROM = 1e8
"""A reset above this is a moment: as seconds to wait it would be years."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


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
        seconds = (until - _now(date)).total_seconds()
    return _bounded(seconds)


def parse_reset(value: str | None, *, date: str | None = None) -> float | None:
    """Return an `X-RateLimit-Reset` header in seconds, between 0 and `LONGEST_WAIT`.

    Seconds from now, seconds or milliseconds of the epoch, or a span such as `1m30s`.
    """
    seconds = _reset(value, date)
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def _reset(value: str | None, date: str | None) -> float | None:
    """Return seconds of 0 or more, however many."""
    if value is None:
        return None
    text = value.strip().lower()
    if _SPAN.fullmatch(text):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        seconds = float(text)
    except ValueError:
        return parse_retry_after(value, date=date)
    if seconds > _EPOCH_FROM:
        moment = seconds / 1000 if seconds > _EPOCH_FROM * 1000 else seconds
        seconds = moment - _now(date).timestamp()
    return None if math.isnan(seconds) else max(seconds, 0.0)


def used_up_for(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds nothing more is allowed, if the headers of an answer say so.

    There may be very many of them; `LONGEST_WAIT` is as long as that is believed.
    """
    remaining = headers.get(REMAINING)
    if remaining is None:
        return None
    try:
        is_used_up = float(remaining) <= 0
    except ValueError:
        return None
    return _reset(headers.get(RESET), headers.get("Date")) if is_used_up else None


def reset_in(headers: Mapping[str, str]) -> float | None:
    """Return in how many seconds the allowance is renewed, if the headers say so."""
    return parse_reset(headers.get(RESET), date=headers.get("Date"))


def _bounded(seconds: float) -> float | None:
    if math.isnan(seconds):  # "nan" is a float, too
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _now(date: str | None) -> datetime:
    return _http_date(date) or datetime.now(UTC)


def _http_date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
