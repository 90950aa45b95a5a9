"""Accepted submissions: find the one job that an answer names, in any wrapper. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from luma_async.dialects.fields import JSONObject, as_text
from luma_async.errors import ResponseError
from luma_async.transport.error_bodies import SUCCESS_CODES

_ID_NAMES = ("task_id", "taskId", "id")
_WRAPPERS = frozenset({"data", "result", "response", "task", "job", "generation", "output"})
"""Fields that contain a job, even if the job has no other field than `id`."""

_ID_LISTS = frozenset({"ids", "task_ids", "taskIds"})
_JOB_FIELDS = frozenset({"state", "status", "task_status", "created_at", "prompt", "video"})
"""Fields of a job. An object with one of them and an `id` is a job, in any field."""

_NOT_JOBS = frozenset({"error", "user", "account", "owner", "request"})
"""Fields whose `id` is never the id of a job."""

_STATE_FIELDS = frozenset({"state", "task_status"})
_FIELDS_OF_SUCCESS = ("code", "status", "success", "message", "msg")
_BARE_ID = re.compile(r"[A-Za-z0-9_.:-]{4,128}")

_MAX_DEPTH = 3
"""Maximum nested levels that are searched: the answer, an envelope's content, and a row's task."""


def accepted_job(documents: Iterable[Any]) -> JSONObject:
    """Return the object of the one job in an answer to a submission.

    The job may be in an array of one, in a wrapper such as `{"gen_api_response": {...}}`, or in an
    envelope. The outermost level with a job counts.

    Raises:
        ResponseError: the answer names no job, or several.

    """
    objects = list(_objects(documents))
    named = {id: object for object in objects if (id := _own_id(object)) is not None}
    if not any(map(_is_certainly_job, named.values())):  # the `id` may be that of the envelope
        inner = {id: job for object in objects for id, job in _inside(object)}
        named = {id: job for id, job in inner.items() if _is_certainly_job(job)} or named
    for _ in range(_MAX_DEPTH - 1):
        if named:
            break
        named = {id: inner for object in objects for id, inner in _inside(object)}
        objects = list(_objects(value for object in objects for value in object.values()))
    if len(named) > 1:
        raise ResponseError("it names several jobs")
    for object in named.values():
        return object
    raise ResponseError("it names no job")


def _objects(values: Iterable[Any]) -> Iterator[JSONObject]:
    """Yield the objects among some values, and those in arrays among them."""
    for value in values:
        if isinstance(value, dict):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, dict))


def _own_id(object: JSONObject) -> str | None:
    """Return the id of an outermost object of an answer, if the object is a job.

    With an error or a code of failure, an `id` is the id of a request.
    """
    is_error = bool(object.get("error")) or not _is_success(object.get("code", "success"))
    is_job = not _STATE_FIELDS.isdisjoint(object)
    return _named_id(object, counts_id=not is_error or (is_job and "code" not in object))


def _is_certainly_job(object: JSONObject) -> bool:
    """Return `True` if an object has a task id, or the state of a job."""
    has_task_id = any(as_text(object.get(name)) for name in _ID_NAMES[:2])
    return has_task_id or not _STATE_FIELDS.isdisjoint(object)


def _inside(object: JSONObject) -> Iterator[tuple[str, JSONObject]]:
    """Yield the jobs in the fields of an object, each with its id."""
    is_error = not _is_success(object.get("code", "success"))
    for name, value in object.items():
        if name in _NOT_JOBS:
            continue
        if name in _WRAPPERS and _reports_success(object):
            yield from ((id, {"id": id}) for id in _bare_ids([value]))
        if name in _ID_LISTS and isinstance(value, list) and not is_error:
            yield from ((id, {"id": id}) for id in _bare_ids(value))
        for inner in _objects([value]):
            is_wrapped = name in _WRAPPERS and not is_error
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


def _reports_success(object: JSONObject) -> bool:
    """Return `True` if an envelope reports success in one of its fields."""
    said = [object[name] for name in _FIELDS_OF_SUCCESS if object.get(name) not in (None, "")]
    return bool(said) and (
        _is_success(object["code"]) if "code" in object else any(map(_is_success, said))
    )


def _is_success(word: Any) -> bool:
    return isinstance(word, str | int) and f"{word}".lower() in SUCCESS_CODES
