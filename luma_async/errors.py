"""Exceptions of the package, in one tree.

LumaError
 ├─ ConfigurationError          the client was set up wrongly: no API key, an invalid base URL
 ├─ InvalidRequestError         a request or argument is not valid; nothing was sent
 │   └─ UnsupportedError        the dialect does not offer this; nothing was sent
 ├─ ManifestError               a file of jobs is not valid; the error lists all its problems
 ├─ BatchError                  the folder of a batch cannot be used
 ├─ APIError                    the server answered with an error
 │   ├─ BadRequestError         400, 413, 422: the request is not valid
 │   ├─ AuthenticationError     401: the API key is not valid
 │   ├─ InsufficientCreditsError  402, or 403 with a code that says so
 │   ├─ PermissionDeniedError   403: the API key is valid, but not for this call
 │   ├─ NotFoundError           404: job not found, or the server does not offer this call
 │   ├─ RateLimitError          429: too many requests, or too many jobs at once
 │   └─ ServerError             5xx
 ├─ APIConnectionError          no answer: the connection failed or was lost
 │   └─ APITimeoutError         no answer in time
 ├─ ResponseError               the answer cannot be read
 ├─ JournalError                the journal cannot be read or written
 ├─ KeyConflictError            the job key belongs to another job in the journal
 ├─ SubmissionUncertainError    the job may have been accepted and billed
 ├─ GenerationFailedError       the job failed at the server (in generation.py)
 │   └─ ModerationError         its content was rejected (in generation.py)
 ├─ NoVideoError                a generation has no link to a video, or none yet
 ├─ TaskTimeoutError            the job did not end in time (also a TimeoutError)
 ├─ TaskForgottenError          forget() was called on the handle
 ├─ ClientClosedError           the client was closed first
 ├─ SubmissionStoppedError      stop_submitting() was called first; nothing was submitted
 ├─ UploadError                 an input file could not be uploaded; nothing was submitted
 └─ DownloadError               the file could not be downloaded whole

This module imports neither models nor pydantic, so that the command line starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self


class LumaError(Exception):
    """Base class of all errors of this package. Errors can be pickled and copied.

    The text of an error is for the operator of a program, and for the log.

    Attributes:
        for_users: a short text for the users of the program, such as those of a bot. It has no ids
            and no host, and no advice that only the operator can follow. For a request that is not
            valid, it has the problem of each field.

    """

    for_users: str = "This does not work at the moment. Please try again later."

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[LumaError], args: tuple[Any, ...], state: dict[str, Any]) -> LumaError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(LumaError):
    """The client was set up wrongly."""


class InvalidRequestError(LumaError):
    """A request or argument is not valid; nothing was sent.

    The text names each invalid field and the allowed values.

    Attributes:
        fields: the problem of each invalid field, by the field's name.

    """

    def __init__(self, fields: dict[str, str]) -> None:
        problems = "; ".join(f"{name}: {problem}" for name, problem in fields.items())
        super().__init__(problems)
        self.fields = fields
        self.for_users: str = f"This request is not valid. {problems}"

    @classmethod
    def of(cls, field: str, problem: str) -> Self:
        """Return the error for one field."""
        return cls({field: problem})


class UnsupportedError(InvalidRequestError):
    """The dialect of the client does not offer a call or a field; nothing was sent.

    The text names the dialect, and what to use instead.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields)
        self.for_users = "The server does not offer this."


class ManifestError(LumaError):
    """A file of jobs is not valid; nothing was submitted.

    The text has a line for each problem: `file:line:column: problem`.

    Attributes:
        problems: the problems as mappings with `file`, `line`, `column`, `field` and `error`.

    """

    def __init__(self, message: str = "", problems: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[dict[str, Any], ...] = tuple(dict(problem) for problem in problems)


class BatchError(LumaError):
    """The folder or the cluster of a batch cannot be used. The text says what to do about it.

    All jobs that were paid for are in the journal.
    """


class APIError(LumaError):
    """The server answered with an error.

    Attributes:
        status: the HTTP status.
        code: the server's error code, if the answer had one.
        message: the server's message.
        request_id: the id to quote to the server's support, if the answer had one.
        call: the method and path of the call, such as ``POST /luma/generations``.

    """

    advice = "See the server's documentation"
    """Next step that the text suggests."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        call: str = "the server",
        code: str | None = None,
        request_id: str | None = None,
        next_step: str | None = None,
    ) -> None:
        marks = [f"code {code}" if code else "", f"request id {request_id}" if request_id else ""]
        marked = ", ".join(mark for mark in marks if mark)
        step = self.advice if next_step is None else next_step
        said = message.rstrip(". ") or "no explanation"
        super().__init__(
            f"HTTP {status} from {call}: {said}{f' ({marked})' if marked else ''}."
            f"{f' {step}.' if step else ''}"
        )
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.call = call


class BadRequestError(APIError):
    """The request is not valid (400, 413, 422)."""

    for_users = "The server rejected this request. Please change it."
    advice = "Change the request: sent again as it is, it will be rejected again"


class AuthenticationError(APIError):
    """The API key is not valid (401)."""

    advice = "Check the API key (LUMA_API_KEY), and that base_url is the server that issued it"


class InsufficientCreditsError(APIError):
    """The account has no credit (402, or 403 with a code that says so)."""

    advice = "Top up the account"


class PermissionDeniedError(APIError):
    """The API key is valid, but not for this call (403)."""

    advice = "Ask the server's support which calls this API key may make"


class NotFoundError(APIError):
    """The job was not found, or the server does not offer this call (404)."""

    advice = "Check the id, and that base_url is the server to which the job was submitted"


class RateLimitError(APIError):
    """There were too many requests, or too many jobs at once, and waiting did not help.

    Attributes:
        retry_after: seconds after which the server asked to try again, if it said so.

    """

    for_users = "There is too much to do at the moment. Please try again later."
    advice = "Send fewer requests at once: lower max_requests or max_tasks"

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class ServerError(APIError):
    """The server failed (5xx)."""

    advice = "Try again later"


class APIConnectionError(LumaError):
    """There was no answer, because the connection failed or was lost."""


class APITimeoutError(APIConnectionError):
    """There was no answer in time."""


class ResponseError(LumaError):
    """The answer of the server cannot be read, or is about something else."""


class JournalError(LumaError):
    """The journal cannot be read or written. The text says what to do about it.

    If `generate()` or `extend()` raises it, nothing was submitted.
    """


class KeyConflictError(LumaError):
    """The job key belongs to another job in the journal; nothing was submitted.

    Attributes:
        key: the job key.
        id: the id of the job that the job key has, if that was for another request.

    """

    for_users = "This name belongs to another request. Please use a new one."

    def __init__(
        self, key: str, problem: str, *, id: str | None = None, next_step: str | None = None
    ) -> None:
        next_step = next_step or "Use another job key for another job"
        super().__init__(f"The job key {key!r} {problem}; nothing was submitted. {next_step}.")
        self.key = key
        self.id = id


_SEARCH = "Look for it in the server's list of jobs, or ask its support by the request id"


class SubmissionUncertainError(LumaError):
    """A submission has left, and no answer shows if the job was accepted.

    The job may have been accepted and billed. It is not sent again, unless the caller passed
    `retry_uncertain=True`.

    Attributes:
        cause: the error with which the answer was lost.
        prompt: the prompt of the request.
        source_id: for an extension, the id of the job to extend.
        times: number of times that the submission was sent.
        key: with a journal, the job key, to settle the job with.
        request_id: the id sent as `Idempotency-Key` and `X-Request-Id`, by which the support of
            the server may find the job.

    """

    for_users = (
        "The server did not confirm this request. It may have accepted it, so it is not sent again."
    )

    def __init__(
        self,
        cause: LumaError,
        *,
        prompt: str,
        source_id: str | None = None,
        times: int = 1,
        key: str | None = None,
        request_id: str | None = None,
        search: str | None = None,
    ) -> None:
        shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
        sent = (
            "so it was not sent again"
            if times == 1
            else f"and it was sent {times} times as requested, so more than one may have been"
        )
        if key is None:
            step = (
                "submit it again only if it is not there, "
                "or pass retry_uncertain=True to repeat such submissions"
            )
        else:
            step = (
                f"then settle it in the journal: settle({key!r}, id='...') if it is there, "
                f"settle({key!r}, resubmit=True) if it is not"
            )
        marks = f"prompt {shown!r}" + (f", request id {request_id}" if request_id else "")
        super().__init__(
            f"{cause} The job may have been accepted and billed ({marks}), {sent}. "
            f"{search or _SEARCH}; {step}."
        )
        self.cause = cause
        self.prompt = prompt
        self.source_id = source_id
        self.times = times
        self.key = key
        self.request_id = request_id


class TaskTimeoutError(LumaError, TimeoutError):
    """The job did not end in time. It may still end at the server.

    After `VideoTask.wait(timeout)` the job is still watched. After the client's `task_timeout` it
    is not, and `LumaClient.watch(task_id)` watches it again.

    Attributes:
        task_id: the id of the job.

    """

    for_users = "This takes longer than expected."

    def __init__(self, message: str, *, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class NoVideoError(LumaError):
    """A generation has no link to a video: its job was not completed, or the server reported none.

    Attributes:
        task_id: the id of the job.

    """

    def __init__(self, message: str, *, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskForgottenError(LumaError):
    """`forget()` was called on the handle; the job continues at the server."""

    for_users = "Cancelled. The server still does the work, so it is still paid for."


class ClientClosedError(LumaError):
    """The client was closed; running jobs continue at the server."""

    for_users = "This program is being restarted. Please try again."


class SubmissionStoppedError(LumaError):
    """`stop_submitting()` was called before the job was submitted; nothing was submitted."""

    for_users = "This program is being restarted. Please try again."


class UploadError(LumaError):
    """An input file could not be uploaded to the server; nothing was submitted, or paid for."""

    for_users = "The file could not be passed on to the server. Please try again later."


class DownloadError(LumaError):
    """A file was not downloaded whole, or could not be written. No file of its name was changed.

    The part that arrived may be in `name.part`, and the next try continues there.
    """

    for_users = "The file could not be downloaded. Please try again later."
