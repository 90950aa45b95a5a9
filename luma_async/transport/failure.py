"""What went wrong with one try, and the error that tells the user. Pure: no I/O in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from luma_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    LumaError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from luma_async.models import Generation
from luma_async.transport.body import Body
from luma_async.transport.call import Call
from luma_async.transport.rate_headers import parse_retry_after, reset_in
from luma_async.transport.refusal import Refusal, error_class, page_text, read_refusal
from luma_async.transport.verdict import Failure, failure_of_status

_REQUEST_ID_HEADERS = ("x-request-id", "x-oneapi-request-id", "request-id", "cf-ray")
_TASK_FIELDS = frozenset({"task_id", "taskId", "state", "status", "task_status"})
_NOT_TAKEN = "; the job was not taken"


class Failed(Exception):  # noqa: N818  a signal within the transport, nobody's error
    """One try went wrong; `error` is what the user is told, `failure` what is decided by."""

    def __init__(
        self, error: LumaError, failure: Failure, *, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.failure = failure
        self.retry_after = retry_after
        self.may_repeat = False

    @property
    def is_unclear(self) -> bool:
        """Whether the server may have done what it was asked."""
        return self.failure is Failure.UNCLEAR


class Answer(NamedTuple):
    """A whole answer of the server's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut_off: Exception | None = None

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try, where the server says so."""
        asked = parse_retry_after(self.headers.get("Retry-After"), date=self.headers.get("Date"))
        return reset_in(self.headers) if asked is None and self.status == 429 else asked

    @property
    def request_id(self) -> str | None:
        """What to quote to the gateway's support."""
        found = (self.headers.get(name) for name in _REQUEST_ID_HEADERS)
        return next((value for value in found if value), None)


def unanswered(
    call: Call[Any],
    error: Exception,
    said: str,
    *,
    host: str,
    timeout: aiohttp.ClientTimeout,
    has_left: bool,
) -> Failed:
    """Return what an exception means that came instead of an answer, or of its rest.

    `has_left` is whether all of the body was handed to the connection.
    """
    never_connected = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    )
    not_sent = never_connected or not has_left
    failure = Failure.NOT_SENT if not_sent else Failure.UNCLEAR
    rest = f"{_NOT_TAKEN}." if not_sent and call.submits else "."
    if isinstance(error, ResponseError):
        return Failed(ResponseError(f"{call}: {said}."), failure)
    if not isinstance(error, TimeoutError):
        return Failed(APIConnectionError(f"{call}: no answer from {host}: {said}{rest}"), failure)
    since_sent = timeout.sock_read if has_left else None
    seconds = timeout.connect if never_connected else since_sent or timeout.total
    what = "connection" if never_connected else "answer"
    sent = "" if has_left or never_connected else ", and the picture was not sent whole"
    text = f"{call}: no {what} from {host} within {seconds:g} s{sent}{rest}"
    return Failed(APITimeoutError(text), failure)


def refused(call: Call[Any], answer: Answer) -> Failed:
    """Return what an answer with a status of 300 or more means."""
    refusal = read_refusal(answer.body, status=answer.status)
    failure = failure_of_status(answer.status, explained=refusal is not None)
    if call.submits and (_names_a_job(call, answer) or _speaks_of_time(answer.status, refusal)):
        failure = Failure.UNCLEAR
    return _said_no(call, answer, refusal or Refusal(page_text(answer.body)), failure)


def unreadable(call: Call[Any], answer: Answer, why: str) -> Failed:
    """Return what a good status means whose body does not say what it should."""
    refusal = read_refusal(answer.body, status=answer.status)
    if refusal is not None:
        return _said_no(call, answer, refusal, Failure.BUSY)
    text = f"{call} answered {answer.status}, but {why}: {page_text(answer.body)!r}."
    return Failed(ResponseError(text), Failure.UNCLEAR)


def _said_no(call: Call[Any], answer: Answer, refusal: Refusal, failure: Failure) -> Failed:
    kind = error_class(answer.status, refusal.code)
    if failure is Failure.BUSY and not issubclass(kind, RateLimitError | ServerError):
        failure = Failure.REFUSED  # waiting brings no credit
    next_step = _next_step(call, answer, kind)
    if call.submits:
        next_step = "" if failure is Failure.UNCLEAR else next_step + _NOT_TAKEN
    details: dict[str, Any] = {
        "status": answer.status,
        "call": str(call),
        "code": refusal.code,
        "request_id": refusal.request_id or answer.request_id,
        "next_step": next_step,
    }
    if kind is RateLimitError:
        details["retry_after"] = answer.retry_after
    error = kind(refusal.message, **details)
    return Failed(error, failure, retry_after=answer.retry_after)


def _next_step(call: Call[Any], answer: Answer, kind: type[APIError]) -> str:
    if call.missing and answer.status in (404, 405):
        return call.missing
    if answer.status == 413 and isinstance(call.body, Body):
        return "Make the picture smaller: image_from(..., max_side=2048)"
    if 300 <= answer.status < 400:
        where = urlsplit(answer.headers.get("Location", ""))
        place = f"{where.scheme}://{where.hostname}" if where.netloc else where.path or "it"
        return f"The server wants the call at another place ({place}): check base_url"
    return kind.advice


def _names_a_job(call: Call[Any], answer: Answer) -> bool:
    """Return whether a refusal comes with a task: then it may be one of the answer only."""
    try:
        task = call.read(answer.body)
    except ResponseError:
        return False
    return isinstance(task, Generation) and not _TASK_FIELDS.isdisjoint(task.raw)


def _speaks_of_time(status: int, refusal: Refusal | None) -> bool:
    """Return whether a gateway says that its upstream was slow: it may have taken the job."""
    if refusal is None or status < 500:
        return False
    said = f"{refusal.code} {refusal.message}".lower().replace(" ", "").replace("_", "")
    return "timeout" in said or "timedout" in said or "deadline" in said
