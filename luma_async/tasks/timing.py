"""Timing: when a watched job is due, from what the schedule says of it."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from luma_async.schedules.schedule import PollSchedule, ScheduleByKind
from luma_async.tasks.agenda import Agenda
from luma_async.tasks.watched_job import Watch

logger = logging.getLogger("luma_async")

SHORTEST_DELAY = 0.01
"""Seconds between two looks at a job, whatever the schedule says."""

JITTER = 0.05
"""The part of a delay by which it is longer or shorter than the schedule says, at most: clients
that were started together shall not look together for ever."""

LONGEST_ESTIMATE = 300.0
"""Seconds; a server's estimate of more moves the first look to here."""

ESTIMATED_LOOKS = 3
"""A server's estimate moves the first look, and so many in all to sooner than the schedule's: an
estimate that never changes is none."""

HURRY = 0.1
"""The part of its age by which a job grows older until the next look at it, at most, while a
submission waits for it to end."""

SHORTEST_HURRY = 0.5
"""Seconds between two requests with such looks: as long for each job where one request looks at
all of them."""

BROKEN_SCHEDULE_DELAY = 10.0
"""Seconds between two looks where the schedule raises: a slip in it costs no paid job its watch."""


@dataclass(frozen=True, slots=True)
class LinkSchedule:
    """When to look at a job that is completed and has no link to its video yet.

    The link mostly comes within seconds, so the looks begin soon; then each waits half as long
    again as the job has waited, and the last one is when its time is up.

    >>> links = LinkSchedule(timeout=120.0)
    >>> [links.next_delay(waited) for waited in (0, 1, 2, 8, 60, 118)]
    [1.0, 1.0, 1.0, 4.0, 10.0, 2.0]
    """

    timeout: float
    shortest: float = 1.0
    longest: float = 10.0

    def next_delay(self, waited: float) -> float:
        """Return how long to wait for the next look, `waited` seconds after the completion."""
        shortest = min(self.shortest, self.timeout / 100)
        longest = min(self.longest, self.timeout / 10)
        return min(max(waited / 2, shortest), longest, max(self.timeout - waited, 0.0))


class Timing:
    """Asks the schedule, and tells it what happened."""

    def __init__(self, schedule: PollSchedule, *, task_timeout: float, link_timeout: float) -> None:
        self._schedule = schedule
        self._links = LinkSchedule(link_timeout)
        self._by_kind = schedule if isinstance(schedule, ScheduleByKind) else None
        self._sharing = 1
        self._schedules: dict[str, PollSchedule] = {}  # by kind, for so many sharing
        self._task_timeout = task_timeout
        self._broke = False

    def put(
        self,
        watches: Iterable[Watch],
        agenda: Agenda[Watch],
        *,
        now: float,
        sharing: int,
        at_most: float = math.inf,
        hurry: float | None = None,
    ) -> None:
        """Put jobs on the agenda for their next look, `sharing` of which go into one request.

        That is in `at_most` so many seconds, whatever the schedule says. `hurry` is the seconds
        until the next look at most while a submission waits for a job to end, more for old jobs.
        """
        if sharing != self._sharing:
            self._sharing = sharing
            self._schedules.clear()
        for watch in watches:
            if watch.without_video_since is not None:
                delay = self._links.next_delay(now - watch.without_video_since)
            else:
                try:
                    schedule = self._schedules.get(watch.kind) or self._schedule_of(watch.kind)
                    delay = float(schedule.next_delay(now - watch.born, watch.looks))
                except Exception as error:  # noqa: BLE001  of the user's, and logged
                    delay = BROKEN_SCHEDULE_DELAY
                    self._complain(error)
                delay *= 1.0 + JITTER * (2.0 * random.random() - 1.0)
                if watch.looks < ESTIMATED_LOOKS:
                    delay = _by_estimate(watch, delay)
                if hurry is not None:
                    delay = min(delay, hurried(watch, now, hurry))
            # In this order, "not a number" comes out as the shortest delay, too.
            due = now + max(SHORTEST_DELAY, min(delay, at_most))
            watch.due = min(due, watch.since + self._task_timeout)
            agenda.add(watch, watch.due)

    @property
    def may_hurry(self) -> bool:
        """Whether looks may come sooner than the schedule says: those of a fixed one may not."""
        return self._by_kind is not None

    def learn(self, kind: str, duration: float) -> None:
        """Tell the schedule that a job of this kind took so many seconds."""
        try:
            self._schedule_of(kind).observe(duration)
        except Exception:
            logger.exception("The schedule could not learn that a job took %.1f s.", duration)

    def _schedule_of(self, kind: str) -> PollSchedule:
        schedule = self._schedule
        if self._by_kind is not None:
            schedule = self._by_kind.for_jobs(kind, self._sharing)
        self._schedules[kind] = schedule
        return schedule

    def _complain(self, error: Exception) -> None:
        if not self._broke:
            self._broke = True
            text = "The schedule broke; looks follow each %g s."
            logger.error(text, BROKEN_SCHEDULE_DELAY, exc_info=error)


def hurried(watch: Watch, now: float, hurry: float) -> float:
    """Return the longest delay until the next look while a submission waits for a job to end."""
    return max(hurry, HURRY * (now - watch.born))


def _by_estimate(watch: Watch, delay: float) -> float:
    estimate = watch.task.generation.estimate_wait_seconds
    if not estimate:
        return delay
    estimate = min(estimate, LONGEST_ESTIMATE) * (1.0 + JITTER * random.random())
    return min(estimate, delay) if watch.looks else estimate
