"""The gateway's own format: `/luma/generations` and `/luma/tasks`, with every variant known."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import quote

from pydantic_core import from_json, to_json

from luma_async.dialects.accepted import accepted_job
from luma_async.dialects.dialect import Mark
from luma_async.dialects.fields import (
    JSONObject,
    as_fraction,
    as_link,
    as_object,
    as_reason,
    as_seconds,
    as_state,
    as_text,
    as_time,
    as_word,
    asset,
    first,
)
from luma_async.errors import InvalidRequestError, ResponseError
from luma_async.generation import Asset, Generation, State
from luma_async.image_sources import Image
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.text_values import has_lone_surrogate
from luma_async.transport.call import Body, Call
from luma_async.transport.error_bodies import SUCCESS_CODES
from luma_async.transport.json_documents import read_documents
from luma_async.transport.long_answer import LongAnswer
from luma_async.transport.rejections import checked_codes

logger = logging.getLogger("luma_async")

_NAMES_ON_THE_WIRE = {
    "prompt": "user_prompt",
    "image": "image_url",
    "image_end": "image_end_url",
    "model": "model_name",
}
_ID_NAMES = ("task_id", "taskId", "id")
_STATE_NAMES = ("state", "status", "task_status")
_REASON_NAMES = ("failure_reason", "fail_reason")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")


class GatewayDialect:
    """The format that API gateways sell Luma in.

    >>> GatewayDialect(rejection_codes={"busy_try_again"}).default_base_url
    'https://api.gpt.ge'

    Args:
        rejection_codes: error codes that your gateway gives only where it made no job and handed
            nothing on. A submission that is refused with one of them is certain not to have been
            accepted; by default only a few codes that all gateways share are.

    Raises:
        ConfigurationError: a code is empty, or they are a single text.

    """

    default_base_url = "https://api.gpt.ge"
    supports_batch = True
    takes_image_data = True

    def __init__(self, *, rejection_codes: Collection[str] = ()) -> None:
        self._rejection_codes = checked_codes(rejection_codes)
        self._strange_words: set[str] = set()

    def generate(self, request: GenerateRequest) -> Call[Generation]:
        """Submit a new job: `POST /luma/generations`."""
        return Call(
            "POST",
            "/luma/generations",
            self._read_accepted,
            body=_body(request),
            submits=True,
            rejection_codes=self._rejection_codes,
            missing="Check base_url: this host does not offer Luma generation",
        )

    def extend(self, source_id: str, request: ExtendRequest) -> Call[Generation]:
        """Add about five seconds to a finished video: `POST /luma/generations/{id}/extend`."""
        return Call(
            "POST",
            f"/luma/generations/{_escaped(source_id)}/extend",
            self._read_accepted,
            body=_body(request),
            submits=True,
            rejection_codes=self._rejection_codes,
            missing="Either it does not know the job, or this gateway no longer offers extend",
        )

    def get(self, id: str) -> Call[JSONObject]:
        """Look at one job: `GET /luma/generations/{id}`."""
        return Call("GET", f"/luma/generations/{_escaped(id)}", _read_row, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Look at many jobs: `POST /luma/tasks`, which only reads in spite of its verb."""
        return Call(
            "POST",
            "/luma/tasks",
            _read_rows,
            body=to_json({"ids": list(ids)}),
            looks=True,
            missing="This gateway has no call for many jobs at once",
            rows=_rows_one_by_one,
        )

    def watermark_free_url(self, id: str) -> Call[str]:
        """Ask for a signed link: `GET /luma/generations/{id}/download_video_url`."""
        return Call("GET", f"/luma/generations/{_escaped(id)}/download_video_url", _read_link)

    def generation(self, row: JSONObject) -> Generation:
        """Read a task object, or a row that wraps one.

        Some gateways name the video of a completed job where the reason of a failure would stand.
        """
        inner = as_object(row.get("data"))
        tasks = (inner, row) if inner else (row,)
        requests = [as_object(task.get("request")) for task in tasks]
        places = (*tasks, *(task["artifact"] for task in tasks if as_object(task.get("artifact"))))
        raw = asset(places, "video_raw")
        in_assets = asset([as_object(task.get("assets")) for task in tasks], "video")
        video = asset(places, "video") or in_assets or raw
        link = None if video else first(tasks, as_link, *_REASON_NAMES)
        state = self._state(row, inner, has_video=bool(video or link))
        is_completed = state is State.COMPLETED
        if is_completed and link:
            video = Asset(url=link)
        of_video = [as_object(place.get("video")) for place in places]
        # What the readers return needs no second check.
        return Generation.of_checked(
            {
                "id": _id_of_row(row) or "",
                "state": state,
                "prompt": first((*tasks, *requests), as_text, "prompt", "user_prompt"),
                "video": video,
                "video_raw": raw,
                "thumbnail": asset((*places, *of_video), "thumbnail"),
                "last_frame": asset(places, "last_frame"),
                "created_at": first(tasks, as_time, "created_at", "submit_time"),
                "failure_reason": first(
                    tasks, as_reason if is_completed else as_text, *_REASON_NAMES
                ),
                "progress": first((row, inner), as_fraction, "progress"),
                "queue_state": first(tasks, as_word, "queue_state"),
                "estimate_wait_seconds": first(tasks, as_seconds, "estimate_wait_seconds"),
                "raw": row,
            }
        )

    def mark(self, row: JSONObject) -> Mark:
        """Return what of a row, and of the task that it wraps, tells how far a job is."""
        get = row.get
        inner = get("data")
        mark = (
            get("state"),
            get("status"),
            get("task_status"),
            get("progress"),
            get("queue_state"),
            get("estimate_wait_seconds"),
        )
        if not isinstance(inner, dict):
            return mark
        # A task may be finished, and get its video, while the row around it still says "running".
        return (*mark, *self.mark(inner), bool(inner.get("video")))

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return every id that a row, and the task that it wraps, goes by."""
        values = (
            place.get(name) for place in (row, as_object(row.get("data"))) for name in _ID_NAMES
        )
        return [id for value in values if (id := as_text(value) or _as_counted_id(value))]

    def _read_accepted(self, body: bytes) -> Generation:
        return self.generation(accepted_job(_parse_all(body)))

    def _state(self, row: JSONObject, inner: JSONObject, *, has_video: bool) -> State:
        """Return where a job stands.

        A row decides over the task it wraps, which may be stale, unless that one is there already:
        finished with its video while the row has yet to be told.
        """
        words = [first((place,), as_text, *_STATE_NAMES) for place in (row, inner)]
        of_row, of_inner = (self._said(word) if word else None for word in words)
        if of_inner is State.COMPLETED and has_video and not (of_row and of_row.terminal):
            return of_inner
        return of_row or of_inner or (State.PROCESSING if any(words) else State.PENDING)

    def _said(self, word: str) -> State | None:
        word = word.strip().lower()
        state = as_state(word)
        if state is None and word not in self._strange_words and len(self._strange_words) < 99:
            self._strange_words.add(word)
            logger.warning("The server says %.60r of a job: taken as still running.", word)
        return state


def _body(request: GenerateRequest | ExtendRequest) -> bytes | Body:
    fields = {**request.__dict__}  # a third of the time of dict(request)
    extra = fields.pop("extra")
    named = {
        _NAMES_ON_THE_WIRE.get(name, name): value
        for name, value in fields.items()
        if value is not None
    }
    body = {**named, **extra}
    if any(isinstance(value, Image) for value in body.values()):
        return Body(body)
    return to_json(body)


def _escaped(id: str) -> str:
    if _PLAIN_ID.fullmatch(id):
        return id
    if has_lone_surrogate(id):
        raise InvalidRequestError.of("id", f"{id!r} holds half a character (a lone surrogate)")
    if not id.strip("."):
        raise InvalidRequestError.of("id", f"{id!r} names no task")
    return quote(id, safe="")


def _parse(body: bytes) -> Any:
    return _parse_all(body)[0]


def _parse_all(body: bytes) -> list[Any]:
    try:
        return read_documents(body)
    except ValueError:
        raise ResponseError("it is no JSON") from None


def _says_well(answer: JSONObject) -> bool:
    """Return whether an envelope's code, if it has one, is one of success."""
    code = answer.get("code", "success")
    return isinstance(code, str | int) and f"{code}".lower() in SUCCESS_CODES


def _unwrapped(document: Any) -> JSONObject:
    """Return the task object or row of an answer, out of its envelope if it has one.

    An envelope may hold a bare id in place of an object. With a code of failure only what names
    itself a task is one: an `id` there is a request's, and a text the failure's.
    """
    answer = as_object(document)
    if "code" not in answer:
        return answer
    well, data = _says_well(answer), answer.get("data")
    if first((answer,), as_text, "task_id", "taskId") or (well and _id(answer) is not None):
        return answer
    return {"id": data} if well and isinstance(data, str) else as_object(data)


def _rows(document: Any) -> Iterator[Any]:
    """Return the rows of a batch answer: a bare array, or an envelope around one."""
    if isinstance(document, list):
        return iter(document)
    answer = as_object(document)
    if _says_well(answer) and "data" in answer and answer["data"] is None:
        return iter(())
    if not isinstance(answer.get("data"), list):
        raise ResponseError("it lists no tasks")
    return iter(answer["data"])


def _read_row(body: bytes) -> JSONObject:
    documents = _parse_all(body)
    row = _unwrapped(documents[0])
    # Out of an array or a wrapper that no rows come in, but answers to submissions do.
    return row if _id_of_row(row) is not None else accepted_job(documents)


def _read_rows(body: bytes) -> dict[str, JSONObject]:
    """Return rows by id, an empty one where two rows of a job contradict each other."""
    found: dict[str, JSONObject] = {}
    for row in _rows(_parse(body)):
        if isinstance(row, dict) and (id := _id_of_row(row)) is not None:
            found[id] = row if found.setdefault(id, row) == row else {}
    return found


def _rows_one_by_one(body: bytes) -> Iterator[tuple[str, JSONObject, bytes]]:
    """Yield the rows of a long answer as `_read_rows` has them, each with its id and its JSON.

    An id may come again, with an empty row, if a later row contradicts an earlier one.
    """
    sources: dict[str, bytes] = {}
    answer = LongAnswer(body)
    for source in answer:
        row: JSONObject = from_json(source, cache_strings="keys")
        if (id := _id_of_row(row)) is None:
            continue
        earlier = sources.setdefault(id, source)
        if earlier is source:
            yield id, row, source
        elif earlier != source and from_json(earlier) != row:
            yield id, {}, source
    for _ in _rows(answer.envelope):
        raise ValueError("there are more rows in it")


def _id_of_row(row: JSONObject) -> str | None:
    """Return the id of the task that a row is or wraps."""
    return _id(row) or _id(as_object(row.get("data")))


def _id(place: JSONObject) -> str | None:
    """Return the task's id: text before numbers, for a row counts itself in an integer `id`."""
    id = place.get("task_id") or place.get("id")
    if isinstance(id, str) and not id.isspace() and "taskId" not in place:
        return id  # as nearly all are
    for name in _ID_NAMES:
        if (text := as_text(place.get(name))) is not None:
            return text
    return first((place,), _as_counted_id, *_ID_NAMES)


def _as_counted_id(value: Any) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and 0 < value < 10**40 else None


def _read_link(body: bytes) -> str:
    document = _parse(body)
    answer = as_object(document)
    link = first((answer, as_object(answer.get("data"))), as_text, "url", "download_url")
    if link is None and isinstance(answer.get("data"), str):
        link = as_text(answer["data"])
    if link is None or not link.lower().startswith(("http://", "https://")):
        raise ResponseError("it holds no link")
    return link
