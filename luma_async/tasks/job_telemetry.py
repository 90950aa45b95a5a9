"""JobTelemetry: counts the watched jobs by state, and reports their looks and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from luma_async.errors import LumaError, NotFoundError, TaskTimeoutError
from luma_async.generation import State
from luma_async.tasks.batch_answer import NewStatus
from luma_async.tasks.looks import News
from luma_async.tasks.task import VideoTask
from luma_async.tasks.watched_job import WatchedJob
from luma_async.telemetry.observer import JobOutcome, JobTrace
from luma_async.telemetry.recorder import Recorder


class JobTelemetry:
    """Reports about the jobs of one poller, to the counters and to the observer.

    `scrub` removes the API key from the texts of the server.
    """

    def __init__(self, recorder: Recorder, scrub: Callable[[str], str]) -> None:
        self._recorder = recorder
        self._scrub = scrub

    def begin(self, job: WatchedJob, trace: JobTrace | None) -> None:
        """Report that a job is watched. One that was not submitted here begins its trace now."""
        if trace is None and self._recorder.observer is not None and not job.submitted_here:
            trace = self._recorder.observer.job(kind=None, key=job.task.key, id=job.id)
        job.trace = trace
        job.counted = job.task.state
        self._count(job.counted, 1)

    def changed(self, job: WatchedJob) -> None:
        """Report the state of a job, if it has changed and the job is still watched."""
        state = job.task.state
        if job.counted is not None and state is not job.counted and not job.task.done():
            self._count(job.counted, -1)
            self._count(state, 1)
            job.counted = state

    def polled(self, batch: list[WatchedJob], news: News) -> None:
        """Report a look at a batch of jobs, before its news are processed."""
        self._recorder.polled_jobs += len(batch)
        observer = self._recorder.observer
        if observer is None or not observer.live_traces:
            return
        for job in batch:
            if job.trace is None:
                continue
            seen = news.get(job.id)
            if isinstance(seen, LumaError):
                job.trace.not_polled(seen)
            else:
                status = seen.generation if isinstance(seen, NewStatus) else job.task.generation
                job.trace.polled(status.state.value, status.progress)

    def join(self, job: WatchedJob, trace: JobTrace) -> None:
        """Continue the trace of a submission whose job was watched by its id before."""
        if job.trace is not None:
            job.trace.end("abandoned", None, "", None)
        job.trace = trace

    def ended(self, job: WatchedJob, *, is_polled: bool = True) -> None:
        """Report the end of a watched job, or of watching it.

        How late the end was noticed is only known of a job that was polled.
        """
        if job.counted is not None:
            self._count(job.counted, -1)
            job.counted = None
        self._end(job.task, job.trace, job, is_polled=is_polled)
        job.trace = None

    def unwatched(self, task: VideoTask, trace: JobTrace | None, *, submitted_here: bool) -> None:
        """Report a job that never was watched, because its task is done already.

        One that was submitted earlier and has ended since is not counted, because its id may be
        asked for any number of times.
        """
        if submitted_here:
            self._end(task, trace, None)

    def _end(
        self,
        task: VideoTask,
        trace: JobTrace | None,
        job: WatchedJob | None,
        *,
        is_polled: bool = True,
    ) -> None:
        recorder, error = self._recorder, task.error
        outcome = _outcome(task.state, error)
        setattr(recorder, outcome, getattr(recorder, outcome) + 1)
        now = _now()
        lateness: float | None = None
        if job is not None and is_polled and now is not None and task.state.terminal:
            lateness = max(now - job.looked, 0.0) / 2
            recorder.lateness.append(lateness)
        if trace is not None:
            reason = task.generation.failure_reason or "" if outcome == "failed" else str(error)
            trace.end(outcome, error, self._scrub(reason), lateness)
        if recorder.observer is None:
            return
        birth = None if job is None else job.known_birth
        recorder.observer.ended(
            job.kind.partition(" ")[0] or None if job is not None else None,
            outcome,
            seconds=None if birth is None or now is None else max(now - birth, 0.0),
            polls=0 if job is None else job.looks + task.state.terminal,
            lateness=lateness,
        )

    def _count(self, state: State, change: int) -> None:
        if state is State.PENDING:
            self._recorder.pending += change
        else:
            self._recorder.processing += change
        if self._recorder.observer is not None:
            self._recorder.observer.running(state.value, change)


def _outcome(state: State, error: LumaError | None) -> JobOutcome:
    if error is None:
        return "completed"
    if state is State.FAILED:
        return "failed"
    if isinstance(error, NotFoundError):
        return "lost"
    return "timed_out" if isinstance(error, TaskTimeoutError) else "abandoned"


def _now() -> float | None:
    """Return the time of the running event loop, or `None` if it has ended."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return None
