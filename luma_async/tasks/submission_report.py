"""SubmissionReport: reports the outcome of one submission, and begins the trace of its job."""

from __future__ import annotations

from luma_async.errors import LumaError, SubmissionUncertainError
from luma_async.requests import JobRequest
from luma_async.telemetry.observer import JobTrace, SubmissionOutcome
from luma_async.telemetry.recorder import Recorder
from luma_async.transport import Failed, UnsentSubmission


class SubmissionReport:
    """Report of one submission to the counters and to the observer.

    Attributes:
        trace: the trace of the job, or `None` without an observer.
        is_adopted: `True` if the caller was cancelled after the submission had left, so that its
            answer, and not the cancellation, is the outcome.
        hooked: the request id, if callbacks about the job are expected.

    """

    __slots__ = ("_kind", "_recorder", "hooked", "is_adopted", "trace")

    def __init__(self, recorder: Recorder, request: JobRequest, key: str | None) -> None:
        self._recorder = recorder
        self._kind = request.kind
        self.is_adopted = False
        self.hooked: str | None = None
        self.trace: JobTrace | None = None
        if recorder.observer is not None:
            self.trace = recorder.observer.job(kind=request.kind, key=key)

    def accepted(self, id: str) -> None:
        """Report that the server accepted the job."""
        self._recorder.accepted += 1
        if self._recorder.observer is not None:
            self._recorder.observer.submitted(self._kind, "accepted")
        if self.trace is not None:
            self.trace.accepted(id)

    def failed(self, error: BaseException) -> None:
        """Report that there is no handle on a job, for this reason.

        A submission that was cancelled before it left, or found its job key in use, has no outcome.
        """
        outcome: SubmissionOutcome | None = None
        if isinstance(error, UnsentSubmission):
            if self.trace is not None:
                self.trace.discard()
            return
        if isinstance(error, SubmissionUncertainError) or (
            isinstance(error, Failed) and error.is_uncertain
        ):
            outcome = "uncertain"
            self._recorder.uncertain += 1
        elif isinstance(error, LumaError | Failed):
            outcome = "rejected"
            self._recorder.rejected += 1
        self._end(outcome, error)

    def cut_off(self, error: BaseException) -> None:
        """Report that a submission was cancelled after it had left."""
        self._recorder.uncertain += 1
        self._end("uncertain", error)

    def _end(self, outcome: SubmissionOutcome | None, error: BaseException) -> None:
        if outcome is not None and self._recorder.observer is not None:
            self._recorder.observer.submitted(self._kind, outcome)
        if self.trace is not None:
            self.trace.not_accepted(outcome, error)
