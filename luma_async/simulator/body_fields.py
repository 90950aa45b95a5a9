"""Body fields: types and limits of the fields of a JSON body, as an API states them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

Check = Callable[[Any], str]
"""Function that returns the problem of a value, or an empty text."""

_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)


def problem_of(
    body: Mapping[str, Any], fields: Mapping[str, Check], required: Collection[str] = ()
) -> str:
    """Return the first problem of an object, with the path of its field, or an empty text.

    Other fields than these are allowed.
    """
    for name in required:
        if name not in body:
            return f"{name}: field required"
    for name, value in body.items():
        if name in fields and (problem := fields[name](value)):
            return f"{name}{problem}" if problem.startswith((".", "[")) else f"{name}: {problem}"
    return ""


def text(*, least: int = 0, most: int | None = None) -> Check:
    """Return a check for a text with a number of characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            return "must be a string"
        if len(value.strip()) < least:
            return f"too short, must have at least {least} characters"
        if most is not None and len(value) > most:
            return f"too long, must have at most {most} characters"
        return ""

    return check


def one_of(*words: str) -> Check:
    """Return a check for one of a few words."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return ""
        return f"must be one of {', '.join(words)}"

    return check


def number(*, least: float = -math.inf, most: float = math.inf, whole: bool = False) -> Check:
    """Return a check for a number between two limits."""
    kind = "an integer" if whole else "a number"

    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be {kind}"
        if isinstance(value, float) and (
            not math.isfinite(value) or (whole and not value.is_integer())
        ):
            return f"must be {kind}"
        if not least <= value <= most:
            return f"must be between {least:g} and {most:g}"
        return ""

    return check


def boolean(value: Any) -> str:
    """Check a truth value."""
    return "" if isinstance(value, bool) else "must be true or false"


def web_url(value: Any) -> str:
    """Check a URL that a server can fetch."""
    try:
        valid = _URL.fullmatch(value) is not None and bool(urlsplit(value).hostname)
    except (TypeError, ValueError):
        valid = False
    return "" if valid else "must be an http(s) URL"


def list_of(each: Check, *, least: int = 0, most: int | None = None) -> Check:
    """Return a check for a list, and for each of its elements."""

    def check(value: Any) -> str:
        if not isinstance(value, list):
            return "must be a list"
        if len(value) < least:
            return f"must have at least {least} elements"
        if most is not None and len(value) > most:
            return f"must have at most {most} elements"
        for index, element in enumerate(value):
            if problem := each(element):
                joint = "" if problem.startswith((".", "[")) else ": "
                return f"[{index}]{joint}{problem}"
        return ""

    return check


def an_object(fields: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """Return a check for an object."""

    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return "must be an object"
        problem = problem_of(value, fields, required)
        return f".{problem}" if problem else ""

    return check
