"""Moderation: recognise a job that failed because of its content, and the flagged subjects. Pure.

Servers with failure codes have one for it. The other servers say it in the failure reason only, in
words of their own. In case of doubt a failure is not one of moderation, because a caller repeats or
rewrites a job depending on that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MODERATION_CODES = frozenset({"content_moderated", "moderated", "moderation_blocked"})
"""Failure codes for jobs that failed because of their content."""

_OUTAGE = re.compile(
    r"(fail\w*|unable|could not|couldn't|cannot|can't) (to )?(be )?moderate"
    r"|moderat\w*[\w ]{0,20}(unavailable|timed? ?-?out|unreachable|internal|exception|connect)"
    r"|(unavailable|timed? ?-?out|error \d+|connect\w*)[\w ]{0,20}\bmoderat",
    re.IGNORECASE,
)
"""Reasons that speak of a moderation that did not work. The content may be allowed."""

_MODERATED = re.compile(
    r"\b(content|prompts?|images?|videos?|inputs?|outputs?|request)\b[\w ]{0,20}\bmoderated\b"
    r"|^\W*moderated\b|^\W*moderation( blocked)?\W*$"
    r"|\bmoderation\b[\w ]{0,20}\b(failed|rejected|blocked|refused|denied|flagged|violation)"
    r"|\b(failed|rejected|blocked|refused|denied|flagged)\b[\w ]{0,20}\bmoderation\b"
    r"|\bdid(n't| not) pass\b[\w ]{0,20}\bmoderation\b"
    r"|\b(content|prompts?|images?|videos?|inputs?|outputs?|request)\b[\w ]{0,20}\bflagged\b"
    r"|\b(content|safety|usage|community)\b[\w ]{0,20}\b(polic(y|ies)|guidelines?)\b"
    r"[\w ]{0,20}\bviolat"
    r"|\bviolat\w+\b[\w' ]{0,30}\b(polic(y|ies)|guidelines?)\b"
    r"|\b(blocked|rejected|refused)\b[\w ]{0,15}\b(content|safety) (filters?|checks?|system)\b"
    r"|\bnsfw\b"
    r"|内容(审核|违规)|审核(未|不)通过|敏感(词|内容|信息)",
    re.IGNORECASE,
)

_FLAGGED = re.compile(
    r"\bflagged\b[\w ]{0,15}?(?:\bfor\b|\bas\b|:):?\s*(?P<names>[^.;()\n]{1,200})"
    r"|\b(?:categories|category|violations?|moderated)\b\s*:\s*(?P<listed>[^.;()\n]{1,200})",
    re.IGNORECASE,
)
_COMMAS = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_DETAILS = ("detail", "details", "failure_detail", "failure_details", "moderation")
_LISTS = ("flagged", "flagged_categories", "categories")


def is_moderation(code: str | None, reason: str | None) -> bool:
    """Return `True` if a job failed because of its content. A failure code decides alone.

    >>> is_moderation("content_moderated", None), is_moderation(None, "moderation timed out")
    (True, False)
    """
    if code is not None:
        return code.lower() in MODERATION_CODES
    if not reason:
        return False
    words = reason.replace("_", " ")  # the reason of a gateway may be Luma's code
    return _MODERATED.search(words) is not None and _OUTAGE.search(words) is None


def flagged_in(reason: str | None, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the flagged subjects that a server names, in its words and in its order.

    They are in an object beside the reason (a list, or OpenAI's mapping of categories to `true`),
    or in the reason itself.

    >>> flagged_in("Prompt was flagged: violence, hate", {})
    ('violence', 'hate')
    """
    inner = row.get("data")
    places = [row, inner] if isinstance(inner, Mapping) else [row]
    for place in places:
        for name in _DETAILS:
            if found := tuple(dict.fromkeys(_listed(place.get(name)))):
                return found
    match = _FLAGGED.search(reason or "")
    if match is None:
        return ()
    names = _COMMAS.split(match["names"] or match["listed"])
    return tuple(dict.fromkeys(name for each in names if (name := each.strip(" \"'"))))


def _listed(detail: Any) -> Iterator[str]:
    """Yield the flagged subjects in an object about a failure."""
    if not isinstance(detail, Mapping):
        return
    for name in _LISTS:
        match detail.get(name):
            case str() as text if text.strip():
                yield text.strip()
            case list() as items:
                yield from (
                    item.strip() for item in items if isinstance(item, str) and item.strip()
                )
            case dict() as marks:
                yield from (str(subject) for subject, mark in marks.items() if mark is True)
