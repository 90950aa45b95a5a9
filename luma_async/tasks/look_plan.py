"""LookPlan: plans the next look at each watched job, and brings looks forward."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping

from luma_async.tasks.agenda import Agenda
from luma_async.tasks.hints import Hints
from luma_async.tasks.looks import Looks
from luma_async.tasks.timing import (
    EARLY_LOOK_SPACING,
    MIN_EARLY_LOOK_DELAY,
    SHORTEST_DELAY,
    Timing,
    early_look_delay,
)
from luma_async.tasks.updates import Updates
from luma_async.tasks.watched_job import Audience, WatchedJob
from luma_async.transport import AccountLimit

MOST_MOVED = 1000
"""Maximum number of jobs that are moved on the agenda at once, when a submission begins to wait for
one to end, or callbacks become unreliable. More would block the event loop."""


class LookPlan:
    """Agenda of watched jobs, and the reasons to look sooner than the schedule has it.

    These are a reader of updates, a callback, and a submission that waits for a job to end. A job
    that is being looked at now is not on the agenda.

    Args:
        watched: the watched jobs by id.
        timing: the times by the poll schedule.
        looks: the status requests.
        account: the account in which submissions wait for jobs to end.
        hints: the callbacks that are expected.
        on_change: called when the next look may be sooner than before.

    """

    def __init__(
        self,
        watched: Mapping[str, WatchedJob],
        timing: Timing,
        looks: Looks,
        *,
        account: AccountLimit,
        hints: Hints,
        on_change: Callable[[], None],
    ) -> None:
        self.agenda: Agenda[WatchedJob] = Agenda(_is_done)
        """The watched jobs by the times of their next looks."""
        self._watched = watched
        self._timing = timing
        self._looks = looks
        self._account = account
        self._hints = hints
        self._on_change = on_change
        if timing.allows_early_looks:
            account.on_wait = self._plan_early_looks

    def put(
        self,
        jobs: Iterable[WatchedJob],
        now: float,
        *,
        look_now: bool = False,
        again_in: float = math.inf,
    ) -> None:
        """Put jobs on the agenda for their next look, in `again_in` seconds at the latest."""
        if look_now:
            for job in jobs:
                job.due = now
                if job.audience is not None:
                    job.audience.due = now
                self.agenda.add(job, now)
        else:
            sharing = max(min(len(self._watched), self._looks.batch_size.at(now)), 1)
            early_delay = self._early_delay(now) if self._account.needs_job_ends else None
            self._timing.put(
                jobs,
                self.agenda,
                now=now,
                sharing=sharing,
                at_most=again_in,
                early_delay=early_delay,
                net_factor=self._hints.net_factor,
            )
        self._on_change()

    def put_again(self, now: float) -> None:
        """Put the jobs on the agenda anew, because their delays are others now."""
        self.put(self.agenda.take(math.inf, MOST_MOVED), now)

    def bring_forward(self, job: WatchedJob, before: float) -> None:
        """Move a job on the agenda, if its next look is to be earlier than before.

        A job that is being looked at now will be looked at once more.
        """
        if job.next_look < before and self.agenda.remove(job, before):
            self.agenda.add(job, job.next_look)
            self._on_change()

    def look_often(self, job: WatchedJob, reader: Updates, now: float) -> None:
        """Look at a job as often as a reader of its updates wants, from now on."""
        if reader.every is None:
            return
        audience = job.audience
        if audience is None:
            audience = job.audience = Audience(job.due)
        audience.add(reader)
        due = now + reader.every
        before = job.next_look
        if due < before and self.agenda.remove(job, before):
            audience.due = due
            self.agenda.add(job, due)
            self._on_change()

    def put_for_readers(self, job: WatchedJob, now: float) -> bool:
        """Put a job on the agenda for a look that its readers want, and return `False` if none do.

        At the end of its time, the job is looked at as well.
        """
        if job.audience is None or (interval := job.audience.interval()) == math.inf:
            job.audience = None
            return False
        job.due = self._timing.end_of(job)
        job.audience.due = min(job.due, now + max(interval, SHORTEST_DELAY))
        self.agenda.add(job, job.next_look)
        self._on_change()
        return True

    def _early_delay(self, now: float) -> float | None:
        """Return the maximum delay of a look while a submission waits for a job to end."""
        if not self._timing.allows_early_looks:
            return None
        size = self._looks.batch_size.at(now)
        if size < 2:
            return max(EARLY_LOOK_SPACING * len(self._watched), MIN_EARLY_LOOK_DELAY)
        return MIN_EARLY_LOOK_DELAY * math.ceil(len(self._watched) / size)

    def _plan_early_looks(self) -> None:
        """Move the next jobs, because a submission began to wait for one to end."""
        now = asyncio.get_running_loop().time()
        early_delay = self._early_delay(now)
        if early_delay is None:
            return
        for job in self.agenda.take(math.inf, MOST_MOVED):
            is_expected = job.hook is not None and job.hook.is_expected
            factor = self._hints.net_factor if is_expected else 1.0
            job.due = min(job.due, now + early_look_delay(job, now, early_delay) * factor)
            if job.audience is not None:
                job.audience.due = min(job.due, job.audience.due)
            self.agenda.add(job, job.next_look)
        self._on_change()


def _is_done(job: WatchedJob) -> bool:
    return job.task.done()
