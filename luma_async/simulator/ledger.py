"""Ledger: accepted jobs and statistics of requests, for assertions in tests."""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from luma_async.simulator.clock import Clock
from luma_async.simulator.simulated_jobs import SimulatedJob


class Ledger:
    """Record of everything that a simulator accepted and answered.

    Attributes:
        jobs: all accepted jobs in order. Each of them would have been billed.
        requests: number of requests for each call.
        statuses: number of answers with each HTTP status (444: cut without an answer).
        most_requests: maximum number of API requests that were in flight at once.
        most_jobs: maximum number of jobs that were running at once.
        jobs_looked_at: number of jobs in all status requests. A batch counts once for each of its
            ids.
        connections: number of connections that were opened.
        sent: byte ranges of each file that were sent, in order, by `id/name`; ends are excluded.
        idempotency_keys: `Idempotency-Key` and `X-Request-Id` of each submission, in order.
        keys_seen_by_media: all `Authorization` headers that the media host received.

    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._in_flight = 0
        self._by_id: dict[str, SimulatedJob] = {}
        self._counting = threading.Lock()  # a test in another thread counts running jobs as well
        self.jobs: list[SimulatedJob] = []
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.most_requests: int = 0
        self.most_jobs: int = 0
        self.jobs_looked_at = 0
        self.connections = 0
        self.sent: dict[str, list[tuple[int, int]]] = {}
        self.idempotency_keys: list[tuple[str | None, str | None]] = []
        self.keys_seen_by_media: list[str] = []

    def find(self, id: str) -> SimulatedJob | None:
        """Return the job with this id, or `None` if it is not found."""
        return self._by_id.get(id)

    def running(self) -> int:
        """Return the number of running jobs."""
        with self._counting:
            now = self._clock.now()
            while self._ends and self._ends[0] <= now:
                heapq.heappop(self._ends)
            return len(self._ends)

    def place_in_queue(self, job: SimulatedJob) -> int | None:
        """Return the place of a job among those that wait to start, or `None` if it has started."""
        now = self._clock.now()
        if job.starts_at <= now:
            return None
        before, started = (bisect_left(self._starts, time) for time in (job.starts_at, now))
        return before - started + 1

    def take(self, job: SimulatedJob) -> None:
        """Add an accepted job."""
        del self._starts[: bisect_left(self._starts, self._clock.now())]
        insort(self._starts, job.starts_at)
        self.jobs.append(job)
        self._by_id[job.id] = job
        running = self.running() + 1
        with self._counting:
            heapq.heappush(self._ends, job.ends_at)
        self.most_jobs = max(self.most_jobs, running)

    @contextmanager
    def request(self, call: str) -> Iterator[None]:
        """Count a request, and treat it as in flight within the context."""
        self.requests[call] += 1
        self._in_flight += 1
        self.most_requests = max(self.most_requests, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def summary(self, *, jobs: bool = True) -> dict[str, Any]:
        """Return the ledger as a JSON object, with or without the list of jobs."""
        listed = self.jobs if jobs else []
        return {
            "jobs": [
                {
                    "id": job.id,
                    "api": job.api,
                    "type": job.type,
                    "prompt": job.prompt,
                    "request": dict(job.request),
                    "parent": job.parent.id if job.parent else None,
                    "taken_at": self._clock.real(job.taken_at),
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
