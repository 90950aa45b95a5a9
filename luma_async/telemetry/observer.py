"""Observer: the seam between a client and the export of its spans and metrics.

A client without telemetry has no observer, so that nothing is called. No method raises an error,
because nothing may come between a job that is paid for and its handle.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Literal, Protocol, TypeVar

from yarl import URL

from luma_async.extras import is_installed

logger = logging.getLogger("luma_async")

SubmissionOutcome = Literal["accepted", "rejected", "uncertain"]
JobOutcome = Literal["completed", "failed", "lost", "timed_out", "abandoned"]
RequestKind = Literal["submission", "poll", "deletion", "other", "download", "upload"]


class Answered(Protocol):
    """Answer to a request, as an observer sees it."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def cut_off(self) -> Exception | None:
        """Error that truncated the body, if any."""


A = TypeVar("A", bound=Answered)


class RequestTrace(Protocol):
    """Trace of one HTTP request for a file."""

    def end(self, status: int | None, error: BaseException | None) -> None:
        """Record the status of the answer, if there was one, and the error."""


class JobTrace(Protocol):
    """Trace of one job, from its submission to its end."""

    def current(self) -> AbstractContextManager[None]:
        """Return a context in which requests and log records belong to the job."""

    def accepted(self, id: str) -> None:
        """Record that the job was accepted, and its id."""

    def polled(self, state: str, progress: float | None) -> None:
        """Record a look at the job."""

    def not_polled(self, error: Exception) -> None:
        """Record a look without a usable answer about the job."""

    def not_accepted(self, outcome: SubmissionOutcome | None, error: BaseException) -> None:
        """End the trace, because there is no job. The outcome is `None` if nothing was sent."""

    def discard(self) -> None:
        """Drop the trace, because the job key has a job already."""

    def end(
        self, outcome: JobOutcome, error: Exception | None, reason: str, lateness: float | None
    ) -> None:
        """End the trace with the job, or with watching it."""


class Observer(Protocol):
    """Exporter of the events of one client."""

    @property
    def live_traces(self) -> int:
        """Number of traces that record looks at their jobs."""

    def is_needed(self) -> bool:
        """Return `False` as long as the program takes neither spans nor metrics."""

    async def answered(
        self, answering: Awaitable[A], *, method: str, path: str, kind: RequestKind, tries: int
    ) -> A:
        """Await the answer to a request to the server, and record the request.

        The path is that of the call; it may contain a query or, by mistake, the API key.
        """

    def file_request(self, method: str, url: URL, kind: RequestKind) -> RequestTrace:
        """Begin to record a request to a media host."""

    def job(self, *, kind: str | None, key: str | None, id: str | None = None) -> JobTrace | None:
        """Begin the trace of a job that is to be submitted, or with an `id` of one to watch."""

    def submitted(self, kind: str, outcome: SubmissionOutcome) -> None:
        """Record the outcome of a submission."""

    def running(self, state: str, change: int) -> None:
        """Record that the number of running jobs in a state has changed."""

    def ended(
        self,
        kind: str | None,
        outcome: JobOutcome,
        *,
        seconds: float | None,
        polls: int,
        lateness: float | None,
    ) -> None:
        """Record the end of a job, or of watching it, with the time since its submission."""


def find_observer(base_url: str, dialect: str, scrub: Callable[[str], str]) -> Observer | None:
    """Return an observer that exports with OpenTelemetry, or `None` if its API is not installed.

    The API is imported here, for the first client that uses it. The import of `luma_async` does
    not load it. An API that cannot be loaded is logged, and the client works without it. Other
    packages share the namespace `opentelemetry`, so that modules of the API are looked for.
    """
    if not (is_installed("opentelemetry.trace") and is_installed("opentelemetry.metrics")):
        return None
    try:
        module = import_module("luma_async.telemetry.opentelemetry_observer")
        found: Observer = module.OpenTelemetryObserver(base_url, dialect, scrub)
    except Exception as error:  # noqa: BLE001  an old or broken API may raise anything
        logger.warning("No spans and metrics are exported: %s: %s", type(error).__name__, error)
        return None
    return found
