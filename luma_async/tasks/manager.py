"""TaskManager: one poller for all jobs of a client."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging

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
from luma_async.tasks.looks import Looks
from luma_async.tasks.schedule import PollSchedule
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

BROKEN_SCHEDULE_DELAY = 10.0
RESTART_DELAY = 1.0


class _Watch:
    """What the poller knows of one job beside its handle. Times are the event loop's."""

    __slots__ = (
        "due",
        "looks",
        "missing_since",
        "since",
        "submitted_here",
        "task",
        "without_video_since",
    )

    def __init__(self, task: VideoTask, since: float, *, submitted_here: bool) -> None:
        self.task = task
        self.since = since
        self.submitted_here = submitted_here
        self.due = 0.0
        self.looks = 0
        self.missing_since: float | None = None
        self.without_video_since: float | None = None


class TaskManager:
    """Watches jobs until they end.

    One asyncio task does it for all of them, alive only while something is watched. It keeps a
    heap of (due time, job); each look takes what is due and fills the rest of its batch with what
    is due soonest. At most `max_looks` looks run at once.
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
        self._max_looks = max_looks
        self._task_timeout = task_timeout
        self._lost_after = lost_after
        self._watches: dict[str, _Watch] = {}
        self._heap: list[tuple[float, int, _Watch]] = []
        self._order = itertools.count()
        self._looking = 0
        self._wake = asyncio.Event()
        self._poller: asyncio.Task[None] | None = None
        self._closed = False
        self._on_forget = self._forget  # one bound method for all tasks
        self._schedule_broke = False
        self._failing = False
        self._quiet_until = 0.0

    def find(self, id: str) -> VideoTask | None:
        """Return the handle of a job that is being watched."""
        watch = self._watches.get(id)
        return watch.task if watch is not None else None

    def add(self, generation: Generation, *, submitted_here: bool) -> VideoTask:
        """Watch a job, and return its handle: the one that it has already, if it is watched.

        A job that was submitted here, just now, teaches the schedule how long jobs take. One that
        is said to be completed, but has no video, is watched for a while: "success" may be said of
        the submission, and a row may be ahead of its task.
        """
        known = self.find(generation.id)
        if known is not None:
            known.observe(generation)
            return known
        if _lacks_video(generation):
            generation = _as_running(generation)
        task = VideoTask(generation, self._on_forget)
        if self._closed:
            task.abandon(_closed(task))
        if not task.done:
            watch = _Watch(task, self._now(), submitted_here=submitted_here)
            self._watches[task.id] = watch
            self._schedule_look(watch)
            self._wake.set()
            self._ensure_poller()
        return task

    async def aclose(self) -> None:
        """End every watch with `ClientClosedError`, at once, and stop the poller."""
        self._closed = True
        self._abandon_all()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])

    def _forget(self, task: VideoTask) -> None:
        self._watches.pop(task.id, None)
        self._wake.set()

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
            self._heap.clear()
            for watch in self._watches.values():
                self._schedule_look(watch)
            poller.get_loop().call_later(RESTART_DELAY, self._ensure_poller)
            return
        self._ensure_poller()

    def _abandon_all(self) -> None:
        watches, self._watches = self._watches, {}
        self._heap.clear()
        for watch in watches.values():
            watch.task.abandon(_closed(watch.task))

    async def _poll(self) -> None:
        async with anyio.create_task_group() as looks:
            while self._watches or self._looking:
                self._wake.clear()
                now = self._now()
                while self._looking < self._max_looks and (batch := self._take(now)):
                    self._looking += 1
                    looks.start_soon(self._look, batch)
                with anyio.move_on_after(self._until_next(now)):
                    await self._wake.wait()

    def _until_next(self, now: float) -> float | None:
        """Return seconds until the next look can begin; `None` if one must end first."""
        self._drop_ended()
        if not self._heap or self._looking >= self._max_looks:
            return None
        return max(self._heap[0][0] - now, 0.0)

    def _take(self, now: float) -> list[_Watch]:
        """Take what is due, and to fill the batch what is due soonest; nothing if nothing is."""
        batch: list[_Watch] = []
        size = self._looks.batch_size
        while len(batch) < size:
            self._drop_ended()
            if not self._heap or (not batch and self._heap[0][0] > now):
                break
            batch.append(heapq.heappop(self._heap)[2])
        return batch

    def _drop_ended(self) -> None:
        while self._heap and self._heap[0][2].task.done:
            self._let_go(heapq.heappop(self._heap)[2])

    def _let_go(self, watch: _Watch) -> None:
        if self._watches.get(watch.task.id) is watch:
            del self._watches[watch.task.id]

    async def _look(self, batch: list[_Watch]) -> None:
        began = self._now()
        time_left = min(watch.since for watch in batch) + self._task_timeout - began
        seen: dict[str, Generation | LumaError] = {}
        try:
            with anyio.move_on_after(max(time_left, 0.0) + LAST_LOOK):
                seen = await self._looks.closely([watch.task.id for watch in batch])
            for watch in batch:
                if watch.due <= began:
                    watch.looks += 1
                if watch.task.id in seen:
                    self._take_in(watch, seen[watch.task.id])
        except Exception:
            logger.exception("A look at %d jobs broke; they stay watched.", len(batch))
        finally:
            self._looking -= 1
            self._wake.set()
            for watch in batch:
                self._carry_on(watch)
        self._report(seen)

    def _take_in(self, watch: _Watch, seen: Generation | LumaError) -> None:
        if isinstance(seen, Generation):
            watch.missing_since = None
            watch.task.observe(self._settled(watch, seen))
            if watch.submitted_here and watch.task.state is State.COMPLETED:
                self._learn(self._now() - watch.since)
        elif isinstance(seen, AuthenticationError | ConfigurationError):
            watch.task.abandon(seen)
        elif isinstance(seen, NotFoundError):
            self._miss(watch, seen)
        else:
            watch.missing_since = None

    def _settled(self, watch: _Watch, seen: Generation) -> Generation:
        """Hold back a completion without a video for a while: the rest of it may be on its way."""
        if not _lacks_video(seen):
            return seen
        now = self._now()
        if watch.without_video_since is None:
            watch.without_video_since = now
        waited = now - watch.without_video_since
        return seen if waited >= VIDEO_FOLLOWS_WITHIN else _as_running(seen)

    def _learn(self, duration: float) -> None:
        try:
            self._schedule.observe(duration)
        except Exception:
            logger.exception("The schedule could not learn that a job took %.1f s.", duration)

    def _miss(self, watch: _Watch, error: NotFoundError) -> None:
        now = self._now()
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

    def _carry_on(self, watch: _Watch) -> None:
        """Put a job back on the heap, or let go of it if it has ended or its time is up."""
        task = watch.task
        if not task.done and self._now() >= watch.since + self._task_timeout:
            task.abandon(
                TaskTimeoutError(
                    f"Task {task.id} is still {task.state} after {self._task_timeout:g} s, and no "
                    "longer watched. It may yet finish: LumaClient.watch(id) takes it up again.",
                    task=task,
                )
            )
        if task.done:
            self._let_go(watch)
        elif not self._closed:
            self._schedule_look(watch)

    def _schedule_look(self, watch: _Watch) -> None:
        now = self._now()
        delay = self._delay(now - watch.since, watch.looks)
        watch.due = min(now + delay, watch.since + self._task_timeout)
        heapq.heappush(self._heap, (watch.due, next(self._order), watch))

    def _delay(self, age: float, looks: int) -> float:
        """Ask the schedule; one that breaks must not cost a paid job its watch."""
        try:
            # In this order, "not a number" comes out as the shortest delay, too.
            return max(SHORTEST_DELAY, float(self._schedule.next_delay(age, looks)))
        except Exception:
            if not self._schedule_broke:
                self._schedule_broke = True
                logger.exception(
                    "The schedule broke; looks follow each %g s.", BROKEN_SCHEDULE_DELAY
                )
            return BROKEN_SCHEDULE_DELAY

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _lacks_video(generation: Generation) -> bool:
    return generation.state is State.COMPLETED and generation.video is None


def _as_running(generation: Generation) -> Generation:
    return generation.model_copy(update={"state": State.PROCESSING})


def _closed(task: VideoTask) -> ClientClosedError:
    return ClientClosedError(
        f"The client was closed while task {task.id} was {task.state}. "
        "The job goes on at the server: another client's watch(id) takes it up again."
    )
