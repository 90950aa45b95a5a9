"""TaskManager: one poller for all jobs of a client."""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime

import anyio

from luma_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    LumaError,
    NotFoundError,
    TaskTimeoutError,
)
from luma_async.models import Generation, State
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.looks import Looks, Seen
from luma_async.tasks.schedule import PollSchedule, ScheduleByKind
from luma_async.tasks.task import VideoTask

logger = logging.getLogger("luma_async")

LOST_AFTER = 60.0
"""Seconds of nothing but 404 after which a job counts as lost. Servers answer 404 for jobs that
they have just taken, and while they move."""

VIDEO_FOLLOWS_WITHIN = 10.0
"""Seconds that a job which is said to be completed, but has no video, is still looked at."""

LAST_LOOK = 5.0
"""Seconds that a look may go on when the time of a job in it is up."""

QUIET = 60.0
"""Seconds between two warnings that looks fail."""

SHORTEST_DELAY = 0.01
"""Seconds between two looks at a job, whatever the schedule says."""

JITTER = 0.05
"""The part of a delay by which it is longer or shorter than the schedule says, at most: clients
that were started together shall not look together for ever."""

LONGEST_ESTIMATE = 300.0
"""Seconds; a server's estimate of more moves the first look to here."""

BROKEN_SCHEDULE_DELAY = 10.0
RESTART_DELAY = 1.0


class _Watch:
    """What the poller knows of one job beside its handle. Times are the event loop's."""

    __slots__ = (
        "born",
        "due",
        "is_as_said",
        "kind",
        "looks",
        "missing_since",
        "since",
        "submitted_here",
        "task",
        "without_video_since",
    )

    def __init__(
        self,
        task: VideoTask,
        since: float,
        *,
        born: float,
        kind: str,
        submitted_here: bool,
        is_as_said: bool,
    ) -> None:
        self.task = task
        self.since = since
        self.born = born
        self.kind = kind
        self.submitted_here = submitted_here
        self.is_as_said = is_as_said
        """Whether the handle shows what the server said, and not less."""
        self.due = 0.0
        self.looks = 0
        self.missing_since: float | None = None
        self.without_video_since: float | None = None


class TaskManager:
    """Watches jobs until they end.

    One asyncio task does it for all of them, alive only while something is watched. It keeps an
    agenda of when to look at which job; each look takes what is due and fills the rest of its
    batch with what is due soonest. At most `max_looks` looks run at once.
    """

    def __init__(
        self,
        looks: Looks,
        schedule: PollSchedule,
        *,
        max_looks: int,
        task_timeout: float,
        lost_after: float = LOST_AFTER,
    ) -> None:
        self._looks = looks
        self._schedule = schedule
        self._by_kind = schedule if isinstance(schedule, ScheduleByKind) else None
        self._max_looks = max_looks
        self._task_timeout = task_timeout
        self._lost_after = lost_after
        self._watches: dict[str, _Watch] = {}
        self._agenda: Agenda[_Watch] = Agenda(_is_over)
        self._looking = 0
        self._wake = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._closed = False
        self._on_end = self._let_go  # one bound method for all tasks
        self._schedule_broke = False
        self._failing = False
        self._quiet_until = 0.0

    def find(self, id: str) -> VideoTask | None:
        """Return the handle of a job that is being watched."""
        watch = self._watches.get(id)
        return watch.task if watch is not None else None

    def add(
        self, generation: Generation, *, submitted_here: bool = False, kind: str = ""
    ) -> VideoTask:
        """Watch a job, and return its handle: the one that it has already, if it is watched.

        A job that was submitted here, just now, teaches the schedule how long jobs of its kind
        take. One that is said to be completed, but has no video, is watched for a while: "success"
        may be said of the submission, and a row may be ahead of its task.
        """
        known = self.find(generation.id)
        if known is not None:
            known.observe(generation)
            return known
        is_as_said = not _lacks_video(generation)
        task = VideoTask(generation if is_as_said else _as_running(generation), self._on_end)
        if self._closed:
            task.abandon(_closed(task))
        if not task.done:
            now = self._now()
            watch = _Watch(
                task,
                now,
                born=now if submitted_here else now - self._age(generation),
                kind=kind,
                submitted_here=submitted_here,
                is_as_said=is_as_said,
            )
            self._watches[task.id] = watch
            self._put_on_agenda([watch], now)
            self._wake.set()
            self._ensure_poller()
        return task

    def _age(self, generation: Generation) -> float:
        """Return how old a job is that was submitted elsewhere, by the server's clock and ours.

        It only tells when to look, so clocks that differ cost no more than that.
        """
        if generation.created_at is None:
            return 0.0
        age = (datetime.now(UTC) - generation.created_at).total_seconds()
        return age if 0.0 < age < self._task_timeout else 0.0

    async def aclose(self) -> None:
        """End every watch with `ClientClosedError`, at once, and stop the poller."""
        self._closed = True
        self._abandon_all()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])

    def _let_go(self, task: VideoTask) -> None:
        self._watches.pop(task.id, None)
        if not self._watches:
            self._wake.set()  # the poller has nothing to live for

    def _ensure_poller(self) -> None:
        if self._poller is None and self._watches and not self._closed:
            self._poller = asyncio.create_task(self._poll(), name="luma-async poller")
            self._poller.add_done_callback(self._poller_ended)

    def _poller_ended(self, poller: asyncio.Task[None]) -> None:
        self._poller = None
        self._looking = 0
        if poller.cancelled():
            self._abandon_all()  # by aclose(), or by somebody who ends the whole program
            return
        if (error := poller.exception()) is not None:
            logger.error("The poller broke off; it starts again.", exc_info=error)
            self._agenda.clear()
            self._put_on_agenda(list(self._watches.values()), self._now())
            poller.get_loop().call_later(RESTART_DELAY, self._ensure_poller)
            return
        self._ensure_poller()

    def _abandon_all(self) -> None:
        watches, self._watches = self._watches, {}
        self._agenda.clear()
        for watch in watches.values():
            watch.task.abandon(_closed(watch.task))

    async def _poll(self) -> None:
        async with anyio.create_task_group() as looks:
            while self._watches or self._looking:
                self._wake.clear()
                now = self._now()
                while self._looking < self._max_looks and (
                    batch := self._agenda.take(now, self._looks.batch_size)
                ):
                    self._looking += 1
                    looks.start_soon(self._look, batch)
                with anyio.move_on_after(self._until_next(now)):
                    await self._wake.wait()

    def _until_next(self, now: float) -> float | None:
        """Return seconds until the next look can begin; `None` if one must end first."""
        next_due = self._agenda.next_due()
        if next_due is None or self._looking >= self._max_looks:
            return None
        return max(next_due - now, 0.0)

    async def _look(self, batch: list[_Watch]) -> None:
        began = self._now()
        time_left = min(watch.since for watch in batch) + self._task_timeout - began
        seen: Seen = {}
        try:
            with anyio.move_on_after(max(time_left, 0.0) + LAST_LOOK):
                seen = await self._looks.closely(
                    {
                        watch.task.id: watch.task.generation if watch.is_as_said else None
                        for watch in batch
                    }
                )
            now = self._now()
            for watch in batch:
                if watch.due <= began:
                    watch.looks += 1
                if (look := seen.get(watch.task.id)) is not None:
                    self._take_in(watch, look, now)
        except Exception:
            logger.exception("A look at %d jobs broke; they stay watched.", len(batch))
        finally:
            self._looking -= 1
            self._wake.set()
            self._carry_on(batch)
        self._report(seen)

    def _take_in(self, watch: _Watch, seen: Generation | LumaError, now: float) -> None:
        if seen is watch.task.generation:
            watch.missing_since = None
        elif isinstance(seen, Generation):
            watch.missing_since = None
            settled = self._settled(watch, seen, now)
            watch.is_as_said = settled is seen
            watch.task.observe(settled)
            if watch.submitted_here and watch.task.state is State.COMPLETED:
                self._learn(watch.kind, now - watch.since)
        elif isinstance(seen, AuthenticationError | ConfigurationError):
            watch.task.abandon(seen)
        elif isinstance(seen, NotFoundError):
            self._miss(watch, seen, now)
        else:
            watch.missing_since = None

    def _settled(self, watch: _Watch, seen: Generation, now: float) -> Generation:
        """Hold back a completion without a video for a while: the rest of it may be on its way."""
        if not _lacks_video(seen):
            return seen
        if watch.without_video_since is None:
            watch.without_video_since = now
        waited = now - watch.without_video_since
        return seen if waited >= VIDEO_FOLLOWS_WITHIN else _as_running(seen)

    def _learn(self, kind: str, duration: float) -> None:
        try:
            self._schedule_of(kind, 1).observe(duration)
        except Exception:
            logger.exception("The schedule could not learn that a job took %.1f s.", duration)

    def _miss(self, watch: _Watch, error: NotFoundError, now: float) -> None:
        if watch.missing_since is None:
            watch.missing_since = now
        if now - watch.missing_since >= self._lost_after:
            watch.task.abandon(
                NotFoundError(
                    f"{error.message.rstrip('. ')} (for {self._lost_after:g} s now)",
                    status=error.status,
                    call=error.call,
                    code=error.code,
                    request_id=error.request_id,
                )
            )

    def _report(self, seen: dict[str, Generation | LumaError]) -> None:
        """Say that looks fail, at most once a minute, and then that they work again."""
        error = next((look for look in seen.values() if isinstance(look, LumaError)), None)
        if error is None or isinstance(error, NotFoundError):
            if self._failing and error is None:
                self._failing = False
                logger.warning("The server answers again; %d jobs are watched.", len(self._watches))
        elif not self._closed and self._now() >= self._quiet_until:
            self._failing = True
            self._quiet_until = self._now() + QUIET
            logger.warning("%s %d jobs stay watched.", error, len(self._watches))

    def _carry_on(self, batch: list[_Watch]) -> None:
        """Put jobs back on the agenda, but for those that have ended or whose time is up."""
        now = self._now()
        for watch in batch:
            task = watch.task
            if not task.done and now >= watch.since + self._task_timeout:
                task.abandon(
                    TaskTimeoutError(
                        f"Task {task.id} is still {task.state} after {self._task_timeout:g} s, and "
                        "no longer watched. It may yet finish: LumaClient.watch(id) takes it up "
                        "again.",
                        task=task,
                    )
                )
        if not self._closed:
            self._put_on_agenda([watch for watch in batch if not watch.task.done], now)

    def _put_on_agenda(self, watches: list[_Watch], now: float) -> None:
        sharing = max(min(len(self._watches), self._looks.batch_size), 1)
        schedules: dict[str, PollSchedule] = {}
        for watch in watches:
            try:
                schedule = schedules.get(watch.kind)
                if schedule is None:
                    schedule = schedules[watch.kind] = self._schedule_of(watch.kind, sharing)
                delay = float(schedule.next_delay(now - watch.born, watch.looks))
            except Exception:
                delay = BROKEN_SCHEDULE_DELAY  # it must not cost a paid job its watch
                if not self._schedule_broke:
                    self._schedule_broke = True
                    logger.exception("The schedule broke; looks follow each %g s.", delay)
            if not watch.looks and (estimate := watch.task.generation.estimate_wait_seconds):
                delay = min(estimate, LONGEST_ESTIMATE)
            delay *= 1.0 + JITTER * (2.0 * random.random() - 1.0)
            # In this order, "not a number" comes out as the shortest delay, too.
            due = now + max(SHORTEST_DELAY, delay)
            watch.due = min(due, watch.since + self._task_timeout)
            self._agenda.add(watch, watch.due)

    def _schedule_of(self, kind: str, sharing: int) -> PollSchedule:
        by_kind = self._by_kind
        return self._schedule if by_kind is None else by_kind.for_jobs(kind, sharing)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _is_over(watch: _Watch) -> bool:
    return watch.task.done


def _lacks_video(generation: Generation) -> bool:
    return generation.state is State.COMPLETED and generation.video is None


def _as_running(generation: Generation) -> Generation:
    return generation.model_copy(update={"state": State.PROCESSING})


def _closed(task: VideoTask) -> ClientClosedError:
    return ClientClosedError(
        f"The client was closed while task {task.id} was {task.state}. "
        "The job goes on at the server: another client's watch(id) takes it up again."
    )
