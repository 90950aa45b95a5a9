"""SharedPlaces: a limit on the running jobs of all processes that use a journal."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import random
from contextvars import Context
from itertools import count

from luma_async.concurrency import Worker
from luma_async.errors import LumaError
from luma_async.journal.abandoned_jobs import AbandonedJobs
from luma_async.journal.change_listener import ChangeListener
from luma_async.journal.journal import Entry
from luma_async.journal.place_turns import PlaceTurns
from luma_async.journal.shared_journal import Change, Limit, SharedJournal
from luma_async.schedules import AdaptiveSchedule, PollSchedule
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

TRY_EVERY = 1.0
"""Seconds between two tries to take a place without news of a free one. News may get lost, and
behind some poolers none arrives."""

LONGEST_PROBE_PAUSE = 5.0
"""Seconds between two such tries if the latest ones found no free place, as when news arrives. The
pause doubles up to this value."""

JITTER = 0.06
"""Maximum of the random seconds that a process waits after news of a free place, so that the
processes take turns. The first to take the place tells the others, who need not try then."""

LONGEST_HEAD_START = 0.06
"""Seconds that a process waits in addition if all places are its own. One with fewer of them is
faster, and so the processes get about equal shares."""

CHECK_AFTER = 10.0
"""Seconds of waiting after which the jobs of dead processes are looked at. News of free places does
not put it off: while other jobs end often, those of dead processes would keep their places."""

SAME_WAIT = 5.0
"""Seconds up to which a wait that follows the end of another one continues it. A submission that
tries in vain every second waits all the time."""

CHECK_PAUSES = (15.0, 30.0)
"""Seconds between two looks at the jobs of dead processes, a random time between these."""

SHARE_OF_JOBS = 0.99
"""Share of the jobs that have ended by the time at which an uncertain one frees its place."""

SHORTEST_HOLD, DEFAULT_HOLD, LONGEST_HOLD = 60.0, 600.0, 1800.0
"""Seconds that an uncertain submission takes a place: the minimum, the value without learned
durations, and the maximum. If the place is free too early, the server may reject a submission, and
that is repeated. If it is free too late, an account with few places stands still."""

LIMIT_VALID_FOR = 60.0
"""Seconds until the time of uncertain submissions is computed anew."""

TELL_EVERY = 3600.0
"""Seconds between two log lines that submissions wait for a place."""


class SharedPlaces:
    """Places for the running jobs of all processes that use a journal.

    The journal decides in the transaction of each claim if there is a free place. This object lets
    submissions wait until a claim has a chance to succeed. It hears of places that become free by
    the ends of this client's own jobs, and by the signals of other processes. Those are listened to
    only when a submission has had to wait.

    Jobs whose process has died take their places until they end. When submissions have waited for a
    while, such jobs are looked at.

    Args:
        journal: the journal that the processes share.
        max_tasks: maximum number of running jobs.
        schedule: the poll schedule, which may have learned how long jobs take.
        abandoned: the jobs whose process has died.
        try_every: seconds between two tries without news of a free place.

    """

    def __init__(
        self,
        journal: SharedJournal,
        max_tasks: int,
        *,
        schedule: PollSchedule,
        abandoned: AbandonedJobs,
        try_every: float = TRY_EVERY,
    ) -> None:
        self._journal = journal
        self._max_tasks = max_tasks
        self._schedule = schedule
        self._abandoned = abandoned
        self._try_every = try_every
        self._turns = PlaceTurns(max_tasks)
        self._queue: list[tuple[int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._news = 0
        self._news_timer: asyncio.TimerHandle | None = None
        self._own_jobs = 0  # with those that have just ended, whose places are yet to be taken
        self._own_ended = 0
        self._waiting_since = 0.0
        self._waited_until = -math.inf  # the end of the latest wait
        self._limit: Limit | None = None
        self._limit_until = 0.0
        self._probe_pause = try_every
        self._tell_at = 0.0
        self._is_closed = False
        has_waiters = lambda: self._turns.waiting > 0  # noqa: E731
        # A worker that is cancelled has nothing to finish.
        self._prober = Worker("luma-async place prober", self._probe, has_waiters, grace=0)
        self._checker = Worker("luma-async place checker", self._check, has_waiters, grace=0)
        self._listener = ChangeListener(
            journal,
            is_needed=lambda: self._turns.waiting + self._turns.trying > 0,
            on_begin=self._try_now,
            on_change=self._heard,
        )
        # One bound method and one context for all tasks save memory.
        self._ended = self._own_job_ended
        self._context = Context()

    async def claim(self, entry: Entry, *, instead_of: Entry | None) -> Entry | None:
        """Claim a job key like `Journal.claim()`. Return `None` if there is no free place.

        Raises:
            JournalError: the entry could not be written.

        """
        now = asyncio.get_running_loop().time()
        if self._limit is None or now >= self._limit_until:
            self._limit = Limit(self._max_tasks, _hold_of_uncertain(self._schedule))
            self._limit_until = now + LIMIT_VALID_FOR
        return await self._journal.claim_within(self._limit, entry, instead_of=instead_of)

    @property
    def are_full(self) -> bool:
        """`True` if a submission has to wait, or probably has to."""
        return self._turns.is_full or self._turns.must_wait

    def take_now(self) -> int | None:
        """Let a submission try to take a place, and return its number. `None` if it has to wait."""
        if self._turns.must_wait:
            return None
        self._turns.begin()
        return next(self._numbers)

    async def take(self, *, again: int | None = None) -> int:
        """Wait until a submission may try to take a place, and return its number.

        `again` is the number that it had when its claim found no free place.
        """
        number = next(self._numbers) if again is None else again
        if again is not None:
            self._turns.failed()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (number, waiter))
        self._turns.waiting += 1
        if self._turns.waiting == 1:
            self._begin_to_wait()
        self._let_go()  # there may have been news during its try
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._turns.left()
                self._waited_until = waiter.get_loop().time()
            else:
                self._turns.unused()
                self._let_go()
            raise
        return number

    def accepted(self, task: VideoTask) -> None:
        """Let the job of a submission keep the place until its end is recorded."""
        self._own_jobs += 1
        task.add_done_callback(self._ended, context=self._context)
        if self._turns.is_probing:
            self._probe_pause = self._try_every
        self._turns.succeeded()
        self._let_go()

    def given_up(self, *, is_uncertain: bool) -> None:
        """End the try of a submission that has no job, or perhaps one."""
        if is_uncertain:
            self._turns.succeeded()  # the entry of the submission keeps the place for a while
        else:
            self._turns.unused()
        self._let_go()

    def freed(self, places: int) -> None:
        """Tell that places are free, because the ends of jobs of this client are recorded."""
        if self._is_closed or not places:
            return
        if not (self._turns.waiting or self._turns.trying):
            self._forget_ended()
            return  # the next submission tries in any case
        self._news += places
        if self._news_timer is None:
            wait = JITTER * random.random()
            wait += LONGEST_HEAD_START * min(self._own_jobs / self._max_tasks, 1.0)
            loop = asyncio.get_running_loop()
            self._news_timer = loop.call_later(wait, self._pass_on, context=self._context)

    async def aclose(self) -> None:
        """Stop all background work. Nothing may be submitted any more when this is called."""
        self._is_closed = True
        if self._news_timer is not None:
            self._news_timer.cancel()
        await self._prober.stop()
        await self._checker.stop()
        await self._listener.aclose()

    def _begin_to_wait(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._waited_until > SAME_WAIT:
            self._waiting_since = now
            self._probe_pause = self._try_every
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY
            logger.info(
                "As many jobs are running as max_tasks allows for the journal (%d): submissions "
                "wait for one to end.",
                self._max_tasks,
            )
        if not self._is_closed:
            for worker in (self._prober, self._checker, self._listener):
                worker.wake()

    def _pass_on(self) -> None:
        self._news_timer = None
        self._forget_ended()
        places, self._news = self._news, 0
        self._turns.freed(places)
        self._let_go()

    def _let_go(self) -> None:
        """Let as many submissions try as may, in the order in which they came."""
        while self._turns.turns and (waiter := self._next_waiter()) is not None:
            self._turns.waiting -= 1
            self._turns.begin()
            waiter.set_result(None)
            self._waited_until = waiter.get_loop().time()

    def _next_waiter(self) -> asyncio.Future[None] | None:
        while self._queue:
            _, waiter = heapq.heappop(self._queue)
            if not waiter.done():  # it may have been cancelled just now
                return waiter
        return None

    def _own_job_ended(self, _: VideoTask) -> None:
        self._own_ended += 1

    def _forget_ended(self) -> None:
        self._own_jobs -= self._own_ended
        self._own_ended = 0

    async def _probe(self) -> None:
        await asyncio.sleep(self._probe_pause)
        self._probe_pause = min(2 * self._probe_pause, max(LONGEST_PROBE_PAUSE, self._try_every))
        self._try_now()

    def _try_now(self) -> None:
        """Let a submission try without news, such as when listening begins."""
        self._turns.probe()
        self._let_go()

    async def _check(self) -> None:
        """Look at the jobs of dead processes, if submissions have waited for a while."""
        loop = asyncio.get_running_loop()
        if (left := self._waiting_since + CHECK_AFTER - loop.time()) > 0:
            await asyncio.sleep(left)
            return
        try:
            self.freed(await self._abandoned.mark_ended())
        except LumaError as error:
            logger.debug("The jobs that no process watches cannot be looked at: %s", error)
        except Exception:  # a journal or a dialect of a user may raise anything
            logger.exception("The jobs that no process watches cannot be looked at.")
        await asyncio.sleep(random.uniform(*CHECK_PAUSES))

    def _heard(self, change: Change) -> None:
        self.freed(change.freed)
        self._news = max(self._news - change.taken, 0)


def _hold_of_uncertain(schedule: PollSchedule) -> float:
    """Return the seconds that an uncertain submission takes a place.

    The job may have been accepted. Nobody sees its end, so it counts as running for the time within
    which nearly all jobs end.
    """
    if not isinstance(schedule, AdaptiveSchedule):
        return DEFAULT_HOLD
    return min(max(schedule.quantile(SHARE_OF_JOBS), SHORTEST_HOLD), LONGEST_HOLD)
