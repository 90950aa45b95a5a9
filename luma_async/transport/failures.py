"""Failures of one try, and the errors that tell the user of them. Pure: no I/O in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp

from luma_async.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    ConfigurationError,
    LumaError,
    RateLimitError,
    ResponseError,
    ServerError,
)
from luma_async.transport.account_limit import speaks_of_full_account
from luma_async.transport.call import Body, Call
from luma_async.transport.error_bodies import (
    Refusal,
    body_text,
    error_class,
    page_text,
    read_refusal,
)
from luma_async.transport.json_documents import read_documents
from luma_async.transport.named_jobs import named_jobs
from luma_async.transport.rate_limit_headers import parse_retry_after, reset_in
from luma_async.transport.rejections import rejected_by, status_of_code
from luma_async.transport.retry_policy import Failure, Verdict, failure_of_refusal, verdict

Scrub = Callable[[str], str]
"""Removes the API key from a text that people are shown."""

_REQUEST_ID_HEADERS = ("x-request-id", "x-oneapi-request-id", "request-id", "cf-ray")
_TELLING_STATUSES = frozenset({400, 403, 404, 405, 422, 429})
"""Statuses whose text tells whether they came before a job was made; it must be whole."""

_REDIRECTS = frozenset({301, 302, 307, 308})
_NOT_TAKEN = "; the job was not taken"

_LONGEST_TEXT = 65_536
"""Characters of a refusal's texts that are searched for words of a lost answer."""


class Failed(Exception):  # noqa: N818  a signal within the transport, nobody's error
    """One try went wrong; `error` is for the user, `failure` decides about the next try.

    `entry` names the entry of the allow-list by which a submission was rejected for certain.
    `is_full_account` is whether that was for too many jobs at once.
    """

    def __init__(
        self,
        error: LumaError,
        failure: Failure,
        *,
        retry_after: float | None = None,
        entry: str | None = None,
        is_full_account: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.failure = failure
        self.retry_after = retry_after
        self.entry = entry
        self.is_full_account = is_full_account
        self.may_repeat = False

    @property
    def is_uncertain(self) -> bool:
        """Whether a submission that failed so may have been accepted."""
        return verdict(self.failure, submits=True) is Verdict.UNCERTAIN


class Answer(NamedTuple):
    """A whole answer of the server's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut_off: Exception | None = None
    url: str = ""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the next try, where the server says so."""
        asked = parse_retry_after(self.headers.get("Retry-After"), date=self.headers.get("Date"))
        return reset_in(self.headers) if asked is None and self.status == 429 else asked

    @property
    def request_id(self) -> str | None:
        """The id to quote to the gateway's support."""
        found = (self.headers.get(name) for name in _REQUEST_ID_HEADERS)
        return next((value for value in found if value), None)


def unanswered(
    call: Call[Any],
    error: Exception,
    said: str,
    *,
    host: str,
    timeout: aiohttp.ClientTimeout,
    has_left: bool | None,
) -> Failed:
    """Return what an exception means that came instead of an answer, or of its rest.

    `has_left` is whether all of the body was handed to the connection; `None` if nobody watched.

    Raises:
        ConfigurationError: nothing was sent, and nothing would be at another try.

    """
    never_connected = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    )
    not_sent = never_connected if has_left is None else not has_left
    rest = f"{_NOT_TAKEN}." if not_sent and call.submits else "."
    if not_sent and not _may_pass(error):
        raise ConfigurationError(
            f"{call} could not be sent to {host}: {said}{rest} "
            "Check base_url, and the session that was given to the client."
        )
    failure = Failure.NOT_SENT if not_sent else Failure.UNCLEAR
    if isinstance(error, ResponseError):
        return Failed(ResponseError(f"{call}: {said}."), failure)
    if not isinstance(error, TimeoutError):
        return Failed(APIConnectionError(f"{call}: no answer from {host}: {said}{rest}"), failure)
    since_sent = None if not_sent else timeout.sock_read
    seconds = timeout.connect if never_connected else since_sent or timeout.total
    what = "connection" if never_connected else "answer"
    sent = ", and the request was not sent whole" if not_sent and not never_connected else ""
    text = f"{call}: no {what} from {host} within {seconds:g} s{sent}{rest}"
    return Failed(APITimeoutError(text), failure)


def _may_pass(error: Exception) -> bool:
    """Return whether an exception before anything was sent may be gone at the next try.

    Anything but trouble with the connection lies in what was to be sent or in the session: a URL
    that is none, a header that cannot be sent, two kinds of authorization, a hook that raises.
    """
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientResponseError):
        return False  # aiohttp's InvalidURL among them
    return isinstance(error, aiohttp.ClientError | OSError | TimeoutError)


def refused(call: Call[Any], answer: Answer, scrub: Scrub) -> Failed:
    """Return what an answer with a status of 300 or more means."""
    refusal = read_refusal(answer.body, status=answer.status)
    return _said_no(call, answer, refusal or Refusal(page_text(answer.body, scrub)), scrub)


def unreadable(call: Call[Any], answer: Answer, why: str, scrub: Scrub) -> Failed:
    """Return what a good status means whose body does not say what it should."""
    refusal = read_refusal(answer.body, status=answer.status)
    if refusal is not None:
        return _said_no(call, answer, refusal, scrub)
    said = page_text(answer.body, scrub)
    text = f"{call} answered {answer.status}, but {scrub(why)}: {said!r}."
    return Failed(ResponseError(text), Failure.UNCLEAR)


def _said_no(call: Call[Any], answer: Answer, refusal: Refusal, scrub: Scrub) -> Failed:
    status = answer.status
    documents = _documents(answer.body) or [body_text(answer.body)]
    said = " ".join([refusal.message, *_texts(documents)])[:_LONGEST_TEXT]
    jobs = _jobs(call, answer, documents) if call.submits else []
    entry = None
    if not jobs and not (answer.cut_off and status in _TELLING_STATUSES):
        entry = rejected_by(
            status, refusal.code, refusal.message, said=said, further_codes=call.rejection_codes
        ) or _sent_elsewhere(call, answer)
    meant = status if status >= 300 else status_of_code(refusal.code) or status
    failure = failure_of_refusal(meant, is_rejection=entry is not None)
    kind = error_class(status, refusal.code, refusal.message)
    if failure is Failure.BUSY and not issubclass(kind, RateLimitError | ServerError):
        failure = Failure.REJECTED  # waiting brings no credit
    details: dict[str, Any] = {
        "status": status,
        "call": str(call),
        "code": scrub(refusal.code or "") or None,
        "request_id": scrub(refusal.request_id or answer.request_id or "") or None,
        "next_step": _next_step(call, answer, kind, failure, jobs=jobs, scrub=scrub),
    }
    if kind is RateLimitError:
        details["retry_after"] = answer.retry_after
    error = kind(scrub(refusal.message), **details)
    is_full = call.submits and failure is Failure.BUSY and kind is RateLimitError
    return Failed(
        error,
        failure,
        retry_after=answer.retry_after,
        entry=entry,
        is_full_account=is_full and speaks_of_full_account(refusal.code, refusal.message),
    )


def _jobs(call: Call[Any], answer: Answer, documents: list[Any]) -> list[str]:
    """Return the ids or places of jobs that a refusal names."""
    place = answer.headers.get("Location")
    if place and answer.status not in range(300, 400):
        return [place]
    return named_jobs(documents, call=call.path, request_id=answer.request_id)


def _next_step(
    call: Call[Any],
    answer: Answer,
    kind: type[APIError],
    failure: Failure,
    *,
    jobs: list[str],
    scrub: Scrub,
) -> str:
    if jobs:
        return f"It names the job {scrub(jobs[0])}"
    is_uncertain = verdict(failure, submits=call.submits) is Verdict.UNCERTAIN
    step = kind.advice
    if call.missing and answer.status in (404, 405):
        step = call.missing
    elif answer.status == 413 and isinstance(call.body, Body):
        step = "Make the image smaller: image_from(..., max_side=2048)"
    elif 300 <= answer.status < 400:
        where = _target(answer)
        place = f"{where.scheme}://{where.hostname}" if where and where.netloc else "it"
        step = f"The server wants the call at another place ({scrub(place)}): check base_url"
    elif is_uncertain:
        step = ""  # SubmissionUncertainError says what to do
    elif failure is Failure.UNCLEAR:
        step = ServerError.advice
    return step + _NOT_TAKEN if call.submits and not is_uncertain else step


def _sent_elsewhere(call: Call[Any], answer: Answer) -> str | None:
    """Return the entry for a redirect of the same call to another scheme or host.

    Another path may be that of the job that was made. 307 and 308 ask for the same request again,
    301 and 302 to the same place are what follows upon a request that was done.
    """
    where = _target(answer)
    if answer.status not in _REDIRECTS or where is None:
        return None
    here = urlsplit(answer.url)
    is_same = where.path.rstrip("/").endswith(call.path.rstrip("/"))
    is_elsewhere = (where.scheme, where.netloc) != (here.scheme, here.netloc)
    if not is_same or not (is_elsewhere or answer.status in (307, 308)):
        return None
    return f"status {answer.status} to the same path"


def _target(answer: Answer) -> SplitResult | None:
    """Return where a redirect leads; `None` if that cannot be read."""
    try:
        return urlsplit(urljoin(answer.url, answer.headers.get("Location", "")))
    except ValueError:
        return None


def _documents(body: bytes) -> list[Any]:
    try:
        return read_documents(body)
    except ValueError:
        return []


def _texts(values: Iterable[Any], depth: int = 6) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif depth and isinstance(value, dict | list):
            yield from _texts(value.values() if isinstance(value, dict) else value, depth - 1)
