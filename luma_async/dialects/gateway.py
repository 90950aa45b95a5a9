"""Gateway dialect: `/luma/generations` and `/luma/tasks`, in all known variants."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from luma_async.dialects.accepted_job import accepted_job
from luma_async.dialects.dialect import Mark
from luma_async.dialects.fields import (
    JSONObject,
    as_fraction,
    as_link,
    as_object,
    as_reason,
    as_seconds,
    as_text,
    as_time,
    as_word,
    asset,
    first,
)
from luma_async.dialects.job_rows import StateWords, escaped_id, read_all
from luma_async.dialects.request_check import RequestCheck
from luma_async.errors import ResponseError, UnsupportedError
from luma_async.generation import Asset, Generation, State
from luma_async.image_sources import is_reference
from luma_async.requests import JobRequest
from luma_async.transport.call import Body, Call, has_images
from luma_async.transport.error_bodies import SUCCESS_CODES
from luma_async.transport.long_answer import LongAnswer
from luma_async.transport.rejections import checked_codes

_WIRE_NAMES = {
    "prompt": "user_prompt",
    "image": "image_url",
    "image_end": "image_end_url",
    "aspect_ratio": "aspect_ratio",
    "expand_prompt": "expand_prompt",
    "model": "model_name",
    "resolution": "resolution",
    "duration": "duration",
    "notify_hook": "notify_hook",
    "loop": "loop",
}
"""Names of the fields in the body, in its order."""

PROMPT_LIMIT = 5000
"""Maximum characters of a prompt, as the service behind the gateways documents it."""

_RATIOS = ("1:1", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21")
_UNSUPPORTED = ("backward", "keyframes", "hdr", "exr", "concepts", "user_id")
_INSTEAD = (
    "use Luma's own APIs (dialect='agents' or 'dream-machine'), or pass the gateway's own fields "
    "in extra={...}"
)
_ID_NAMES = ("task_id", "taskId", "id")
_STATE_NAMES = ("state", "status", "task_status")
_REASON_NAMES = ("failure_reason", "fail_reason")


class GatewayDialect:
    """Format of the API gateways that offer Luma.

    >>> GatewayDialect(rejection_codes={"busy_try_again"}).default_base_url
    'https://api.gpt.ge'

    Args:
        rejection_codes: error codes that your gateway sends only if it made no job and passed
            nothing on. A submission with such an error is rejected for certain, in addition to a
            few codes that all gateways share.

    Raises:
        ConfigurationError: a code is empty, or the collection is a single text.

    """

    default_base_url = "https://api.gpt.ge"
    name = "gateway"
    path_prefix = ""
    supports_batch = True

    def __init__(self, *, rejection_codes: Collection[str] = ()) -> None:
        self._rejection_codes = checked_codes(rejection_codes)
        self._words = StateWords()

    def check(self, request: JobRequest, *, has_source: bool) -> None:  # noqa: ARG002  only the kind counts
        """Check a request against the limits that gateways share.

        Raises:
            UnsupportedError: gateways do not offer this kind of request, or one of its fields.
            InvalidRequestError: a field breaks a rule.

        """
        if request.kind not in ("generate", "extend"):
            raise UnsupportedError.of(
                request.kind, f"the gateway dialect does not offer it; {_INSTEAD}"
            )
        check = RequestCheck(request, "the gateway dialect")
        check.prompt(at_most=PROMPT_LIMIT)
        check.unsupported(_UNSUPPORTED, _INSTEAD)
        check.allowed("aspect_ratio", _RATIOS)
        for place, image in request.images().items():
            if is_reference(image):
                check.add(place, "must be a URL or a file; a gateway knows no other references")
        check.raise_problems()

    def submission(self, request: JobRequest, source_id: str | None) -> Call[Generation]:
        """Build the call that submits a job.

        `POST /luma/generations`, or `POST /luma/generations/{id}/extend`, which adds about five
        seconds to a completed video.
        """
        if source_id is None:
            path = "/luma/generations"
            missing = "Check base_url: this host does not offer Luma generation"
        else:
            path = f"/luma/generations/{escaped_id(source_id)}/extend"
            missing = "Either the job does not exist, or this gateway no longer offers extend"
        return Call(
            "POST",
            path,
            self._read_accepted,
            body=_body(request),
            submits=True,
            rejection_codes=self._rejection_codes,
            missing=missing,
        )

    def get(self, id: str) -> Call[JSONObject]:
        """Build the call that polls one job: `GET /luma/generations/{id}`."""
        return Call("GET", f"/luma/generations/{escaped_id(id)}", _read_row, looks=True)

    def get_many(self, ids: Sequence[str]) -> Call[dict[str, JSONObject]]:
        """Build the call that polls many jobs: `POST /luma/tasks`, a read in spite of its verb."""
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
        """Build the call for a signed link: `GET /luma/generations/{id}/download_video_url`."""
        return Call("GET", f"/luma/generations/{escaped_id(id)}/download_video_url", _read_link)

    def generation(self, row: JSONObject) -> Generation:
        """Parse a task object, or a row that wraps one.

        Some gateways put the link to the video of a completed job into the field for the reason of
        a failure.
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
        # The conversions above return valid values, so they are not validated again.
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
                "outputs": (video,) if video else (),
                "failure_code": None,
                "model": as_word((inner or row).get("model")),
                "type": None,
                "raw": row,
            }
        )

    def mark(self, row: JSONObject) -> Mark:
        """Return the fields of a row, and of the task that it wraps, that change with progress."""
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
        # A task may be completed and get its video while the row around it is still "running".
        return (*mark, *self.mark(inner), bool(inner.get("video")))

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return all ids of a row, and of the task that it wraps."""
        values = (
            place.get(name) for place in (row, as_object(row.get("data"))) for name in _ID_NAMES
        )
        return [id for value in values if (id := as_text(value) or _as_counted_id(value))]

    def _read_accepted(self, body: bytes) -> Generation:
        return self.generation(accepted_job(read_all(body)))

    def _state(self, row: JSONObject, inner: JSONObject, *, has_video: bool) -> State:
        """Return the state of a job.

        The state of the row counts, because the task that it wraps may be out of date. There is one
        exception: if the task is completed and has its video, the row is out of date.
        """
        words = [first((place,), as_text, *_STATE_NAMES) for place in (row, inner)]
        of_row, of_inner = (self._words.state(word) if word else None for word in words)
        if of_inner is State.COMPLETED and has_video and not (of_row and of_row.terminal):
            return of_inner
        return of_row or of_inner or (State.PROCESSING if any(words) else State.PENDING)


def _body(request: JobRequest) -> bytes | Body:
    fields = request.__dict__
    named = {
        wire: value for name, wire in _WIRE_NAMES.items() if (value := fields.get(name)) is not None
    }
    body = {**named, **fields["extra"]}
    return Body(body) if has_images(body) else to_json(body)


def _reports_success(answer: JSONObject) -> bool:
    """Return `True` if an envelope has no code, or a code of success."""
    code = answer.get("code", "success")
    return isinstance(code, str | int) and f"{code}".lower() in SUCCESS_CODES


def _unwrapped(document: Any) -> JSONObject:
    """Return the task object or row of an answer, without its envelope.

    An envelope may contain a bare id instead of an object. With a code of failure, an `id` is the
    id of a request and a text is a message, so only an object with a task id counts.
    """
    answer = as_object(document)
    if "code" not in answer:
        return answer
    is_success, data = _reports_success(answer), answer.get("data")
    if first((answer,), as_text, "task_id", "taskId") or (is_success and _id(answer) is not None):
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


def _read_row(body: bytes) -> JSONObject:
    documents = read_all(body)
    row = _unwrapped(documents[0])
    # Answers to submissions have more kinds of wrappers than rows, so these are tried last.
    return row if _id_of_row(row) is not None else accepted_job(documents)


def _read_rows(body: bytes) -> dict[str, JSONObject]:
    """Return rows by id. The row is empty if two rows of a job differ."""
    found: dict[str, JSONObject] = {}
    for row in _rows(read_all(body)[0]):
        if isinstance(row, dict) and (id := _id_of_row(row)) is not None:
            found[id] = row if found.setdefault(id, row) == row else {}
    return found


def _rows_one_by_one(body: bytes) -> Iterator[tuple[str, JSONObject, bytes]]:
    """Yield the rows of a long answer one by one, each with its id and its JSON.

    The rows are those of `_read_rows`. If a later row of a job differs from an earlier one, the id
    is yielded again with an empty row.
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
        raise ValueError("it contains more rows")


def _id_of_row(row: JSONObject) -> str | None:
    """Return the id of a row, or of the task that it wraps."""
    return _id(row) or _id(as_object(row.get("data")))


def _id(place: JSONObject) -> str | None:
    """Return the id of a job. Texts count before integers, as those may number the rows."""
    id = place.get("task_id") or place.get("id")
    if isinstance(id, str) and not id.isspace() and "taskId" not in place:
        return id  # the most common form, and the fastest check
    for name in _ID_NAMES:
        if (text := as_text(place.get(name))) is not None:
            return text
    return first((place,), _as_counted_id, *_ID_NAMES)


def _as_counted_id(value: Any) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number and 0 < value < 10**40 else None


def _read_link(body: bytes) -> str:
    document = read_all(body)[0]
    answer = as_object(document)
    link = first((answer, as_object(answer.get("data"))), as_text, "url", "download_url")
    if link is None and isinstance(answer.get("data"), str):
        link = as_text(answer["data"])
    if link is None or not link.lower().startswith(("http://", "https://")):
        raise ResponseError("it contains no link")
    return link
