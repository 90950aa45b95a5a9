"""UnpolledJobs: followed jobs, whose ends another process reports, so that none is polled here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from luma_async.tasks.agenda import Agenda
from luma_async.tasks.watched_job import WatchedJob

_MOST_STALE = 1000
"""Number of jobs that are followed no longer, and stay on the agenda until it is made anew."""


class UnpolledJobs:
    """Registry of followed jobs. It gives each one up when its time is up.

    Args:
        timeout: seconds for which a job is watched, counted from `WatchedJob.since`.
        time_out: called with a job whose time is up. The job is still in the registry.

    """

    def __init__(self, timeout: float, time_out: Callable[[WatchedJob], None]) -> None:
        self._timeout = timeout
        self._time_out = time_out
        self._jobs: dict[str, WatchedJob] = {}
        self._agenda: Agenda[WatchedJob] = Agenda(self._is_over)
        self._planned = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, id: str) -> bool:
        return id in self._jobs

    def __iter__(self) -> Iterator[WatchedJob]:
        return iter(self._jobs.values())

    def get(self, id: str) -> WatchedJob | None:
        """Return a followed job, or `None` if the job is not followed."""
        return self._jobs.get(id)

    def add(self, job: WatchedJob) -> None:
        """Follow a job."""
        self._jobs[job.id] = job
        self._planned += 1
        if self._planned > 2 * len(self._jobs) + _MOST_STALE:
            self._agenda.clear()
            self._planned = len(self._jobs)
            for each in self._jobs.values():
                self._agenda.add(each, each.since + self._timeout)
        else:
            self._agenda.add(job, job.since + self._timeout)
        self._set_timer()

    def pop(self, id: str) -> WatchedJob | None:
        """Follow a job no longer, and return it; `None` if it is not followed."""
        job = self._jobs.pop(id, None)
        if not self._jobs:
            self.clear()
        return job

    def clear(self) -> None:
        """Follow no job any more."""
        self._jobs.clear()
        self._agenda.clear()
        self._planned = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        due = self._agenda.next_due()
        if due is None or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._end_overdue)

    def _end_overdue(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while (due := self._agenda.next_due()) is not None and due <= now:
            for job in self._agenda.take(now, 1):
                self._time_out(job)
        self._set_timer()

    def _is_over(self, job: WatchedJob) -> bool:
        return self._jobs.get(job.id) is not job
