"""Acceptance: rejects or takes submissions, in the same way for each API."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from aiohttp import web

from luma_async.simulator.callbacks import Callbacks
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.next_jobs import NextJobs, Rejection
from luma_async.simulator.simulated_jobs import JobFactory, JobSpec, SimulatedJob


class Acceptance:
    """Account that all APIs submit to, with its balance and its maximum number of jobs.

    Args:
        ledger: record of the accepted jobs.
        maker: factory of the jobs.
        callbacks: sender of callbacks.
        next_jobs: orders of a test for the next jobs.
        credits: number of jobs until the balance is used up.
        max_jobs: number of running jobs from which on submissions are rejected.
        full_for: `Retry-After` of such a rejection in seconds; the one of the API if not given.
        knows_repeats: `True` if a repeated `Idempotency-Key` is answered with the first job.

    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        maker: JobFactory,
        callbacks: Callbacks,
        next_jobs: NextJobs,
        credits: int | None,
        max_jobs: int | None,
        full_for: float | None,
        knows_repeats: bool,
    ) -> None:
        self._ledger = ledger
        self._maker = maker
        self._callbacks = callbacks
        self._next_jobs = next_jobs
        self.credits = credits
        self._max_jobs = max_jobs
        self._full_for = full_for
        self._knows_repeats = knows_repeats
        self._jobs_by_key: dict[str, SimulatedJob] = {}  # by `Idempotency-Key`

    def rejection(self, *, empty: Rejection, full: Rejection) -> Rejection | None:
        """Return the rejection of a valid submission, or `None` if it can be taken.

        Orders of a test come first. `empty` and `full` are the API's own rejections when the
        balance is used up, and when too many jobs are running.
        """
        if (ordered := self._next_jobs.rejections.take()) is not None:
            return ordered
        if self.credits is not None and self.credits <= 0:
            return empty
        if self._max_jobs is not None and self._ledger.running() >= self._max_jobs:
            if self._full_for is not None:
                return dataclasses.replace(full, retry_after=self._full_for)
            return full
        return None

    def take(
        self,
        request: web.Request,
        spec: JobSpec,
        *,
        answer: Callable[[SimulatedJob], web.Response],
        describe: Callable[[SimulatedJob], Any] | None = None,
    ) -> web.Response:
        """Make the job of a submission, and return the answer of its API.

        `describe` returns the body of callbacks.
        """
        key = request.headers.get("Idempotency-Key")
        if self._knows_repeats and key is not None and key in self._jobs_by_key:
            return answer(self._jobs_by_key[key])
        if self.credits is not None:
            self.credits -= 1
        job = self._maker.make(
            spec,
            failure=self._next_jobs.failures.take(),
            delay=self._next_jobs.delays.take() or 0.0,
        )
        self._ledger.take(job)
        if key is not None:
            self._jobs_by_key[key] = job
        if spec.hook is not None and describe is not None:
            self._callbacks.follow(job, spec.hook, describe)
        if self._next_jobs.losses.take():
            return DroppedAnswer(request)
        return answer(job)


class DroppedAnswer(web.Response):
    """Response to a request whose connection is cut. Only the ledger sees its status 444."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(status=444)
        if request.transport is not None:
            request.transport.abort()
