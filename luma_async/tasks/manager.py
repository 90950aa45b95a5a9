"""TaskManager: one poller for all jobs of a client."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from operator import attrgetter

import anyio

from luma_async.errors import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    GenerationFailedError,
    LumaError,
    NotFoundError,
    TaskTimeoutError,
)
from luma_async.generation import Generation, State
from luma_async.schedules.schedule import PollSchedule
from luma_async.tasks import rejected_key
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.batch_answer import Seen
from luma_async.tasks.looks import Looks, News
from luma_async.tasks.rejected_key import Refusals
from luma_async.tasks.task import VideoTask
from luma_async.tasks.timing import SHORTEST_HURRY, Timing, hurried
from luma_async.tasks.watched_job import Watch
from luma_async.transport import AccountLimit

logger = logging.getLogger("luma_async")

LOST_AFTER = 60.0
"""Seconds of nothing but 404 after which a job counts as lost. Servers answer 404 for jobs that
they have just taken, and while they move."""

LINK_TIMEOUT = 120.0
"""Seconds that a job which is completed without a link to its video is still looked at."""

LAST_LOOK = 5.0
"""Seconds that a look may go on when the time of a job in it is up."""

QUIET = 60.0
"""Seconds between two warnings that looks fail."""

MOST_HURRIED = 1000
"""Number of jobs that are looked at sooner when a submission begins to wait for one to end."""

RESTART_DELAY = 1.0
"""Seconds until a poller that broke off starts again."""


class TaskManager:
    """Watches jobs until they end.

    One asyncio task does it for all of them, alive only while something is watched. It keeps an
    agenda of when to look at which job; each look takes what is due and fills the rest of its
    batch with what is due soonest. At most `max_looks` looks run at once. A look takes at most
    `longest_look` seconds by itself, so that only one that has less is timed. `on_end` is called
    with each handle when it is done.

    A watch ends with its job, when its time is up, when the server has not known the job for
    `lost_after` seconds, or when a refusal of the API key is believed; with no other error.

    The ends of jobs are told to `account`, for a submission may wait for one. While one does, a
    schedule that adapts is hurried: the first looks at a job are half a second apart, later ones
    a tenth of its age.
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
    ) -> None:
        self._looks = looks
        self._timing = Timing(schedule, task_timeout=task_timeout, link_timeout=link_timeout)
        self._max_looks = max_looks
        self._task_timeout = task_timeout
        self._link_timeout = link_timeout
        self._longest_look = longest_look
        self._lost_after = lost_after
        self._account = account or AccountLimit()
        if self._timing.may_hurry:
            self._account.on_wait = self._hurry_up
        self._watches: dict[str, Watch] = {}
        self._agenda: Agenda[Watch] = Agenda(attrgetter("task.done"))
        self._missing: dict[str, float] = {}  # since when the server does not know a job
        self._refusals = Refusals()
        self._looking = 0
        self._wake = asyncio.Event()
        self._sleeps_until = 0.0
        self._poller: asyncio.Task[None] | None = None
        self._closed = False
        self._told = on_end
        self._on_end = self._let_go  # one bound method for all tasks
        self._failing = False
        self._quiet_until = 0.0

    def find(self, id: str) -> VideoTask | None:
        """Return the handle of a job that is being watched."""
        watch = self._watches.get(id)
        return watch.task if watch is not None else None

    def add(
        self,
        generation: Generation,
        *,
        submitted_here: bool = False,
        kind: str = "",
        key: str | None = None,
        look_now: bool = False,
    ) -> VideoTask:
        """Watch a job, and return its handle: the one that it has already, if it is watched.

        A job that was submitted here, just now, teaches the schedule how long jobs of its kind
        take. One that is said to be completed, but has no video, is watched for a while: "success"
        may be said of the submission, and the link may come later. `look_now` is for one that is
        known by hearsay only.
        """
        lacks_video = _lacks_video(generation)
        if lacks_video:
            generation = _as_running(generation)
        known = self.find(generation.id)
        if known is not None:
            known.key = known.key or key
            known.observe(generation)
            return known
        task = VideoTask(generation, self._on_end, key=key)
        if task.done:
            self._let_go(task)
        elif self._closed:
            task.abandon(_closed(task))
        else:
            now = self._now()
            born = now if submitted_here else now - self._age(generation)
            watch = Watch(task, now, born=born, kind=kind, submitted_here=submitted_here)
            if lacks_video and not submitted_here:
                watch.without_video_since = now
            self._watches[task.id] = watch
            self._put_on_agenda([watch], now, look_now=look_now)
            self._ensure_poller()
        return task

    async def watch(self, id: str) -> VideoTask:
        """Return the handle on a job that was submitted elsewhere or earlier, and watch it.

        Raises:
            NotFoundError: the server does not know the job.
            LumaError: there was no usable answer.

        """
        known = self.find(id)
        if known is not None:
            return known
        seen = await self._looks.begin(id)
        return self.add(seen, look_now=not seen.raw)

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
                raise GenerationFailedError(source)
            source = source.id
        return await (await self.watch(source) if isinstance(source, str) else source)

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
        self._missing.pop(task.id, None)
        if not self._watches:
            self._wake.set()  # the poller has nothing to live for
        if self._told is not None:
            self._told(task)

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
                while self._looking < self._max_looks and (batch := self._take(now)):
                    self._looking += 1
                    looks.start_soon(self._look_on, batch)
                self._sleeps_until = self._next_look()
                with anyio.CancelScope(deadline=self._sleeps_until):
                    await self._wake.wait()

    def _take(self, now: float) -> list[Watch]:
        return self._agenda.take(now, self._looks.batch_size_at(now))

    def _next_look(self) -> float:
        """Return when the poller begins the next look; never, if one must end first."""
        next_due = self._agenda.next_due()
        return math.inf if next_due is None or self._looking >= self._max_looks else next_due

    async def _look_on(self, batch: list[Watch]) -> None:
        """Make one look after another while something is due."""
        clock = asyncio.get_running_loop().time  # to ask for the loop costs a call of the system
        try:
            while batch:
                batch = self._take(await self._look(batch, clock))
        finally:
            self._looking -= 1
            self._wake.set()

    async def _look(self, batch: list[Watch], clock: Callable[[], float]) -> float:
        """Look at a batch of jobs, and return when that ended."""
        began = clock()
        time_is_up = min([watch.since for watch in batch]) + self._task_timeout
        known = {watch.id: watch.mark for watch in batch}
        news: News | None = None
        again_in = math.inf
        try:
            if time_is_up - began > self._longest_look:
                news = await self._looks.closely(known, self._watches)
            else:
                with anyio.CancelScope(deadline=max(time_is_up, began) + LAST_LOOK):
                    news = await self._looks.closely(known, self._watches)
            is_in_trouble = self._missing or self._failing or self._refusals.is_open
            if news or (is_in_trouble and news is not None):
                again_in = self._take_in(batch, news, clock())
        except Exception:
            logger.exception("A look at %d jobs broke; they stay watched.", len(batch))
        now = clock()
        self._carry_on(batch, began, now, again_in)
        return now

    def _take_in(self, batch: list[Watch], news: News, now: float) -> float:
        """Take in what a look told; of jobs that are not in the news all is as it was.

        Return in how many seconds to look again at the latest.
        """
        if self._missing:
            for known in batch:
                if not isinstance(news.get(known.id), NotFoundError):
                    self._missing.pop(known.id, None)
        if (refusal := _refusal(batch, news)) is not None:
            return self._refused(refusal, news, now)
        self._refusals.clear()
        for id, seen in news.items():
            watch = self._watches.get(id)
            if watch is None:
                continue  # it was let go meanwhile
            if isinstance(seen, Seen):
                self._observe(watch, seen, now)
            elif isinstance(seen, NotFoundError):
                self._miss(watch, seen, now)
        self._report(news)
        return math.inf

    def _refused(self, refusal: LumaError, news: News, now: float) -> float:
        """Take in a look that was refused: look again soon, or end the watches if it lasts."""
        if not self._refusals.add(now):
            self._report(news)
            pause = self._refusals.probe_in(now)
            return math.inf if pause is None else pause
        self._refusals.clear()
        self._failing = False
        error = _lasting(refusal, rejected_key.BELIEVED_AFTER)
        watches = list(self._watches.values())
        logger.warning(
            "%s %d jobs are no longer watched; LumaClient.watch(id) takes them up again.",
            error,
            len(watches),
        )
        for watch in watches:
            watch.task.abandon(error)
        return math.inf

    def _observe(self, watch: Watch, seen: Seen, now: float) -> None:
        if seen.generation.state.terminal and watch.without_video_since is None:
            self._account.job_ended(now)
        settled = self._settled(watch, seen.generation, now)
        watch.mark = seen.mark if settled is seen.generation else None
        watch.task.observe(settled)
        if watch.submitted_here and watch.task.state is State.COMPLETED:
            completed = now if watch.without_video_since is None else watch.without_video_since
            self._timing.learn(watch.kind, completed - watch.since)

    def _settled(self, watch: Watch, seen: Generation, now: float) -> Generation:
        """Hold back a completion without a link to the video for a while: it may be on its way."""
        if not seen.state.terminal:
            watch.without_video_since = None
        if not _lacks_video(seen):
            return seen
        if watch.without_video_since is None:
            watch.without_video_since = now
        if now - watch.without_video_since < self._link_timeout:
            return _as_running(seen)
        logger.warning(
            "Task %s is completed, but the server has named no link to its video for %g s. "
            "It may come later: LumaClient.watch(%r) looks for it again.",
            seen.id,
            self._link_timeout,
            seen.id,
        )
        return seen

    def _miss(self, watch: Watch, error: NotFoundError, now: float) -> None:
        if now - self._missing.setdefault(watch.id, now) >= self._lost_after:
            watch.task.abandon(_lasting(error, self._lost_after))

    def _report(self, news: News) -> None:
        """Say that looks fail, at most once a minute, and then that they work again."""
        error = next((look for look in news.values() if isinstance(look, LumaError)), None)
        if error is None or isinstance(error, NotFoundError):
            if self._failing and error is None:
                self._failing = False
                logger.warning("The server answers again; %d jobs are watched.", len(self._watches))
        elif not self._closed and self._now() >= self._quiet_until:
            self._failing = True
            self._quiet_until = self._now() + QUIET
            logger.warning("%s %d jobs stay watched.", error, len(self._watches))

    def _carry_on(self, batch: list[Watch], began: float, now: float, again_in: float) -> None:
        """Put jobs back on the agenda, but for those that have ended or whose time is up.

        They are due in `again_in` seconds at the latest.
        """
        latest = now - self._task_timeout
        for watch in batch:
            if watch.due <= began:
                watch.looks += 1
            if watch.since <= latest:
                watch.task.abandon(self._timed_out(watch.task))
        if not self._closed:
            running = [watch for watch in batch if not watch.task.done]
            self._put_on_agenda(running, now, again_in=again_in)

    def _timed_out(self, task: VideoTask) -> TaskTimeoutError:
        return TaskTimeoutError(
            f"Task {task.id} is still {task.state} after {self._task_timeout:g} s, and no longer "
            "watched. It may yet finish: LumaClient.watch(id) takes it up again.",
            task=task,
        )

    def _put_on_agenda(
        self,
        watches: list[Watch],
        now: float,
        *,
        look_now: bool = False,
        again_in: float = math.inf,
    ) -> None:
        if look_now:
            for watch in watches:
                watch.due = now
                self._agenda.add(watch, now)
        else:
            sharing = max(min(len(self._watches), self._looks.batch_size_at(now)), 1)
            hurry = self._hurry(now) if self._account.needs_job_ends else None
            self._timing.put(
                watches, self._agenda, now=now, sharing=sharing, at_most=again_in, hurry=hurry
            )
        self._wake_for_next_look()

    def _wake_for_next_look(self) -> None:
        if self._looking < self._max_looks and self._next_look() < self._sleeps_until:
            self._wake.set()

    def _hurry(self, now: float) -> float | None:
        """Return how many seconds a job may be left alone while a submission waits for its end."""
        if not self._timing.may_hurry:
            return None
        return SHORTEST_HURRY * math.ceil(len(self._watches) / self._looks.batch_size_at(now))

    def _hurry_up(self) -> None:
        """Look sooner at the jobs that are due next, as a submission waits for one to end."""
        now = self._now()
        hurry = self._hurry(now)
        if hurry is None or self._closed:
            return
        for watch in self._agenda.take(math.inf, MOST_HURRIED):
            watch.due = min(watch.due, now + hurried(watch, now, hurry))
            self._agenda.add(watch, watch.due)
        self._wake_for_next_look()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _lacks_video(generation: Generation) -> bool:
    return generation.state is State.COMPLETED and generation.video is None


def _refusal(batch: list[Watch], news: News) -> LumaError | None:
    """Return the error of a look that was refused as a whole, `None` if it was not."""
    refused: LumaError | None = None
    for watch in batch:
        seen = news.get(watch.id)
        if not isinstance(seen, AuthenticationError | ConfigurationError):
            return None
        refused = seen
    return refused


def _lasting(error: LumaError, seconds: float) -> LumaError:
    """Return an error that also says for how long there was nothing else."""
    if not isinstance(error, APIError):
        return error
    return type(error)(
        f"{error.message.rstrip('. ')} (for {seconds:g} s now)",
        status=error.status,
        call=error.call,
        code=error.code,
        request_id=error.request_id,
    )


def _as_running(generation: Generation) -> Generation:
    return generation.model_copy(update={"state": State.PROCESSING})


def _closed(task: VideoTask) -> ClientClosedError:
    return ClientClosedError(
        f"The client was closed while task {task.id} was {task.state}. "
        "The job goes on at the server: another client's watch(id) takes it up again."
    )
