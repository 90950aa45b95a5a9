"""OpenTelemetryObserver: exports spans and metrics through the API of OpenTelemetry.

The API passes them on to the SDK that the program has set up, also after the client was created.
Without one, they go nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Token
from typing import Any, TypeVar

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from yarl import URL

from luma_async.telemetry import semantic_names as names
from luma_async.telemetry.job_span import JobSpan, guarded, log_failure
from luma_async.telemetry.observer import (
    Answered,
    JobOutcome,
    JobTrace,
    RequestKind,
    RequestTrace,
    SubmissionOutcome,
)
from luma_async.version import __version__

A = TypeVar("A", bound=Answered)
Attributes = dict[str, str | int]

SEARCH_INTERVAL = 0.1
"""Seconds between two searches for a provider because of requests. Each takes some microseconds, as
the API reads the environment. A job is worth a search at any time."""

_NO_TRACERS = trace.ProxyTracerProvider, trace.NoOpTracerProvider


class OpenTelemetryObserver:
    """Exporter of the spans and metrics of one client, whose server is at `base_url`.

    `scrub` removes the API key from a text. It takes some microseconds, so that only the URLs of
    spans pass through it.

    Attributes:
        live_traces: number of running jobs whose spans record events.
        has_failed: `True` if OpenTelemetry has raised an exception, which was logged.

    """

    def __init__(self, base_url: str, dialect: str, scrub: Callable[[str], str]) -> None:
        self.live_traces = 0
        self.has_failed = False
        self._has_sdk = False
        self._search_again_at = 0.0
        self._base_url = base_url
        self._scrub = scrub
        self._server = _address(URL(base_url))
        self._dialect: Attributes = {names.DIALECT: dialect}
        tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
        self._no_tracers = tracers if isinstance(tracers, _NO_TRACERS) else None
        has_no_meters = type(meters).__module__.startswith("opentelemetry.metrics")
        self._no_meters = meters if has_no_meters else None
        self._tracer = trace.get_tracer(names.SCOPE, __version__, schema_url=names.SCHEMA_URL)
        self._metrics = _Instruments()
        self._has_meters = False
        self._uncounted: dict[str, int] = {}
        """Changes of the numbers of running jobs that no provider has counted yet, by state."""

    @property
    def owner(self) -> OpenTelemetryObserver:
        """The observer itself, whose methods are guarded as those of its spans."""
        return self

    def is_needed(self) -> bool:
        """Return `False` as long as no provider has been set up."""
        if self._has_sdk:
            return True
        now = time.monotonic()
        if now < self._search_again_at:
            return False
        self._search_again_at = now + SEARCH_INTERVAL
        return self._finds_provider()

    def _finds_provider(self) -> bool:
        try:
            self._has_sdk = (
                trace.get_tracer_provider() is not self._no_tracers
                or metrics.get_meter_provider() is not self._no_meters
            )
        except Exception as error:  # noqa: BLE001  a provider that the environment names may fail
            log_failure(self, error)
        self._count_running()
        return self._has_sdk

    async def answered(
        self, answering: Awaitable[A], *, method: str, path: str, kind: RequestKind, tries: int
    ) -> A:
        """Await the answer to a request to the server, and record the request."""
        url = self._base_url + self._scrub(path.partition("?")[0])  # a query may be a signature
        request = self._begin(method, url, self._server, kind, tries)
        if request is None:
            return await answering
        token = request.attach()
        try:
            answer = await answering
        except BaseException as error:
            request.detach(token)
            # A failed try has the error for the user; its text may have more than it should.
            request.end(None, getattr(error, "error", error))
            raise
        request.detach(token)
        request.end(answer.status, answer.cut_off)
        return answer

    def file_request(self, method: str, url: URL, kind: RequestKind) -> RequestTrace:
        """Begin to record a request to a media host. The path may let a reader fetch the file."""
        address = _address(url)
        host = f"{address[names.ADDRESS]}:{address[names.PORT]}"
        shown = f"{url.scheme}://{host}/REDACTED"
        return self._begin(method, shown, address, kind, 1) or _NO_TRACE

    def job(self, *, kind: str | None, key: str | None, id: str | None = None) -> JobTrace | None:
        """Begin the span of a job, as a child of the caller's current one."""
        if not self._has_sdk and not self._finds_provider():
            return None
        details: Attributes = {**self._dialect}
        for name, value in ((names.JOB_KIND, kind), (names.JOB_KEY, key), (names.JOB_ID, id)):
            if value is not None:
                details[name] = value
        try:
            span = self._tracer.start_span(f"luma {kind or 'watch'}", attributes=details)
            if not span.get_span_context().is_valid:
                return None  # there is no SDK
            return JobSpan(self, span)
        except Exception as error:  # noqa: BLE001  samplers and processors are of others
            log_failure(self, error)
            return None

    @guarded
    def submitted(self, kind: str, outcome: SubmissionOutcome) -> None:
        """Record the outcome of a submission."""
        if not self._has_sdk:
            return
        details = {**self._dialect, names.JOB_KIND: kind, names.SUBMISSION_OUTCOME: outcome}
        self._metrics.submissions.add(1, details)

    @guarded
    def running(self, state: str, change: int) -> None:
        """Record that the number of running jobs in a state has changed."""
        self._uncounted[state] = self._uncounted.get(state, 0) + change
        self._count_running()

    @guarded
    def _count_running(self) -> None:
        """Count the changes of running jobs, also those from before a provider was set up."""
        if not self._has_sdk:
            return
        if not self._has_meters:
            self._has_meters = metrics.get_meter_provider() is not self._no_meters
            if not self._has_meters:
                return
        uncounted, self._uncounted = self._uncounted, {}
        for state, change in uncounted.items():
            if change:
                self._metrics.running_jobs.add(change, {**self._dialect, names.JOB_STATE: state})

    @guarded
    def ended(
        self,
        kind: str | None,
        outcome: JobOutcome,
        *,
        seconds: float | None,
        polls: int,
        lateness: float | None,
    ) -> None:
        """Record the end of a job, or of watching it."""
        if not self._has_sdk:
            return
        details: Attributes = {**self._dialect, names.JOB_OUTCOME: outcome}
        if kind is not None:
            details[names.JOB_KIND] = kind
        if seconds is not None:
            self._metrics.duration.record(seconds, details)
        self._metrics.polls.record(polls, details)
        if lateness is not None:
            self._metrics.lateness.record(lateness, details)

    @guarded
    def record_request(self, seconds: float, details: Mapping[str, Any]) -> None:
        """Record the duration of a request."""
        self._metrics.requests.record(seconds, details)

    def _begin(
        self, method: str, url: str, server: Attributes, kind: RequestKind, tries: int
    ) -> _RequestSpan | None:
        details: Attributes = {names.METHOD: method, names.REQUEST_KIND: kind, **server}
        about: Attributes = {**details, names.URL_FULL: url}
        if tries > 1:
            about[names.RESEND_COUNT] = tries - 1
        try:
            span = self._tracer.start_span(method, kind=SpanKind.CLIENT, attributes=about)
        except Exception as error:  # noqa: BLE001  samplers and processors are of others
            log_failure(self, error)
            return None
        return _RequestSpan(self, span, details)


class _RequestSpan:
    """Span and duration of one HTTP request."""

    __slots__ = ("_began", "_details", "_span", "owner")

    def __init__(self, owner: OpenTelemetryObserver, span: Span, details: Attributes) -> None:
        self.owner = owner
        self._span = span
        self._details = details
        self._began = time.perf_counter()

    def attach(self) -> Token[Any] | None:
        """Make the span the current one, unless there is no SDK."""
        try:
            if not self._span.get_span_context().is_valid:
                return None
            return context.attach(trace.set_span_in_context(self._span))
        except Exception as error:  # noqa: BLE001  a context implementation may be another's
            log_failure(self.owner, error)
            return None

    @guarded
    def detach(self, token: Token[Any] | None) -> None:
        """Make the former span the current one again."""
        if token is not None:
            context.detach(token)

    @guarded
    def end(self, status: int | None, error: BaseException | None) -> None:
        """End the span, and record the duration."""
        seconds = time.perf_counter() - self._began
        details = self._details
        if status is not None:
            details[names.STATUS_CODE] = status
        if error is not None:
            details[names.ERROR_TYPE] = type(error).__name__
        elif status is not None and status >= 400:
            details[names.ERROR_TYPE] = str(status)
        self.owner.record_request(seconds, details)
        if self._span.is_recording():
            self._span.set_attributes(
                {each: details[each] for each in _OF_THE_END if each in details}
            )
            if names.ERROR_TYPE in details:
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


_OF_THE_END = (names.STATUS_CODE, names.ERROR_TYPE)


class _NoTrace:
    """Trace of a request whose span could not begin."""

    def end(self, status: int | None, error: BaseException | None) -> None:
        pass


_NO_TRACE = _NoTrace()


class _Instruments:
    """The metrics, with the units and boundaries that their readers expect."""

    def __init__(self) -> None:
        meter = metrics.get_meter(names.SCOPE, __version__, schema_url=names.SCHEMA_URL)
        self.requests = meter.create_histogram(
            names.REQUEST_DURATION,
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=names.REQUEST_BUCKETS,
        )
        self.submissions = meter.create_counter(
            names.SUBMISSIONS, unit="{submission}", description="Submissions by their outcome."
        )
        self.running_jobs = meter.create_up_down_counter(
            names.RUNNING_JOBS, unit="{job}", description="Watched jobs that are running."
        )
        self.duration = meter.create_histogram(
            names.JOB_DURATION,
            unit="s",
            description="Time from the submission of a job to its end.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self.polls = meter.create_histogram(
            names.JOB_POLLS,
            unit="{poll}",
            description="Polls of a job that were due.",
            explicit_bucket_boundaries_advisory=names.POLL_BUCKETS,
        )
        self.lateness = meter.create_histogram(
            names.JOB_LATENESS,
            unit="s",
            description="Half the time between the last look at a running job and that at its end.",
            explicit_bucket_boundaries_advisory=names.LATENESS_BUCKETS,
        )


def _address(url: URL) -> Attributes:
    return {
        names.ADDRESS: url.host or "",
        names.PORT: url.port or 0,
        names.SCHEME: url.scheme,
    }
