"""Task rows: the rows in a gateway's answers about one job or many, and the ids in them. Pure.

A row is the JSON object of a job, or of the task that wraps it at a gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from luma_async.dialects.accepted_job import accepted_job
from luma_async.dialects.fields import JSONObject, as_object, as_text, first
from luma_async.dialects.job_rows import read_all
from luma_async.errors import ResponseError
from luma_async.transport.error_bodies import SUCCESS_CODES
from luma_async.transport.long_answer import LongAnswer

_ID_NAMES = ("task_id", "taskId", "id")


def read_row(body: bytes) -> JSONObject:
    """Return the row of one job from the answer to a look.

    Raises:
        ResponseError: the answer is not JSON, or names no job, or several.

    """
    documents = read_all(body)
    row = _unwrapped(documents[0])
    # Answers to submissions have more kinds of wrappers than rows, so these are tried last.
    return row if id_of_row(row) is not None else accepted_job(documents)


def read_rows(body: bytes) -> dict[str, JSONObject]:
    """Return rows by id. The row is empty if two rows of a job differ."""
    found: dict[str, JSONObject] = {}
    for row in _rows(read_all(body)[0]):
        if isinstance(row, dict) and (id := id_of_row(row)) is not None:
            found[id] = row if found.setdefault(id, row) == row else {}
    return found


def rows_one_by_one(body: bytes) -> Iterator[tuple[str, JSONObject, bytes]]:
    """Yield the rows of a long answer one by one, each with its id and its JSON.

    The rows are those of `read_rows`. If a later row of a job differs from an earlier one, the id
    is yielded again with an empty row.
    """
    sources: dict[str, bytes] = {}
    answer = LongAnswer(body)
    for source in answer:
        row: JSONObject = from_json(source, cache_strings="keys")
        if (id := id_of_row(row)) is None:
            continue
        earlier = sources.setdefault(id, source)
        if earlier is source:
            yield id, row, source
        elif earlier != source and from_json(earlier) != row:
            yield id, {}, source
    for _ in _rows(answer.envelope):
        raise ValueError("it contains more rows")


def id_of_row(row: JSONObject) -> str | None:
    """Return the id of a row, or of the task that it wraps."""
    return id_of(row) or id_of(as_object(row.get("data")))


def ids_of_row(row: JSONObject) -> Sequence[str]:
    """Return all ids of a row, and of the task that it wraps."""
    values = (place.get(name) for place in (row, as_object(row.get("data"))) for name in _ID_NAMES)
    return [id for value in values if (id := as_text(value) or _counted_id(value))]


def id_of(place: JSONObject) -> str | None:
    """Return the id of a job. Texts count before integers, as those may number the rows."""
    id = place.get("task_id") or place.get("id")
    if isinstance(id, str) and not id.isspace() and "taskId" not in place:
        return id  # the most common form, and the fastest check
    for name in _ID_NAMES:
        if (text := as_text(place.get(name))) is not None:
            return text
    return first((place,), _counted_id, *_ID_NAMES)


def _unwrapped(document: Any) -> JSONObject:
    """Return the task object or row of an answer, without its envelope.

    An envelope may contain a bare id instead of an object. With a code of failure, an `id` is the
    id of a request and a text is a message, so only an object with a task id counts.
    """
    answer = as_object(document)
    if "code" not in answer:
        return answer
    is_success, data = _reports_success(answer), answer.get("data")
    if first((answer,), as_text, "task_id", "taskId") or (is_success and id_of(answer) is not None):
        return answer
    return {"id": data} if is_success and isinstance(data, str) else as_object(data)


def _rows(document: Any) -> Iterator[Any]:
    """Return the rows of a batch answer: a bare array, or an envelope around one."""
    if isinstance(document, list):
        return iter(document)
    answer = as_object(document)
    if _reports_success(answer) and "data" in answer and answer["data"] is None:
        return iter(())
    if not isinstance(answer.get("data"), list):
        raise ResponseError("it lists no jobs")
    return iter(answer["data"])


def _reports_success(answer: JSONObject) -> bool:
    """Return `True` if an envelope has no code, or a code of success."""
    code = answer.get("code", "success")
    return isinstance(code, str | int) and f"{code}".lower() in SUCCESS_CODES


def _counted_id(value: Any) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and 0 < value < 10**40 else None
