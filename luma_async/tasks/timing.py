"""Timing: compute the time of the next look at each watched job, from the poll schedule."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from luma_async.schedules.schedule import PollSchedule, ScheduleByKind
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.hints import Hook
from luma_async.tasks.watched_job import Audience, WatchedJob

logger = logging.getLogger("luma_async")

SHORTEST_DELAY = 0.01
"""Minimum delay in seconds between two looks at a job, even if the schedule returns less."""

JITTER = 0.05
"""Maximum random change of a delay, as a fraction of it. Otherwise clients that were started
together would send their requests together forever."""

LONGEST_ESTIMATE = 300.0
"""Maximum delay in seconds that a server's estimate can cause."""

ESTIMATED_LOOKS = 3
"""Number of looks at a job that use the server's estimate, if the schedule adapts. The estimate
replaces the first delay and can shorten the others. It is not used for longer, because some servers
never change theirs. Any other schedule is kept as its user has chosen it."""

EARLY_LOOK_FRACTION = 0.1
"""Maximum delay of a look while a submission waits for a job to end, as a fraction of the job's
age."""

MIN_EARLY_LOOK_DELAY = 0.5
"""Minimum delay in seconds between two looks at a job, and between two requests for many jobs,
while a submission waits for a job to end."""

EARLY_LOOK_SPACING = 0.1
"""The same between two requests for one job each, as they are cheap for a server without others."""

LONGEST_NET = 120.0
"""Maximum number of seconds by which a look is later because callbacks can be relied on."""

BROKEN_SCHEDULE_DELAY = 10.0
"""Delay in seconds if the schedule raises an error. Paid jobs stay watched despite a bug in a
user's schedule."""


@dataclass(frozen=True, slots=True)
class LinkSchedule:
    """Poll schedule for jobs that are completed without a link to their video.

    The link usually appears within seconds, so the first looks come soon. Each delay is half of
    the time that the job has waited, and the last look is at the end of `timeout`.

    >>> links = LinkSchedule(timeout=120.0)
    >>> [links.next_delay(waited) for waited in (0, 1, 2, 8, 60, 118)]
    [1.0, 1.0, 1.0, 4.0, 10.0, 2.0]
    """

    timeout: float
    shortest: float = 1.0
    longest: float = 10.0

    def next_delay(self, waited: float) -> float:
        """Return the delay in seconds until the next look, `waited` seconds after completion."""
        shortest = min(self.shortest, self.timeout / 100)
        longest = min(self.longest, self.timeout / 10)
        return min(max(waited / 2, shortest), longest, max(self.timeout - waited, 0.0))


class Timing:
    """Due times of watched jobs, and the only caller of the user's schedule.

    Errors of the schedule are logged and never end the watching of a job.
    """

    def __init__(self, schedule: PollSchedule, *, task_timeout: float, link_timeout: float) -> None:
        self._schedule = schedule
        self._links = LinkSchedule(link_timeout)
        self._by_kind = schedule if isinstance(schedule, ScheduleByKind) else None
        self._sharing = 1
        self._schedules: dict[str, PollSchedule] = {}  # by kind, for the current `_sharing`
        self._task_timeout = task_timeout
        self._has_complained = False

    def put(
        self,
        jobs: Iterable[WatchedJob],
        agenda: Agenda[WatchedJob],
        *,
        now: float,
        sharing: int,
        at_most: float = math.inf,
        early_delay: float | None = None,
        net_factor: float = 1.0,
    ) -> None:
        """Put jobs on the agenda for their next look.

        Args:
            jobs: the jobs to put on the agenda.
            agenda: the agenda.
            now: the current time on the clock of the event loop.
            sharing: number of jobs in one request.
            at_most: maximum delay in seconds.
            early_delay: maximum delay in seconds while a submission waits for a job to end (longer
                for old jobs), `None` if none waits.
            net_factor: factor for the delays of jobs whose ends callbacks report. A schedule that
                cannot adapt is kept as it is.

        """
        if sharing != self._sharing:
            self._sharing = sharing
            self._schedules.clear()
        for job in jobs:
            hook = job.hook
            if job.without_output_since is not None:
                delay = self._links.next_delay(now - job.without_output_since)
            elif hook is not None and (since := self._urgent_since(hook, now)) is not None:
                delay = self._links.next_delay(now - since)
            else:
                try:
                    schedule = self._schedules.get(job.kind) or self._schedule_of(job.kind)
                    delay = float(schedule.next_delay(now - job.born, job.looks))
                except Exception as error:  # noqa: BLE001  the user's code; logged
                    delay = BROKEN_SCHEDULE_DELAY
                    self._complain(error)
                delay *= 1.0 + JITTER * (2.0 * random.random() - 1.0)
                if (
                    self._by_kind is not None
                    and job.looks < ESTIMATED_LOOKS
                    and (estimate := job.task.generation.estimate_wait_seconds)
                ):
                    delay = _by_estimate(job, estimate, delay)
                factor = net_factor if hook is not None and hook.is_expected else 1.0
                if factor > 1.0 and self._by_kind is not None:
                    delay += min((factor - 1.0) * delay, LONGEST_NET)
                if early_delay is not None:
                    delay = min(delay, early_look_delay(job, now, early_delay) * factor)
            # The order of the arguments matters: NaN becomes the shortest delay.
            due = now + max(SHORTEST_DELAY, min(delay, at_most))
            job.due = min(due, self.end_of(job))
            if job.audience is not None:
                _schedule_for_audience(job, job.audience, now)
            agenda.add(job, job.due if hook is None and job.audience is None else job.next_look)

    def end_of(self, job: WatchedJob) -> float:
        """Return the time from which on a job is watched no longer."""
        return job.since + self._task_timeout

    def _urgent_since(self, hook: Hook, now: float) -> float | None:
        """Return the time of a callback that looks have not confirmed, or `None` if there is none.

        The server may be late to show the end of the job, or looks may fail. After a while, the
        callback counts as an error.
        """
        since = hook.told_end_at if hook.unanswered_since is None else hook.unanswered_since
        if since is not None and now - since >= self._links.timeout:
            hook.told_end_at = hook.unanswered_since = since = None
        return since

    @property
    def allows_early_looks(self) -> bool:
        """`True` if looks may come sooner than scheduled. A fixed schedule is kept as it is."""
        return self._by_kind is not None

    def learn(self, kind: str, duration: float) -> None:
        """Tell the schedule the duration in seconds of a job of a given kind."""
        try:
            self._schedule_of(kind).observe(duration)
        except Exception:
            logger.exception("The poll schedule failed to learn a duration of %.1f s.", duration)

    def _schedule_of(self, kind: str) -> PollSchedule:
        schedule = self._schedule
        if self._by_kind is not None:
            schedule = self._by_kind.for_jobs(kind, self._sharing)
        self._schedules[kind] = schedule
        return schedule

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            text = "The poll schedule failed; each delay without it is %g s."
            logger.error(text, BROKEN_SCHEDULE_DELAY, exc_info=error)


def early_look_delay(job: WatchedJob, now: float, shortest: float) -> float:
    """Return the maximum delay in seconds while a submission waits for a job to end."""
    return max(shortest, EARLY_LOOK_FRACTION * (now - job.born))


def _schedule_for_audience(job: WatchedJob, audience: Audience, now: float) -> None:
    """Set the time of the next look at a job with readers that want frequent looks.

    `due` remains the time by the schedule, so that it does not count the looks in between.
    """
    interval = audience.interval()
    if interval == math.inf:
        job.audience = None
    else:
        audience.due = min(job.due, now + max(SHORTEST_DELAY, interval))


def _by_estimate(job: WatchedJob, estimate: float, delay: float) -> float:
    # The jitter only adds: a look before the estimated end would be wasted.
    estimate = min(estimate, LONGEST_ESTIMATE) * (1.0 + JITTER * random.random())
    return min(estimate, delay) if job.looks else estimate
