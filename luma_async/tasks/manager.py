"""TaskManager: the jobs that a client watches until they end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Any

from luma_async.callback_runner import CallbackRunner
from luma_async.concurrency import HomeLoop
from luma_async.errors import ClientClosedError, LumaError, TaskTimeoutError
from luma_async.generation import Generation, State, failure_of, lacks_output
from luma_async.metadata import NO_METADATA
from luma_async.schedules.schedule import PollSchedule
from luma_async.tasks.hinted_looks import HintedLooks
from luma_async.tasks.hints import Hints, Hook, log_missing_callbacks
from luma_async.tasks.job_log import (
    log_closed,
    log_end,
    log_not_watched,
    log_submitted,
    log_watched,
)
from luma_async.tasks.job_telemetry import JobTelemetry
from luma_async.tasks.look_plan import LookPlan
from luma_async.tasks.look_results import LookResults, as_running
from luma_async.tasks.look_runner import LookRunner
from luma_async.tasks.looks import Looks
from luma_async.tasks.poller import Poller
from luma_async.tasks.task import VideoTask
from luma_async.tasks.timing import Timing
from luma_async.tasks.unpolled_jobs import UnpolledJobs
from luma_async.tasks.updates import Updates
from luma_async.tasks.watched_job import Audience, WatchedJob
from luma_async.telemetry.observer import JobTrace
from luma_async.telemetry.recorder import Recorder
from luma_async.transport import AccountLimit

LOST_AFTER = 60.0
"""Seconds of nothing but 404 after which a job counts as lost. Servers answer 404 for jobs that
they have just accepted, and during migrations."""

LINK_TIMEOUT = 120.0
"""Seconds that a completed job without a link to its video stays watched."""


class TaskManager:
    """Registry of the jobs that a client watches until they end, with their handles.

    One poller looks at all jobs, and updates their handles.

    Watching a job ends when the job ends, after `task_timeout`, when the server has not known the
    job for `lost_after`, or when the server has rejected the API key for good. No other error ends
    it.

    The end of each job is reported to `account`, because a submission may wait for it. While one
    waits, jobs are looked at early, if the schedule can adapt: first looks are half a second apart,
    later ones a tenth of the job's age. Many jobs that are looked at one by one share ten looks a
    second.

    Jobs that another process watches are followed: they are looked at only if a reader of their
    updates wants it, and their ends come from elsewhere.

    Args:
        looks: the status requests.
        schedule: the poll schedule.
        max_looks: maximum number of looks in flight.
        task_timeout: seconds after which an unfinished job is no longer watched.
        link_timeout: seconds that a completed job without a link to its video stays watched.
        longest_look: seconds that a look can take by itself. Only if a job has less time left, the
            look is given a timeout of its own.
        lost_after: seconds of "not found" after which a job counts as lost.
        account: the account in which submissions wait for jobs to end.
        on_end: called with each handle when it is done.
        deliver: returns the context in which the result of a job is delivered.
        home: the event loop of the client; by default the one in which the first job is added.
        recorder: the counters of the client.

    """

    def __init__(
        self,
        looks: Looks,
        schedule: PollSchedule,
        *,
        max_looks: int,
        task_timeout: float,
        link_timeout: float = LINK_TIMEOUT,
        longest_look: float = math.inf,
        lost_after: float = LOST_AFTER,
        account: AccountLimit | None = None,
        on_end: Callable[[VideoTask], None] | None = None,
        deliver: Callable[[VideoTask], AbstractContextManager[None]] | None = None,
        home: HomeLoop | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.home = home or HomeLoop()
        self.callbacks = CallbackRunner()
        """Runner of the functions that users attach to handles."""
        self._looks = looks
        timing = Timing(schedule, task_timeout=task_timeout, link_timeout=link_timeout)
        self._task_timeout = task_timeout
        account = account or AccountLimit()
        self._watched: dict[str, WatchedJob] = {}
        self._followed = UnpolledJobs(task_timeout, self._time_out)
        self._telemetry = JobTelemetry(recorder or Recorder(), looks.scrub)
        self._results = LookResults(
            self._watched,
            timing,
            account,
            self._telemetry,
            link_timeout=link_timeout,
            lost_after=lost_after,
        )
        self.hints = Hints()
        """Callbacks that are expected about jobs."""
        self._hinted = HintedLooks()
        self._plan = LookPlan(
            self._watched,
            timing,
            looks,
            account=account,
            hints=self.hints,
            on_change=self._wake_if_due,
        )
        self._agenda = self._plan.agenda
        runner = LookRunner(
            looks,
            self._watched,
            self._results,
            self._plan,
            self._hinted,
            task_timeout=task_timeout,
            longest_look=longest_look,
            time_out=self._time_out,
            put_for_readers=self._put_for_readers,
        )
        self._poller = Poller(
            self._agenda,
            looks,
            runner.look,
            max_looks=max_looks,
            is_needed=lambda: self._watched or self._followed,
            on_cancel=self._abandon_all,
            on_failure=self._plan_all,
        )
        self._closed = False
        self._on_end = on_end
        self._deliver = deliver

    @property
    def tasks(self) -> tuple[VideoTask, ...]:
        """Handles on the watched jobs, in the order in which the jobs were submitted."""
        jobs = chain(self._watched.values(), self._followed)
        return tuple(job.task for job in sorted(jobs, key=attrgetter("born")))

    def find(self, id: str) -> VideoTask | None:
        """Return the handle of a job, or `None` if the job is not watched."""
        job = self._watched.get(id) or self._followed.get(id)
        return job.task if job is not None else None

    def is_polled(self, id: str) -> bool:
        """Return `True` if a job is watched, and not only followed."""
        job = self._watched.get(id)
        return job is not None and not job.for_readers

    def follow(
        self,
        generation: Generation,
        *,
        kind: str = "",
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> VideoTask:
        """Return the handle on a job that another process watches, and do not look at the job.

        The caller reports the end of the job, or calls `poll()`. A job that is already watched
        keeps its handle, and is looked at as before.

        Args:
            generation: the status of the job, which has not ended.
            kind: the kind of request, for the schedule.
            key: the job key.
            metadata: the caller's data about the job.

        """
        known = self.find(generation.id)
        if known is not None:
            known.key = known.key or key
            known.metadata = known.metadata or metadata or NO_METADATA
            return known
        task = VideoTask(generation, self, key=key, metadata=metadata)
        if self._closed:
            task.abandon(_closed(task))
            log_closed([task])
            return task
        now = self.home.enter().time()
        born = now - self._age(generation)
        job = WatchedJob(task, now, born=born, kind=kind, submitted_here=False)
        self._followed.add(job)
        self._telemetry.begin(job, None)
        log_watched(task)
        self._poller.start()
        return task

    def poll(self, id: str, *, request_id: str | None = None, look_now: bool = True) -> None:
        """Look at a followed job from now on. Other jobs stay as they are.

        `request_id` is that of the submission, if callbacks about the job may come.
        """
        now = self.home.enter().time()
        job = self._watched.get(id) or self._followed.pop(id)
        if job is None or self.is_polled(id):
            return
        if job.for_readers:
            job.for_readers = False
            is_planned = self._agenda.remove(job, job.next_look)  # or it is being looked at
        else:
            self._watched[id] = job
            is_planned = True
        self._plan_looks(job, request_id, now, look_now=look_now, is_planned=is_planned)

    def _plan_looks(
        self,
        job: WatchedJob,
        request_id: str | None,
        now: float,
        *,
        is_expected: bool = False,
        look_now: bool,
        is_planned: bool = True,
    ) -> None:
        """Expect callbacks about a watched job, and put it on the agenda if `is_planned` is true.

        An error must not come between a job that is paid for and its handle.
        """
        try:
            self._expect_callbacks(job, request_id, is_expected=is_expected)
            if is_planned:
                self._plan.put([job], now, look_now=look_now)
            self._poller.start()
        except Exception as error:  # noqa: BLE001  it is logged, and the waits for the job end
            self._give_up(job.task, error)

    def _polled(self, id: str, *, look_now: bool) -> WatchedJob | None:
        """Poll a watched job from now on, and return it; `None` if the job is not watched."""
        job = self._watched.get(id)
        if id in self._followed or (job is not None and job.for_readers):
            self.poll(id, look_now=look_now)
            return self._watched.get(id)
        return job

    def unpoll(self, id: str) -> None:
        """Follow a watched job from now on: look at it only for its readers."""
        job = self._watched.get(id)
        if job is None or job.for_readers:
            return
        now = self.home.enter().time()
        is_planned = self._agenda.remove(job, job.next_look)  # or it is being looked at
        if job.hook is not None:  # its callbacks are for the other process
            self._hinted.discard(job)
            self.hints.ended(job.hook, job.id, now, has_ended=False)
            job.hook = None
        job.for_readers = True
        if is_planned:
            self._put_for_readers(job, now)

    def _put_for_readers(self, job: WatchedJob, now: float) -> None:
        if not self._plan.put_for_readers(job, now):
            del self._watched[job.id]
            job.for_readers = False
            self._followed.add(job)

    def add(
        self,
        generation: Generation,
        *,
        submitted_here: bool = False,
        kind: str = "",
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        look_now: bool = False,
        request_id: str | None = None,
        trace: JobTrace | None = None,
    ) -> VideoTask:
        """Watch a job and return its handle. A job that is already watched keeps its handle.

        A completed job without an output is watched for `link_timeout`, because "success" may mean
        the submission, and the link may come later.

        Args:
            generation: the status of the job.
            submitted_here: `True` if the job was submitted just now. The schedule learns from it
                how long jobs of its kind take.
            kind: the kind of request, for the schedule.
            key: the job key.
            metadata: the caller's data about the job.
            look_now: `True` to look at the job at once, because its status did not come from the
                server.
            request_id: the request id of the submission, if callbacks about the job may come.
            trace: the trace that the submission of the job has begun.

        """
        is_early = lacks_output(generation)
        if is_early:
            generation = as_running(generation)
        watched = self._polled(generation.id, look_now=look_now)
        if watched is not None:
            known = watched.task
            known.key = known.key or key
            known.metadata = known.metadata or metadata or NO_METADATA
            known.observe(generation)
            self._telemetry.changed(watched)
            if trace is not None:
                self._telemetry.join(watched, trace)
            if known.done():
                self._expect_nothing(request_id)
            else:
                before = watched.next_look
                self._expect_callbacks(watched, request_id, is_expected=submitted_here)
                self._plan.bring_forward(watched, before)
            return known
        task = VideoTask(generation, self, key=key, metadata=metadata)
        if submitted_here:
            log_submitted(task, kind)
        if task.done():
            self._expect_nothing(request_id)
            self.ended(task)
            self._telemetry.unwatched(task, trace, submitted_here=submitted_here)
        elif self._closed:
            self._expect_nothing(request_id)
            task.abandon(_closed(task))
            self._telemetry.unwatched(task, trace, submitted_here=submitted_here)
            log_closed([task])
        else:
            now = self.home.enter().time()
            born = now if submitted_here else now - self._age(generation)
            job = WatchedJob(task, now, born=born, kind=kind, submitted_here=submitted_here)
            if is_early and not submitted_here:
                job.without_output_since = now
            self._watched[task.id] = job
            self._telemetry.begin(job, trace)
            if not submitted_here:
                log_watched(task)
            self._plan_looks(job, request_id, now, is_expected=submitted_here, look_now=look_now)
        return task

    def hint(
        self, request_id: str, seen: Generation | None = None, *, says_ended: bool = False
    ) -> bool:
        """Look at a job at once, because a callback came for its submission.

        The callback is not trusted. It may have come before the answer to the submission: then the
        look follows the answer. `seen` is the status in the callback, if it has one. `says_ended`
        is `True` if another process has read in it that the job has ended.

        Returns:
            `False` if the submission is not one of this client's.

        """
        if not self.hints.knows(request_id):
            return False
        says_ended = says_ended or (seen is not None and seen.state.terminal)
        id = self.hints.heard(request_id, seen, says_ended=says_ended)
        job = None if id is None else self._watched.get(id)
        if job is not None and not self._closed:
            if job.hook is None:  # it was given up, and is watched again
                self._expect_callbacks(job, request_id, is_expected=True)
            before = job.next_look
            self._ask_for_look(job, says_ended=says_ended)
            self._plan.bring_forward(job, before)
        return True

    def _expect_nothing(self, request_id: str | None) -> None:
        if request_id is not None:
            self.hints.withdraw(request_id)

    def _expect_callbacks(
        self, job: WatchedJob, request_id: str | None, *, is_expected: bool
    ) -> None:
        """Expect callbacks about a job that is not on the agenda, or will be moved on it."""
        if request_id is None:
            return
        if job.hook is not None:
            self.hints.withdraw(request_id)
            return
        job.hook = Hook(request_id, is_expected=is_expected)
        early = self.hints.accepted(request_id, job.id)
        if early is not None:
            self._ask_for_look(job, says_ended=early.says_ended)

    def _ask_for_look(self, job: WatchedJob, *, says_ended: bool) -> None:
        now = self.home.enter().time()
        is_shared = self._looks.batch_size.at(now) > 1
        self._hinted.ask(job, now, says_ended=says_ended, is_shared=is_shared)

    async def watch(self, id: str) -> VideoTask:
        """Return the handle on a job that was submitted elsewhere or earlier, and watch it.

        Raises:
            NotFoundError: the server does not know the job.
            LumaError: there was no usable answer.

        """
        if self.is_polled(id):
            return self._watched[id].task
        seen = await self._looks.begin(id)
        return self.add(seen, look_now=not seen.raw)

    async def look(self, id: str) -> Generation:
        """Request the status of a job once. Its links are as fresh as they can be.

        Raises:
            LumaError: there was no usable answer.

        """
        return await self._looks.one(id)

    async def finished(self, source: VideoTask | Generation | str) -> Generation:
        """Return the completed generation of a job, and await the job if it is still running.

        `source` is a handle, a generation or an id.

        Raises:
            GenerationFailedError: the job failed.
            LumaError: as awaiting its handle.

        """
        if isinstance(source, Generation):
            if source.state is State.COMPLETED:
                return source
            if source.state is State.FAILED:
                raise failure_of(source)
            source = source.id
        return await (await self.watch(source) if isinstance(source, str) else source)

    def _age(self, generation: Generation) -> float:
        """Return the age in seconds of a job that was submitted elsewhere.

        It compares the server's clock with the local one. The age only affects the times of looks,
        so clocks that differ do little harm.
        """
        if generation.created_at is None:
            return 0.0
        age = (datetime.now(UTC) - generation.created_at).total_seconds()
        return age if 0.0 < age < self._task_timeout else 0.0

    async def aclose(self) -> None:
        """Stop watching all jobs with a `ClientClosedError`, and stop the poller."""
        self._closed = self._results.silent = True
        self._abandon_all()
        await self._poller.aclose()

    def ended(self, task: VideoTask) -> None:
        """Stop watching a job, because its handle is done."""
        is_polled = task.id in self._watched
        job = self._watched.pop(task.id, None) or self._followed.pop(task.id)
        log_end(task, None if job is None else job.known_birth, self._looks.scrub)
        if job is not None:
            self._telemetry.ended(job, is_polled=is_polled)
        self._results.missing.pop(task.id, None)
        if job is not None and job.hook is not None:
            self._hinted.discard(job)
            now = self.home.enter().time()
            if self.hints.ended(job.hook, job.id, now, has_ended=task.state.terminal):
                log_missing_callbacks()
                self._plan.put_again(now)
        if not self._watched and not self._followed:
            self._poller.wake()  # so that the poller ends
        if self._on_end is not None:
            self._on_end(task)

    def delivery(self, task: VideoTask) -> AbstractContextManager[None]:
        """Return a context whose end, without an exception, means that a job is delivered."""
        return nullcontext() if self._deliver is None else self._deliver(task)

    def look_often(self, task: VideoTask, reader: Updates) -> None:
        """Look at a job as often as a reader of its updates wants, as long as the reader is open.

        A look that is due later is brought forward.
        """
        now = self.home.enter().time()
        job = self._watched.get(task.id)
        if job is not None and job.task is task:
            self._plan.look_often(job, reader, now)
        elif (job := self._followed.get(task.id)) is not None and job.task is task:
            self._followed.pop(job.id)
            self._watched[job.id] = job
            job.for_readers = True
            job.audience = Audience(now)
            job.audience.add(reader)
            self._put_for_readers(job, now)

    def _abandon_all(self) -> None:
        watched = [*self._watched.values(), *self._followed]
        self._watched.clear()
        self._followed.clear()
        self._hinted.clear()
        self.hints.forget_watched()
        self._agenda.clear()
        for job in watched:
            job.task.abandon(_closed(job.task))
            self._telemetry.ended(job)
        log_closed([job.task for job in watched])

    def _wake_if_due(self) -> None:
        self._poller.wake_if_due()

    def _plan_all(self, now: float) -> None:
        """Make the agenda anew. A job that cannot be on it must not keep the others from it."""
        self._agenda.clear()
        for job in list(self._watched.values()):
            try:
                self._plan.put([job], now)
            except Exception as error:  # noqa: BLE001  it is logged, and the waits for the job end
                self._give_up(job.task, error)

    def _give_up(self, task: VideoTask, error: Exception) -> None:
        """Stop watching a job whose looks cannot be planned. Otherwise its waits would not end."""
        log_not_watched(task, error)
        task.abandon(
            LumaError(
                f"Job {task.id} is {task.state}, and no longer watched, because its looks cannot "
                f"be planned ({type(error).__name__}: {error}). It continues at the server: "
                f"LumaClient.watch({task.id!r}) watches it again."
            )
        )

    def _time_out(self, job: WatchedJob) -> None:
        """Stop watching a job whose time is up."""
        job.task.abandon(
            TaskTimeoutError(
                f"Job {job.id} is still {job.task.state} after {self._task_timeout:g} s, and no "
                "longer watched. It may still end: LumaClient.watch(id) watches it again.",
                task_id=job.id,
            )
        )


def _closed(task: VideoTask) -> ClientClosedError:
    return ClientClosedError(
        f"The client was closed while job {task.id} was {task.state}. "
        "It continues at the server: another client's watch(id) watches it again."
    )
