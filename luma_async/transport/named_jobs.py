"""Named jobs: find the ids of jobs in an error body. Pure.

A gateway may answer a submission with an error although it has made the job. If the error names a
job, the submission is not rejected for certain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

_ID_FIELDS = frozenset(
    {"task_id", "taskid", "job_id", "jobid", "generation_id", "generationid", "video_id"}
    | {"ids", "task_ids", "taskids", "job_ids"}
)
_WRAPPERS = frozenset({"data", "result", "response", "task", "job", "generation", "output"})
_FIELDS_BESIDE_AN_ID = frozenset({"state", "status", "task_status", "queue_state", "assets"})
"""Fields of a job. An `id` beside one of them is the id of a job, not of a request."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_IN_TEXT = re.compile(
    r"(?:task|job|generation|任务|auftrag)(?:[ _-]?id)?\s*[:=#]?\s*['\"]?"
    rf"(?P<id>[0-9a-f]{{8}}-[0-9a-f-]{{13,}}|(?=[\w-]*\d)[\w-]{{12,}})|\b(?P<uuid>{_UUID})\b",
    re.IGNORECASE,
)
"""An id of a job in a sentence: a word of at least twelve characters with a digit, or any UUID."""

_OF_A_REQUEST = re.compile(
    r"(request|req|trace|correlation|span|ray)[\s_-]*(id)?\W*$", re.IGNORECASE
)
_BARE_ID = re.compile(rf"{_UUID}|(?=[\w-]*\d)[\w-]{{12,128}}", re.IGNORECASE)

_MAX_DEPTH = 8
"""Maximum number of nested levels of a document that are searched."""


def named_jobs(
    documents: Iterable[Any],
    *,
    call: str,
    request_id: str | None = None,
    sent: frozenset[str] = frozenset(),
) -> list[str]:
    """Return the ids of all jobs in some documents, at any depth.

    The ids in the path of the `call`, and those that its body `sent`, do not count: a rejected
    extension may name the job that was to be extended, and another job a file that is missing. The
    id of the request does not count either.
    """
    known = {unquote(part) for part in call.split("/")} | {request_id} | sent
    found = (id for document in documents for id in _ids(document, _MAX_DEPTH))
    return list(dict.fromkeys(id for id in found if id not in known))


def _ids(value: Any, depth: int, name: str = "") -> Iterator[str]:
    if depth == 0:
        return
    if name in _ID_FIELDS and (id := _as_id(value)) is not None:
        yield id
    elif isinstance(value, str):
        yield from _ids_in_text(value, name)
    elif isinstance(value, list):
        for item in value[:100]:
            yield from _ids(item, depth - 1, name)
    elif isinstance(value, dict):
        is_a_job = name in _WRAPPERS or any(
            isinstance(value.get(field), str | dict) for field in _FIELDS_BESIDE_AN_ID
        )
        for field, item in value.items():
            key = "task_id" if field == "id" and is_a_job else field.lower()
            yield from _ids(item, depth - 1, key)


def _ids_in_text(text: str, name: str) -> Iterator[str]:
    if name in _WRAPPERS and _BARE_ID.fullmatch(text.strip()):
        yield text.strip()
    elif "request" not in name and "trace" not in name:
        for match in _IN_TEXT.finditer(text[:65_536]):
            if match["id"] or not _OF_A_REQUEST.search(text[: match.start()]):
                yield match["id"] or match["uuid"]


def _as_id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None if isinstance(value, str) or 0 < value < 10**40 else None
