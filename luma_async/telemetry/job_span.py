"""JobSpan: the OpenTelemetry span of one job, with its polls as events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol

from opentelemetry import context, trace
from opentelemetry.trace import Span, Status, StatusCode

from luma_async.telemetry import semantic_names as names
from luma_async.telemetry.observer import JobOutcome, SubmissionOutcome

logger = logging.getLogger("luma_async")
P = ParamSpec("P")

MAX_POLL_EVENTS = 100
"""Maximum number of polls of a job that are events each. Later ones are events only if the state
has changed. The SDK keeps 128 events of a span by default, and drops the first ones beyond."""

MAX_DESCRIPTION = 300
"""Maximum characters of the description of a status."""


class SpanOwner(Protocol):
    """Observer that spans belong to."""

    live_traces: int
    has_failed: bool


def guarded(
    call: Callable[Concatenate[Any, P], object],
) -> Callable[Concatenate[Any, P], None]:
    """Return a method that logs exceptions of OpenTelemetry, the first one only, and raises none.

    Its object has an `owner`.
    """

    def guard(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  processors and exporters are of others
            log_failure(self.owner, error)

    guard.__doc__ = call.__doc__
    return guard


def log_failure(owner: SpanOwner, error: Exception) -> None:
    """Log the first exception of OpenTelemetry in a client. The jobs go on without it."""
    if not owner.has_failed:
        owner.has_failed = True
        logger.warning("Telemetry failed; jobs are not affected.", exc_info=error)


class JobSpan:
    """Span of a job from its submission, or from the beginning of watching it, to its end."""

    __slots__ = ("_events", "_is_live", "_span", "_state", "owner", "polls")

    def __init__(self, owner: SpanOwner, span: Span) -> None:
        self.owner = owner
        self.polls = 0
        self._span = span
        self._state = ""
        self._events = 0
        self._is_live = span.is_recording()
        owner.live_traces += self._is_live

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the span the current one in a block, for the requests and log records in it."""
        token = None
        try:
            token = context.attach(trace.set_span_in_context(self._span))
        except Exception as error:  # noqa: BLE001  a context implementation may be another's
            log_failure(self.owner, error)
        try:
            yield
        finally:
            if token is not None:
                self._detach(token)

    @guarded
    def _detach(self, token: Any) -> None:
        context.detach(token)

    @guarded
    def accepted(self, id: str) -> None:
        """Record that the job was accepted, and its id."""
        self._span.set_attribute(names.JOB_ID, id)
        self._span.add_event(names.SUBMITTED_EVENT)

    @guarded
    def polled(self, state: str, progress: float | None) -> None:
        """Record a look at the job."""
        self.polls += 1
        if not self._is_live or (self._events >= MAX_POLL_EVENTS and state == self._state):
            return
        self._events += 1
        self._state = state
        details: dict[str, str | float] = {names.JOB_STATE: state}
        if progress is not None:
            details[names.JOB_PROGRESS] = progress
        self._span.add_event(names.POLL_EVENT, details)

    @guarded
    def not_polled(self, error: Exception) -> None:
        """Record a look without a usable answer about the job."""
        self.polls += 1
        if self._is_live and self._events < MAX_POLL_EVENTS:
            self._events += 1
            self._span.add_event(names.POLL_EVENT, {names.ERROR_TYPE: type(error).__name__})

    @guarded
    def not_accepted(self, outcome: SubmissionOutcome | None, error: BaseException) -> None:
        """End the span, because there is no job."""
        if outcome is not None:
            self._span.set_attribute(names.SUBMISSION_OUTCOME, outcome)
        cause = getattr(error, "cause", error)  # the error itself has the prompt in its text
        self._fail(type(error).__name__, str(cause))
        self._end({})

    @guarded
    def discard(self) -> None:
        """Drop the span. The SDK exports only spans that end."""
        self.owner.live_traces -= self._is_live
        self._is_live = False

    @guarded
    def end(
        self, outcome: JobOutcome, error: Exception | None, reason: str, lateness: float | None
    ) -> None:
        """End the span with the job, or with watching it."""
        kind = type(error).__name__
        if outcome == "abandoned":
            about = {} if error is None else {names.ERROR_TYPE: kind}
            self._span.add_event(names.ABANDONED_EVENT, about)
        elif error is not None:
            self._fail(kind, reason)
        details: dict[str, Any] = {names.JOB_OUTCOME: outcome, names.JOB_POLLS: self.polls}
        if lateness is not None:
            details[names.JOB_LATENESS] = lateness
        self._end(details)

    def _fail(self, kind: str, description: str) -> None:
        text = " ".join(description.split())[:MAX_DESCRIPTION]
        self._span.set_attribute(names.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR, text))

    def _end(self, details: Mapping[str, Any]) -> None:
        self.owner.live_traces -= self._is_live
        self._is_live = False
        self._span.set_attributes(details)
        self._span.end()
