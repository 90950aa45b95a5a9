"""Fields of an answer: lenient conversion of times, numbers, states and assets.

Servers write these in different ways. An invalid field is `None`, and never an error, because the
job was paid for.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from luma_async.generation import Asset, State

JSONObject = Mapping[str, Any]
Value = TypeVar("Value")

_WORDS = {
    State.PENDING: "pending queued submitted not_start throttled",
    State.PROCESSING: "processing in_progress dreaming running generating",
    State.COMPLETED: "completed complete success succeed succeeded finished done",
    State.FAILED: "failed failure fail error expired timeout canceled cancelled rejected",
}
_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}
_STATES |= {word.replace("_", ""): state for word, state in _STATES.items()}
_SEPARATORS = re.compile(r"[\s_-]+")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_MILLISECONDS = 1e11
"""Minimum epoch time that is in milliseconds. As seconds it would be after the year 5000."""


def as_object(value: Any) -> JSONObject:
    """Return a JSON object; any other value becomes an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str | None:
    """Return a string that is not blank."""
    return value if isinstance(value, str) and value.strip() else None


def as_word(value: Any) -> str | None:
    """Return a string that is not blank, interned so that equal strings share their memory."""
    text = as_text(value)
    return sys.intern(text) if type(text) is str else text


def as_state(word: str) -> State | None:
    """Return the state for a server's word, `None` for an unknown word.

    Case and separators do not matter: `IN_PROGRESS`, `in progress`, `In-Progress` and `inProgress`
    are the same.
    """
    word = word.strip().lower()
    return _STATES.get(word) or _STATES.get(_SEPARATORS.sub("", word))


def as_link(value: Any) -> str | None:
    """Return an http(s) link from a field that may also contain a plain text."""
    text = value.strip() if isinstance(value, str) else ""
    return text if text[:8].lower().startswith(("http://", "https://")) else None


def as_reason(value: Any) -> str | None:
    """Return a text that is not blank, and not a link."""
    return None if as_link(value) else as_text(value)


def as_number(value: Any) -> float | None:
    """Return a finite number, written as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_count(value: Any) -> int | None:
    """Return a whole number above zero, such as a width in pixels."""
    number = as_number(value)
    return int(number) if number is not None and 1 <= number < 2**63 else None


def as_seconds(value: Any) -> float | None:
    """Return a duration that is not negative."""
    number = as_number(value)
    return number if number is not None and number >= 0 else None


def as_fraction(value: Any) -> float | None:
    """Return a progress from 0 to 1, written as `"40%"`, `40` or `0.4`."""
    is_text = isinstance(value, str)
    number = as_number(value.strip().removesuffix("%") if is_text else value)
    if number is None:
        return None
    is_percent = isinstance(value, int) or number > 1 or (is_text and "%" in value)
    return min(max(number / 100 if is_percent else number, 0.0), 1.0)


def as_time(value: Any) -> datetime | None:
    """Return a time from RFC 3339 (UTC if it has no zone) or from epoch (milli)seconds.

    0 and the zero time of servers written in Go, `0001-01-01T00:00:00Z`, become `None`.
    """
    if isinstance(value, str) and not value.strip().lstrip("-").replace(".", "", 1).isdigit():
        try:
            moment = datetime.fromisoformat(value.strip().upper())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return moment if moment.year > 1 else None
    number = as_number(value)
    if number is None or number <= 0:
        return None
    try:
        return _EPOCH + timedelta(seconds=number / 1000 if number > _MIN_MILLISECONDS else number)
    except OverflowError:
        return None


def asset(objects: Iterable[JSONObject], name: str, media_type: str | None = None) -> Asset | None:
    """Return an asset from its copies in some objects. Later copies fill gaps of earlier ones.

    A copy is an object or a bare URL. The result is `None` if no copy has a link. `media_type` is
    the type that the name of the field tells, if no copy has one.
    """
    copies: list[JSONObject] = []
    for object in objects:
        if value := object.get(name):
            copy = {"url": value} if isinstance(value, str) else as_object(value)
            copies.append(copy)  # not a comprehension: most rows have none, and a call takes time
    if not copies:
        return None
    found = Asset.of_checked(
        {
            "url": first(copies, as_text, "url"),
            "width": first(copies, as_count, "width"),
            "height": first(copies, as_count, "height"),
            "duration": first(copies, as_seconds, "duration"),
            "download_url": first(copies, as_text, "download_url"),
            "media_type": first(copies, as_word, "media_type") or media_type,
            "layer": None,
        }
    )
    return found if found.url or found.download_url else None


def first(
    objects: Iterable[JSONObject], read: Callable[[Any], Value | None], *names: str
) -> Value | None:
    """Return the first valid value under any of the names, from one object after another."""
    for object in objects:
        for name in names:
            value = read(object.get(name))
            if value is not None:
                return value
    return None
