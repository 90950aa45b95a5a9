"""Wrong paths: detect a base URL that ends with the path of a call, or of another API. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from luma_async.dialects.known_apis import (
    AGENTS,
    DREAM_MACHINE,
    GATEWAY,
    KnownAPI,
)

_OPENAI_CALLS = re.compile(
    r"(/v1)?/(chat/completions|completions|responses|models|embeddings|images/generations|videos)"
    r"(/.*)?",
    re.IGNORECASE,
)
"""Paths of calls that most gateways offer as well, so that they are often copied."""


class PathProblem(NamedTuple):
    """Problem of a base URL in words.

    It is certain if no server can have its calls below such a URL. Any other path may be that of a
    proxy, so it is only named when a call was not found.
    """

    text: str
    is_certain: bool


def path_problem(url: str, api: KnownAPI) -> PathProblem | None:
    """Return the problem of a base URL for calls of an API, or `None` if it has none.

    >>> path_problem("https://h/luma/generations", GATEWAY).text
    "ends with a call, /luma/generations. Pass the URL without it: 'https://h'"
    >>> path_problem("https://h/prefix", GATEWAY) is None
    True
    """
    path = urlsplit(url).path.rstrip("/")
    host = url.rstrip("/").removesuffix(path)
    for owner in (DREAM_MACHINE, GATEWAY, AGENTS):  # the path of the first ends with that of Agents
        if (before := _before(path, owner.calls)) is None:
            if not owner.path or not path.endswith(owner.path):
                continue
            if owner is api:
                return None
            before = path.removesuffix(owner.path)
            ends = f"ends with {owner.path}, the path of {owner.title}"
            is_certain = owner is DREAM_MACHINE
        else:
            ends = f"ends with a call, {path.removeprefix(before)}"
            ends += "" if owner is api else f", of {owner.title}"
            is_certain = True
        without = f"Pass the URL without it: {host + before!r}"
        other = "" if owner is api else f"; or, for that API, set the dialect to {owner.name!r}"
        return PathProblem(f"{ends}. {without}{other}", is_certain)
    if (before := _before(path, _OPENAI_CALLS)) is not None:
        ends = f"ends with a call, {path.removeprefix(before)}, of OpenAI's API"
        return PathProblem(f"{ends}. Pass the URL without it: {host + before!r}", is_certain=True)
    if api is GATEWAY and path.endswith("/luma"):
        return PathProblem(
            f"ends with /luma, with which all calls begin. Pass the URL without it: "
            f"{host + path.removesuffix('/luma')!r}",
            is_certain=False,
        )
    return None


def _before(path: str, calls: re.Pattern[str]) -> str | None:
    """Return the part of a path before the path of a call, or `None` if there is no such call."""
    starts = (found.start() for found in re.finditer("/", path))
    return next((path[:start] for start in starts if calls.fullmatch(path, start)), None)
