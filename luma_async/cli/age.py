"""Ages: how long ago something was, as people write it and read it."""

from __future__ import annotations

import math
import re

from luma_async.errors import InvalidRequestError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WRITTEN = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([smhd])\s*", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """Return the seconds in an age such as `90s`, `30m`, `2h` or `1.5d`.

    Raises:
        InvalidRequestError: it is not one.

    """
    written = _WRITTEN.fullmatch(text)
    seconds = float(written[1]) * _UNITS[written[2].lower()] if written else math.inf
    if not math.isfinite(seconds):
        raise InvalidRequestError.of(
            "older-than", f"{text!r} is not an age; write a number and s, m, h or d, such as 2h"
        )
    return seconds


def age_of(seconds: float) -> str:
    """Return an age for people, in its largest unit and the next one.

    >>> [age_of(seconds) for seconds in (7, 90, 5400, 200_000)]
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
