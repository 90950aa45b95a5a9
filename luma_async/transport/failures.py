"""Failures of one try: classified for the retry policy, with the error for the user. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
from luma_async.transport.account_limit import mentions_job_limit
from luma_async.transport.call import Body, Call
from luma_async.transport.error_bodies import (
    ErrorBody,
    body_text,
    error_class,
    page_text,
    read_error_body,
)
from luma_async.transport.json_documents import read_documents
from luma_async.transport.named_jobs import named_jobs
from luma_async.transport.rate_limit_headers import parse_retry_after, reset_delay
from luma_async.transport.rejections import rejection_rule, status_of_code
from luma_async.transport.retry_policy import Action, Failure, action_for, classify_status

Scrub = Callable[[str], str]
"""Function that removes the API key from a text."""

_REQUEST_ID_HEADERS = ("x-request-id", "x-oneapi-request-id", "request-id", "cf-ray")
_STATUSES_WITH_TEXT = frozenset({400, 403, 404, 405, 422, 429})
"""Statuses that are rejections only if their text mentions no upstream. A truncated text cannot
show this, so the submission is uncertain then."""

_REDIRECTS = frozenset({301, 302, 307, 308})
_NOT_ACCEPTED = "; the job was not accepted"

_MAX_TEXT = 65_536
"""Maximum characters of an error's texts that are searched for signs of a lost answer."""


@dataclass(frozen=True, slots=True)
class Advice:
    """Next steps that the errors of one server suggest, in place of those of the error classes.

    `about_url` is a possible mistake in the base URL, for answers that a call was not found.
    """

    steps: Mapping[type[APIError], str] = field(default_factory=dict)
    about_url: str = ""

    def step(self, kind: type[APIError]) -> str:
        """Return the next step after an error."""
        return self.steps.get(kind, kind.advice)


class Failed(Exception):  # noqa: N818  a signal within the transport, not for users
    """Failed try of a call.

    Attributes:
        error: the error for the user.
        failure: the kind of failure, for the retry policy.
        retry_after: seconds until the next try, if the server asked for them.
        rule: the rule of the allow-list by which a submission was certainly rejected.
        is_full_account: `True` if a submission was rejected for too many jobs at once.
        is_used_up: `True` if the server said that no request is left for some seconds.
        may_repeat: `True` if the transport may try again.

    """

    def __init__(
        self,
        error: LumaError,
        failure: Failure,
        *,
        retry_after: float | None = None,
        rule: str | None = None,
        is_full_account: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.failure = failure
        self.retry_after = retry_after
        self.rule = rule
        self.is_full_account = is_full_account
        self.is_used_up = False
        self.may_repeat = False

    @property
    def is_uncertain(self) -> bool:
        """`True` if a submission with this failure may have been accepted."""
        return action_for(self.failure, submits=True) is Action.UNCERTAIN


class Answer(NamedTuple):
    """HTTP answer with its body. `cut_off` is the error that truncated the body, if any."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut_off: Exception | None = None
    url: str = ""

    @property
    def retry_after(self) -> float | None:
        """Seconds until the next try, if the headers contain them."""
        asked = parse_retry_after(self.headers.get("Retry-After"), date=self.headers.get("Date"))
        return reset_delay(self.headers) if asked is None and self.status == 429 else asked

    @property
    def request_id(self) -> str | None:
        """Id of the request, for the server's support."""
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
    """Return the failure for an exception that came instead of an answer, or of its rest.

    Args:
        call: the call that failed.
        error: the exception.
        said: the text of the exception, without secrets.
        host: the host of the server, for the error text.
        timeout: the timeouts of the request, for the error text.
        has_left: `True` if all of the body was written to the connection; `None` if unknown.

    Raises:
        ConfigurationError: nothing was sent, and a retry would not change that.

    """
    never_connected = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    )
    not_sent = never_connected if has_left is None else not has_left
    rest = f"{_NOT_ACCEPTED}." if not_sent and call.submits else "."
    if not_sent and not _is_temporary(error):
        raise ConfigurationError(
            f"{call} could not be sent to {host}: {said}{rest} "
            "Check base_url, and the session that was given to the client."
        )
    failure = Failure.NOT_SENT if not_sent else Failure.INCONCLUSIVE
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


def _is_temporary(error: Exception) -> bool:
    """Return `True` if an error before anything was sent may not occur again.

    Only errors of the connection are temporary. Others are caused by the request or by the session:
    an invalid URL, an invalid header, two kinds of authorization, a hook that raises an error.
    """
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientResponseError):
        return False  # includes aiohttp.InvalidURL
    return isinstance(error, aiohttp.ClientError | OSError | TimeoutError)


def unsuccessful(call: Call[Any], answer: Answer, scrub: Scrub, advice: Advice) -> Failed:
    """Return the failure for an answer with a status of 300 or more."""
    body = read_error_body(answer.body, status=answer.status)
    body = body or ErrorBody(page_text(answer.body, scrub))
    return _error_answer(call, answer, body, scrub, advice)


def unreadable(call: Call[Any], answer: Answer, why: str, scrub: Scrub, advice: Advice) -> Failed:
    """Return the failure for a successful status with an invalid body, for the reason `why`."""
    body = read_error_body(answer.body, status=answer.status)
    if body is not None:
        return _error_answer(call, answer, body, scrub, advice)
    said = page_text(answer.body, scrub)
    text = f"{call} answered {answer.status}, but {scrub(why)}: {said!r}."
    return Failed(ResponseError(text), Failure.INCONCLUSIVE)


def _error_answer(
    call: Call[Any], answer: Answer, body: ErrorBody, scrub: Scrub, advice: Advice
) -> Failed:
    status = answer.status
    documents = _documents(answer.body) or [body_text(answer.body)]
    said = " ".join([body.message, *_texts(documents)])[:_MAX_TEXT]
    jobs = _jobs(call, answer, documents) if call.submits else []
    rule = None
    if not jobs and not (answer.cut_off and status in _STATUSES_WITH_TEXT):
        rule = rejection_rule(
            status,
            body.code,
            body.message,
            said=said,
            further_codes=call.rejection_codes,
            further_statuses=_own_rejections(call, answer, documents),
        ) or _redirect_rule(call, answer)
    meant = status if status >= 300 else status_of_code(body.code) or status
    failure = classify_status(meant, is_rejection=rule is not None)
    kind = error_class(status, body.code, body.message)
    if failure is Failure.BUSY and not issubclass(kind, RateLimitError | ServerError):
        failure = Failure.REJECTED  # such as an empty account, which no waiting fills
    details: dict[str, Any] = {
        "status": status,
        "call": str(call),
        "code": scrub(body.code or "") or None,
        "request_id": scrub(body.request_id or answer.request_id or "") or None,
        "next_step": _next_step(call, answer, kind, failure, jobs=jobs, scrub=scrub, advice=advice),
    }
    if kind is RateLimitError:
        details["retry_after"] = answer.retry_after
    error = kind(scrub(body.message), **details)
    is_full = call.submits and failure is Failure.BUSY and kind is RateLimitError
    return Failed(
        error,
        failure,
        retry_after=answer.retry_after,
        rule=rule,
        is_full_account=is_full and mentions_job_limit(body.code, body.message),
    )


def _own_rejections(call: Call[Any], answer: Answer, documents: list[Any]) -> frozenset[int]:
    """Return the statuses of an answer that are rejections because the server itself sent it.

    A proxy may add the header to a page of its own, and a text that is cut off may go on.
    """
    has_header = call.own_header is not None and call.own_header in answer.headers
    is_own = (
        has_header
        and not answer.cut_off
        and any(isinstance(document, dict) for document in documents)
    )
    return call.own_rejections if is_own else frozenset()


def _jobs(call: Call[Any], answer: Answer, documents: list[Any]) -> list[str]:
    """Return the ids or URLs of jobs that an error names."""
    location = answer.headers.get("Location")
    if location and answer.status not in range(300, 400):
        return [location]
    return named_jobs(documents, call=call.path, request_id=answer.request_id, sent=call.sent_ids)


def _next_step(
    call: Call[Any],
    answer: Answer,
    kind: type[APIError],
    failure: Failure,
    *,
    jobs: list[str],
    scrub: Scrub,
    advice: Advice,
) -> str:
    if jobs:
        return f"It names the job {scrub(jobs[0])}"
    is_uncertain = action_for(failure, submits=call.submits) is Action.UNCERTAIN
    step = advice.step(kind)
    if answer.status in (404, 405):
        step = ". ".join(filter(None, [call.missing or step, advice.about_url]))
    elif answer.status == 413 and isinstance(call.body, Body):
        step = "Make the image smaller: image_from(..., max_side=2048)"
    elif 300 <= answer.status < 400:
        target = _target(answer)
        url = f"{target.scheme}://{target.hostname}" if target and target.netloc else "unknown"
        step = f"The server redirects to another URL ({scrub(url)}): check base_url"
    elif is_uncertain:
        step = ""  # SubmissionUncertainError says what to do
    elif failure is Failure.INCONCLUSIVE:
        step = ServerError.advice
    return step + _NOT_ACCEPTED if call.submits and not is_uncertain else step


def _redirect_rule(call: Call[Any], answer: Answer) -> str | None:
    """Return the rule for a redirect of the same call to another server; `None` for other answers.

    A redirect to another path may lead to the job that was made. 307 and 308 ask for the same
    request again. 301 and 302 to the same URL may follow on a request that was carried out.
    """
    target = _target(answer)
    if answer.status not in _REDIRECTS or target is None:
        return None
    here = urlsplit(answer.url)
    is_same_path = target.path.rstrip("/").endswith(call.path.rstrip("/"))
    is_elsewhere = (target.scheme, target.netloc) != (here.scheme, here.netloc)
    if not is_same_path or not (is_elsewhere or answer.status in (307, 308)):
        return None
    return f"status {answer.status} to the same path"


def _target(answer: Answer) -> SplitResult | None:
    """Return the URL to which a redirect leads; `None` if it is invalid."""
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
