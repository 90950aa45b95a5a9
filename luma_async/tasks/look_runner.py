"""LookRunner: looks at a batch of jobs, and plans their next looks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import anyio

from luma_async.errors import LumaError
from luma_async.tasks.hinted_looks import HintedLooks
from luma_async.tasks.job_log import counted, log_look
from luma_async.tasks.look_plan import LookPlan
from luma_async.tasks.look_results import LookResults
from luma_async.tasks.looks import Looks, News
from luma_async.tasks.watched_job import WatchedJob

logger = logging.getLogger("luma_async")

LAST_LOOK = 5.0
"""Seconds that a look may take beyond the `task_timeout` of a job in it."""


class LookRunner:
    """Looks at batches of jobs that are due, from the request to the next entry on the agenda.

    Args:
        looks: the status requests.
        watched: the watched jobs by id.
        results: updates the jobs.
        plan: plans their next looks.
        hinted: the looks that callbacks ask for.
        task_timeout: seconds after which an unfinished job is no longer watched.
        longest_look: seconds that a look can take by itself. Only if a job has less time left, the
            look is given a timeout of its own.
        time_out: called with a job whose time is up.
        put_for_readers: called with a job and the time, if the job is looked at only for its
            readers.

    """

    def __init__(
        self,
        looks: Looks,
        watched: Mapping[str, WatchedJob],
        results: LookResults,
        plan: LookPlan,
        hinted: HintedLooks,
        *,
        task_timeout: float,
        longest_look: float,
        time_out: Callable[[WatchedJob], None],
        put_for_readers: Callable[[WatchedJob, float], None],
    ) -> None:
        self._looks = looks
        self._watched = watched
        self._results = results
        self._plan = plan
        self._hinted = hinted
        self._task_timeout = task_timeout
        self._longest_look = longest_look
        self._time_out = time_out
        self._put_for_readers = put_for_readers

    async def look(self, batch: list[WatchedJob], clock: Callable[[], float]) -> float:
        """Look at a batch of jobs, and return the time at the end of the look."""
        began = clock()
        asked = self._hinted.begin(batch, began) if self._hinted else ()
        time_is_up = min([job.since for job in batch]) + self._task_timeout
        known = {job.id: job.mark for job in batch}
        news: News | None = None
        again_in = math.inf
        try:
            if time_is_up - began > self._longest_look:
                news = await self._looks.poll(known, self._watched)
            else:
                with anyio.CancelScope(deadline=max(time_is_up, began) + LAST_LOOK):
                    news = await self._looks.poll(known, self._watched)
            if news is not None:  # else its time was up
                again_in = self._results.process(batch, news, clock())
        except Exception:
            logger.exception("A look failed. Still watched: %s.", counted(len(batch)))
        if asked:
            self._hinted.end(asked, news)
        now = clock()
        log_look(len(batch), None if news is None else news.values(), now - began)
        self._reschedule(batch, news, began, now, again_in)
        return now

    def _reschedule(
        self,
        batch: list[WatchedJob],
        news: News | None,
        began: float,
        now: float,
        again_in: float,
    ) -> None:
        """Put the jobs of a look back on the agenda, and stop watching those whose time is up.

        The next look is in `again_in` seconds at the latest.
        """
        latest = now - self._task_timeout
        for job in batch:
            if job.due <= began:
                job.looks += 1
            if news is not None and not (news and isinstance(news.get(job.id), LumaError)):
                job.looked = now
            if job.since <= latest:
                self._time_out(job)
        running = [job for job in batch if not job.task.done()]
        for_readers = [job for job in running if job.for_readers]
        if for_readers:
            running = [job for job in running if not job.for_readers]
            for job in for_readers:
                self._put_for_readers(job, now)
        self._plan.put(running, now, again_in=again_in)
