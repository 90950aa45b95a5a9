"""Accepted submissions: the answers that name exactly one job, whatever they wrap it in. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from luma_async.dialects.fields import JSONObject, as_text
from luma_async.errors import ResponseError
from luma_async.transport.error_bodies import SUCCESS_CODES

_ID_NAMES = ("task_id", "taskId", "id")
_WRAPPERS = frozenset({"data", "result", "response", "task", "job", "generation", "output"})
"""Names under which a job is found, also where nothing but its `id` is said of it."""

_ID_LISTS = frozenset({"ids", "task_ids", "taskIds"})
_JOB_FIELDS = frozenset({"state", "status", "task_status", "created_at", "prompt", "video"})
"""Fields of a job, beside one of which an `id` is a job's under any name."""

_NO_JOBS = frozenset({"error", "user", "account", "owner", "request"})
"""Names under which an `id` is never a job's."""

_STATE_FIELDS = frozenset({"state", "task_status"})
_WORDS_OF_SUCCESS = ("code", "status", "success", "message", "msg")
_BARE_ID = re.compile(r"[A-Za-z0-9_.:-]{4,128}")

_LEVELS = 3
"""Levels of objects that are looked at: the answer, an envelope's content, and a row's task."""


def accepted_job(documents: Iterable[Any]) -> JSONObject:
    """Return the object that names the one job of an answer to a submission.

    Arrays of one, wrappers such as `{"gen_api_response": {...}}` and envelopes are seen through.
    The outermost level that names a job counts.

    Raises:
        ResponseError: no job is named, or more than one.

    """
    objects = list(_objects(documents))
    named = {id: object for object in objects if (id := _own_id(object)) is not None}
    if not any(map(_is_surely_a_job, named.values())):  # its `id` may be the envelope's own
        inner = {id: job for object in objects for id, job in _inside(object)}
        named = {id: job for id, job in inner.items() if _is_surely_a_job(job)} or named
    for _ in range(_LEVELS - 1):
        if named:
            break
        named = {id: inner for object in objects for id, inner in _inside(object)}
        objects = list(_objects(value for object in objects for value in object.values()))
    if len(named) > 1:
        raise ResponseError("it names several tasks")
    for object in named.values():
        return object
    raise ResponseError("it names no task")


def _objects(values: Iterable[Any]) -> Iterator[JSONObject]:
    """Yield the objects among some values, and those in arrays among them."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, dict))


def _own_id(object: JSONObject) -> str | None:
    """Return the id of the job that the outermost object of an answer is.

    Beside a word of failure, or an error, an `id` is that of a request.
    """
    is_refusal = bool(object.get("error")) or not _is_well(object.get("code", "success"))
    is_job = not _STATE_FIELDS.isdisjoint(object)
    return _named_id(object, counts_id=not is_refusal or (is_job and "code" not in object))


def _is_surely_a_job(object: JSONObject) -> bool:
    """Return whether an object says of itself that it is a job, beside having an `id`."""
    has_task_id = any(as_text(object.get(name)) for name in _ID_NAMES[:2])
    return has_task_id or not _STATE_FIELDS.isdisjoint(object)


def _inside(object: JSONObject) -> Iterator[tuple[str, JSONObject]]:
    """Yield the jobs in the values of an object, each with its id."""
    is_refusal = not _is_well(object.get("code", "success"))
    for name, value in object.items():
        if name in _NO_JOBS:
            continue
        if name in _WRAPPERS and _says_well(object):
            yield from ((id, {"id": id}) for id in _bare_ids([value]))
        if name in _ID_LISTS and isinstance(value, list) and not is_refusal:
            yield from ((id, {"id": id}) for id in _bare_ids(value))
        for inner in _objects([value]):
            is_wrapped = name in _WRAPPERS and not is_refusal
            counts_id = is_wrapped or not _JOB_FIELDS.isdisjoint(inner)
            if (id := _named_id(inner, counts_id=counts_id)) is not None:
                yield id, inner


def _bare_ids(values: Iterable[Any]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and _BARE_ID.fullmatch(value))


def _named_id(object: JSONObject, *, counts_id: bool) -> str | None:
    names = _ID_NAMES if counts_id else _ID_NAMES[:2]
    texts = (as_text(object.get(name)) for name in names)
    found = next((text for text in texts if text is not None), None)
    if found is None:
        numbers = (object.get(name) for name in names)
        found = next((str(number) for number in numbers if _is_counted_id(number)), None)
    return found


def _is_counted_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**40


def _says_well(object: JSONObject) -> bool:
    """Return whether an envelope says that all is well, in whichever of its fields."""
    said = [object[name] for name in _WORDS_OF_SUCCESS if object.get(name) not in (None, "")]
    return bool(said) and (
        _is_well(object["code"]) if "code" in object else any(map(_is_well, said))
    )


def _is_well(word: Any) -> bool:
    return isinstance(word, str | int) and f"{word}".lower() in SUCCESS_CODES
