"""Parse and format ages, such as `2h` and `1 h 30 min`."""

from __future__ import annotations

import math
import re

from luma_async.errors import InvalidRequestError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([smhd])\s*", re.IGNORECASE)


def parse_age(text: str) -> float:
    """Return the seconds in an age such as `90s`, `30m`, `2h` or `1.5d`.

    Raises:
        InvalidRequestError: the text is not a valid age.

    """
    parsed = _AGE.fullmatch(text)
    seconds = float(parsed[1]) * _UNITS[parsed[2].lower()] if parsed else math.inf
    if not math.isfinite(seconds):
        raise InvalidRequestError.of(
            "older-than", f"must be a number and a unit (s, m, h or d), such as 2h; got {text!r}"
        )
    return seconds


def format_age(seconds: float) -> str:
    """Return an age in its largest unit and the next smaller one.

    >>> [format_age(seconds) for seconds in (7, 90, 5400, 200_000)]
    ['7 s', '1 min', '1 h 30 min', '2 d 7 h']
    """
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
