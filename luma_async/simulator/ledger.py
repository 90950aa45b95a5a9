"""What the server took, and how hard it was pressed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from luma_async.simulator.clock import Clock
from luma_async.simulator.simulated_jobs import Job


class Ledger:
    """The books of the simulator.

    Attributes:
        jobs: every job that was taken, and so billed, in order.
        requests: how often each call came.
        statuses: how often each HTTP status was answered (444: cut off without an answer).
        most_requests: the most API requests that were in flight at once.
        most_jobs: the most jobs that were running at once.
        jobs_looked_at: how many jobs were asked for, a batch counting as many as it names.
        connections: how many connections were opened.
        sent: which bytes of each file were sent, in order, by `id/name`; the end is excluded.
        idempotency_keys: the `Idempotency-Key` and `X-Request-Id` of every submission, in order.
        keys_seen_by_media: every `Authorization` header that reached the media host.

    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: list[float] = []
        self._in_flight = 0
        self._by_id: dict[str, Job] = {}
        self.jobs: list[Job] = []
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.most_requests = 0
        self.most_jobs = 0
        self.jobs_looked_at = 0
        self.connections = 0
        self.sent: dict[str, list[tuple[int, int]]] = {}
        self.idempotency_keys: list[tuple[str | None, str | None]] = []
        self.keys_seen_by_media: list[str] = []

    def find(self, id: str) -> Job | None:
        """Return a job by its id."""
        return self._by_id.get(id)

    def running(self) -> int:
        """Return how many jobs are running now."""
        now = self._clock.now()
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def take(self, job: Job) -> None:
        """Write down a job."""
        self.jobs.append(job)
        self._by_id[job.id] = job
        running = self.running() + 1
        heapq.heappush(self._ends, job.ends_at)
        self.most_jobs = max(self.most_jobs, running)

    @contextmanager
    def request(self, call: str) -> Iterator[None]:
        """Count a request while it is in flight."""
        self.requests[call] += 1
        self._in_flight += 1
        self.most_requests = max(self.most_requests, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def summary(self, *, jobs: bool = True) -> dict[str, Any]:
        """Return the books as JSON can carry them, with or without the jobs themselves."""
        listed = self.jobs if jobs else []
        return {
            "jobs": [
                {
                    "id": job.id,
                    "request": dict(job.request),
                    "parent": job.parent.id if job.parent else None,
                    "ends_at": self._clock.real(job.ends_at),
                }
                for job in listed
            ],
            "requests": dict(self.requests),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "most_requests": self.most_requests,
            "most_jobs": self.most_jobs,
            "jobs_looked_at": self.jobs_looked_at,
            "connections": self.connections,
        }
