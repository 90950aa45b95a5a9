"""Every way in which a call can fail.

LumaError
 ├─ ConfigurationError          the client was set up wrongly: no key, a base URL that is none
 ├─ InvalidRequestError         found here, before anything was sent
 ├─ ManifestError               a file of jobs is wrong; all that is wrong with it is said
 ├─ BatchError                  the folder of a batch cannot be used
 ├─ APIError                    the server answered, and the answer was no
 │   ├─ BadRequestError         400, 413, 422: the request itself is refused
 │   ├─ AuthenticationError     401: the key is refused
 │   ├─ InsufficientCreditsError  402, or 403 with a code that says so
 │   ├─ PermissionDeniedError   403: the key is good, but not for this
 │   ├─ NotFoundError           404: no such job, or no such call on this gateway
 │   ├─ RateLimitError          429: too many requests, or too many jobs at once
 │   └─ ServerError             5xx
 ├─ APIConnectionError          no answer: never connected, or cut off on the way
 │   └─ APITimeoutError         no answer in time
 ├─ ResponseError               an answer that nobody can read
 ├─ JournalError                the journal cannot be read or written
 ├─ KeyConflictError            the key names another job in the journal
 ├─ SubmissionUncertainError    the job may have been taken and billed; nobody here can know
 ├─ GenerationFailedError       the server worked on the job, and failed
 ├─ TaskTimeoutError            not finished in time; the job may go on (also a TimeoutError)
 ├─ TaskForgottenError          somebody called forget() on the handle
 ├─ ClientClosedError           the client was closed first
 ├─ SubmissionStoppedError      stop_submitting() was called first; nothing was submitted
 └─ DownloadError               the file did not arrive whole
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from luma_async.generation import Generation


class LumaError(Exception):
    """Whatever this library raises on purpose. Can be pickled and copied."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[LumaError], args: tuple[Any, ...], state: dict[str, Any]) -> LumaError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(LumaError):
    """The client cannot work as it was set up."""


class InvalidRequestError(LumaError):
    """The request breaks a rule that can be checked without the server; nothing was sent.

    The text names each field and what is allowed there. `fields` maps them: name -> what is wrong.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in fields.items()))
        self.fields = fields

    @classmethod
    def of(cls, field: str, problem: str) -> Self:
        return cls({field: problem})


class ManifestError(LumaError):
    """A file of jobs cannot be run as it is; nothing was submitted.

    The text has a line for each thing that is wrong: `file:line:column: what`.

    Attributes:
        problems: all of them as data: `file`, `line`, `column`, `field` and `error`.

    """

    def __init__(self, message: str = "", problems: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(dict(problem) for problem in problems)


class BatchError(LumaError):
    """The folder of a batch cannot be used, and what to do about it.

    What was paid for is in the journal.
    """


class APIError(LumaError):
    """The server answered, and the answer was no.

    Attributes:
        status: the HTTP status.
        code: the server's own code for it, if it gave one.
        message: the server's own words.
        request_id: what to quote to the gateway's support, if it gave one.
        call: which call it was, such as ``POST /luma/generations``.

    """

    advice = "See what the gateway's documentation says about it"

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
    advice = "Change the request: sent again as it is, it will be refused again"


class AuthenticationError(APIError):
    advice = "Check the key (LUMA_API_KEY), and that base_url is the host that gave it out"


class InsufficientCreditsError(APIError):
    advice = "Top up the account"


class PermissionDeniedError(APIError):
    advice = "Ask the gateway what this key may do"


class NotFoundError(APIError):
    advice = "Check the id, and that base_url is the host that made it"


class RateLimitError(APIError):
    """Too many requests, or too many jobs at once, and waiting did not help.

    `retry_after` is what the server asked for, in seconds, if it said.
    """

    advice = "Ask for less at once: lower max_requests or max_tasks"

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class ServerError(APIError):
    advice = "Try again later"


class APIConnectionError(LumaError):
    """There was no answer."""


class APITimeoutError(APIConnectionError):
    """There was no answer in time."""


class ResponseError(LumaError):
    """The server answered something that is not an answer to what it was asked."""


class JournalError(LumaError):
    """The journal cannot be read or written, and what to do about it.

    Where `generate()` or `extend()` raises it, nothing was submitted.
    """


class KeyConflictError(LumaError):
    """The journal knows `key` for something else than what was asked for; nothing was submitted."""

    def __init__(self, key: str, why: str, *, next_step: str | None = None) -> None:
        next_step = next_step or "Ask for another job under another key"
        super().__init__(f"The key {key!r} {why}; nothing was submitted. {next_step}.")
        self.key = key


class SubmissionUncertainError(LumaError):
    """The request had left, and no answer told what became of it.

    The job may have been taken, and billed. It is not sent again unless `retry_uncertain=True`
    asked for that. `request` is what was asked for, `cause` is how the answer was lost, `times` is
    how often it was sent; for an extension, `source_id` is the id of the extended job. With a
    journal, `key` is the name to settle it under. `request_id` went with it as `Idempotency-Key`
    and `X-Request-Id`, so the gateway's support may find it by that.
    """

    def __init__(
        self,
        cause: LumaError,
        *,
        prompt: str,
        source_id: str | None = None,
        times: int = 1,
        key: str | None = None,
        request_id: str | None = None,
    ) -> None:
        shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
        sent = (
            "so it was not sent again"
            if times == 1
            else f"and it was sent {times} times as you wanted, so more than one may have been"
        )
        if key is None:
            step = (
                "ask for it anew only if it is not there, "
                "or pass retry_uncertain=True to have such a request repeated"
            )
        else:
            step = (
                f"then settle it in the journal: settle({key!r}, id='...') if it is there, "
                f"settle({key!r}, resubmit=True) if it is not"
            )
        marks = f"prompt {shown!r}" + (f", request id {request_id}" if request_id else "")
        super().__init__(
            f"{cause} The job may have been accepted and billed ({marks}), {sent}. "
            f"Look for it in your gateway's list of tasks; {step}."
        )
        self.cause = cause
        self.prompt = prompt
        self.source_id = source_id
        self.times = times
        self.key = key
        self.request_id = request_id


class GenerationFailedError(LumaError):
    """The server worked on the job and failed; `generation` is its last word."""

    def __init__(self, generation: Generation) -> None:
        reason = generation.failure_reason or "no reason given"
        super().__init__(f"Generation {generation.id} failed: {reason}")
        self.generation = generation


class TaskTimeoutError(LumaError, TimeoutError):
    """The job did not end in time. It may still end at the server.

    After `VideoTask.wait(timeout)` the job is still watched. After the client's `task_timeout` it
    is not, and `LumaClient.watch(task_id)` watches it again.

    Attributes:
        task_id: the id of the job.

    """

    def __init__(self, message: str, *, task_id: str) -> None:
        super().__init__(message)
        self.task_id = task_id


class TaskForgottenError(LumaError):
    """`forget()` was called on the handle; the job itself goes on at the server."""


class ClientClosedError(LumaError):
    """The client was closed; jobs that were running go on at the server."""


class SubmissionStoppedError(LumaError):
    """`stop_submitting()` was called before the job was submitted; it was not."""


class DownloadError(LumaError):
    """The file did not arrive whole, or has no place; its name holds what it held before.

    What did arrive may be in `name.part`, where another try goes on.
    """
