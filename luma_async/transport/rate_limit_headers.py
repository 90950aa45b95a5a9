"""Rate limit headers: parse `Retry-After` and `X-RateLimit-*`. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

LONGEST_WAIT = 120.0
"""Maximum seconds to wait because of a header. A wrong header must not stop a client for a day."""

REMAINING = "X-RateLimit-Remaining"
"""Header with the number of requests that are left."""

RESET = "X-RateLimit-Reset"
"""Header with the time when the allowance is renewed."""

_MIN_EPOCH = 1e8
"""Minimum value of a reset that is a time. As seconds to wait it would be years."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


def parse_retry_after(value: str | None, *, date: str | None = None) -> float | None:
    """Return a `Retry-After` header in seconds, between 0 and `LONGEST_WAIT`.

    The header contains seconds or an HTTP date. A date is compared with the server's own `Date`, if
    there is one, so that wrong clocks do not matter. An invalid header is `None`.
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

    The header contains seconds from now, seconds or milliseconds of the epoch, or a span such as
    `1m30s`.
    """
    seconds = _reset(value, date)
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def _reset(value: str | None, date: str | None) -> float | None:
    """Return the header in seconds, at least 0 and without a maximum."""
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
    if seconds > _MIN_EPOCH:
        moment = seconds / 1000 if seconds > _MIN_EPOCH * 1000 else seconds
        seconds = moment - _now(date).timestamp()
    return None if math.isnan(seconds) else max(seconds, 0.0)


class Allowance(NamedTuple):
    """Number of requests that are left, and the seconds until it is renewed, without a maximum."""

    remaining: float
    renewed_in: float


def reported_allowance(headers: Mapping[str, str]) -> Allowance | None:
    """Return the allowance that the headers report; `None` if they do not say when it is renewed.

    The rate limiter waits for `LONGEST_WAIT` at most.
    """
    remaining = headers.get(REMAINING)
    if remaining is None:
        return None
    renewed_in = _reset(headers.get(RESET), headers.get("Date"))
    try:
        number = float(remaining)
    except ValueError:
        return None
    return None if renewed_in is None or math.isnan(number) else Allowance(number, renewed_in)


def reset_delay(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the allowance is renewed, if the headers contain them."""
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
