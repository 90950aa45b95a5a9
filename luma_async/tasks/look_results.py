"""LookResults: updates watched jobs from the results of looks, and gives up lost ones."""

from __future__ import annotations

import logging
import math

from luma_async.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    LumaError,
    NotFoundError,
)
from luma_async.generation import Generation, State, lacks_output
from luma_async.tasks.api_key_rejections import APIKeyRejections
from luma_async.tasks.batch_answer import NewStatus
from luma_async.tasks.job_log import counted, log_further_ids, shown_ids
from luma_async.tasks.job_telemetry import JobTelemetry
from luma_async.tasks.looks import News
from luma_async.tasks.timing import Timing
from luma_async.tasks.watched_job import WatchedJob
from luma_async.telemetry.semantic_names import log_attributes
from luma_async.transport import AccountLimit

logger = logging.getLogger("luma_async")

WARN_EVERY = 60.0
"""Seconds between two warnings about failing looks."""


class LookResults:
    """Rules by which the result of a look changes the watched jobs.

    A status updates the handle of its job. A job that is not found for `lost_after` seconds counts
    as lost. A completed job without an output counts as running for `link_timeout` seconds. All
    jobs are given up if the API key is rejected for good. Other errors are logged, and the jobs
    stay watched.

    Attributes:
        missing: time by job id since which a job is not found.
        silent: `True` to log no more errors, because the client is being closed.

    """

    def __init__(
        self,
        watched: dict[str, WatchedJob],
        timing: Timing,
        account: AccountLimit,
        telemetry: JobTelemetry,
        *,
        link_timeout: float,
        lost_after: float,
    ) -> None:
        self.missing: dict[str, float] = {}
        self.silent = False
        self._watched = watched
        self._timing = timing
        self._account = account
        self._telemetry = telemetry
        self._link_timeout = link_timeout
        self._lost_after = lost_after
        self._rejections = APIKeyRejections()
        self._failing = False
        self._quiet_until = 0.0

    @property
    def _is_failing(self) -> bool:
        """`True` if the latest looks failed, so that a good look without news changes the state."""
        return bool(self.missing) or self._failing or self._rejections.count > 0

    def process(self, batch: list[WatchedJob], news: News, now: float) -> float:
        """Process the results of a look, and return the maximum delay until the next one.

        Jobs without news keep their state.
        """
        self._telemetry.polled(batch, news)
        if not news and not self._is_failing:
            return math.inf
        if self.missing:
            for known in batch:
                if not isinstance(news.get(known.id), NotFoundError):
                    self.missing.pop(known.id, None)
        if (rejection := _rejection(batch, news)) is not None:
            return self._process_rejection(rejection, news, now)
        self._rejections.reset()
        for id, seen in news.items():
            job = self._watched.get(id)
            if job is None:
                continue  # no longer watched
            if isinstance(seen, NewStatus):
                self.observe(job, seen, now)
            elif isinstance(seen, NotFoundError):
                self._miss(job, seen, now)
        self._report(news, now)
        return math.inf

    def _process_rejection(self, rejection: LumaError, news: News, now: float) -> float:
        """Process a rejection of the API key: look again soon, or stop watching if it is final."""
        if not self._rejections.add(now):
            self._report(news, now)
            pause = self._rejections.probe_in(now)
            return math.inf if pause is None else pause
        self._rejections.reset()
        self._failing = False
        error = _lasting(rejection, self._rejections.final_after)
        jobs = list(self._watched.values())
        logger.warning(
            "%s No longer watched: %s (%s). LumaClient.watch(id) watches a job again.",
            *(error, counted(len(jobs)), shown_ids([job.id for job in jobs])),
        )
        log_further_ids([job.id for job in jobs if job.task.key is None])
        for job in jobs:
            job.task.abandon(error)
        return math.inf

    def observe(self, job: WatchedJob, seen: NewStatus, now: float) -> None:
        """Update a job from a new status, and teach the schedule its duration if it completed."""
        if seen.generation.state.terminal and job.without_output_since is None:
            self._account.job_ended(now)
        generation = self._without_early_completion(job, seen.generation, now)
        # A completion that was held back must be read again, though its row may be the same.
        job.mark = seen.mark if generation is seen.generation else None
        job.task.observe(generation)
        self._telemetry.changed(job)
        if job.submitted_here and job.task.state is State.COMPLETED:
            completed = now if job.without_output_since is None else job.without_output_since
            self._timing.learn(job.kind, completed - job.since)

    def _without_early_completion(
        self, job: WatchedJob, seen: Generation, now: float
    ) -> Generation:
        """Return a completed job without an output as running, until `link_timeout` is over."""
        if not seen.state.terminal:
            job.without_output_since = None
        if not lacks_output(seen):
            return seen
        if job.without_output_since is None:
            job.without_output_since = now
        if now - job.without_output_since < self._link_timeout:
            return as_running(seen)
        logger.warning(
            "Job %s is completed, but the server has sent no link to an output for %g s. "
            "The link may come later: LumaClient.watch(%r) looks for it again.",
            seen.id,
            self._link_timeout,
            seen.id,
            extra=log_attributes(seen.id, job.task.key),
        )
        return seen

    def _miss(self, job: WatchedJob, error: NotFoundError, now: float) -> None:
        if now - self.missing.setdefault(job.id, now) >= self._lost_after:
            job.task.abandon(_lasting(error, self._lost_after))

    def _report(self, news: News, now: float) -> None:
        """Log that looks fail, at most once a minute, and later that they work again."""
        error = next((look for look in news.values() if isinstance(look, LumaError)), None)
        if error is None or isinstance(error, NotFoundError):
            if self._failing and error is None:
                self._failing = False
                watched = counted(len(self._watched))
                logger.warning("The server answers again. Still watched: %s.", watched)
        elif not self.silent and now >= self._quiet_until:
            self._failing = True
            self._quiet_until = now + WARN_EVERY
            logger.warning("%s Still watched: %s.", error, counted(len(self._watched)))


def as_running(generation: Generation) -> Generation:
    """Return a copy of a generation in the state processing."""
    return generation.model_copy(update={"state": State.PROCESSING})


def _rejection(batch: list[WatchedJob], news: News) -> LumaError | None:
    """Return the error of a look in which all jobs were rejected, else `None`."""
    rejection: LumaError | None = None
    for job in batch:
        seen = news.get(job.id)
        if not isinstance(seen, AuthenticationError | ConfigurationError):
            return None
        rejection = seen
    return rejection


def _lasting(error: LumaError, seconds: float) -> LumaError:
    """Return a copy of an error that tells how long it has lasted."""
    if not isinstance(error, APIError):
        return error
    return type(error)(
        f"{error.message.rstrip('. ')} (for {seconds:g} s now)",
        status=error.status,
        call=error.call,
        code=error.code,
        request_id=error.request_id,
    )
