"""Jobs that a refusal names: it may then be a refusal of the answer only. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

_ID_FIELDS = frozenset(
    {"task_id", "taskid", "job_id", "jobid", "generation_id", "generationid", "video_id"}
)
_FIELDS_BESIDE_AN_ID = frozenset({"state", "status", "task_status", "queue_state", "assets"})
"""Fields of a job: an `id` beside one of them is a job's, and not that of a request."""

_IN_TEXT = re.compile(
    r"(?:task|job|generation|任务|auftrag)(?:[ _-]?id)?\s*[:=#]?\s*['\"]?"
    r"(?P<id>[0-9a-f]{8}-[0-9a-f-]{13,}|(?=[\w-]*\d)[\w-]{12,})",
    re.IGNORECASE,
)
"""A job's id in a sentence: a UUID, or something of twelve characters with a digit in it."""

_DEEPEST = 8
"""Levels of a document that are looked through."""


def named_jobs(documents: Iterable[Any], *, call: str) -> list[str]:
    """Return the ids of jobs that documents name anywhere, but for one that is in the `call`.

    An extension's refusal may well name the job that was to be extended.
    """
    asked_about = unquote(call)
    found = (id for document in documents for id in _ids(document, _DEEPEST))
    return list(dict.fromkeys(id for id in found if id not in asked_about))


def _ids(value: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(value, str):
        yield from (match["id"] for match in _IN_TEXT.finditer(value[:4096]))
    elif isinstance(value, list):
        for item in value[:100]:
            yield from _ids(item, depth - 1)
    elif isinstance(value, dict):
        is_a_job = any(isinstance(value.get(name), str | dict) for name in _FIELDS_BESIDE_AN_ID)
        for name, item in value.items():
            is_id = name.lower() in _ID_FIELDS or (name == "id" and is_a_job)
            if is_id and (id := _as_id(item)) is not None:
                yield id
            else:
                yield from _ids(item, depth - 1)


def _as_id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None if isinstance(value, str) or 0 < value < 10**40 else None
