"""Fleet: one limit for the jobs of several processes that share a journal.

`python -m benchmarks.fleet URL JOURNAL NAME JOBS SPEED MAX_TASKS SCOPE` is one of the processes. It
prints "ready", begins when it reads a line, and prints the measured values as JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, cast

from benchmarks.gateway import gateway
from benchmarks.programs import outputs_of
from benchmarks.row import Row
from luma_async import AdaptiveSchedule, LumaClient
from luma_async.client_settings import MaxTasksScope
from tests.journal.databases import execute
from tests.journal.postgres import Server, running_postgres

PROCESSES = 4
LIMIT = 20
JOBS = 1_000
SPEED = 20.0
"""Simulated seconds per real second. Jobs take 3 s instead of a minute, so that the time in which a
place is empty weighs twenty times as much as it does in reality."""

REPETITIONS = 3
_databases = count()


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of one process: its completed jobs, and the CPU seconds for all of them."""

    completed: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """Result of all processes, and the running jobs as the gateway saw them.

    `mean_running` is the time-weighted mean from the first to the last accepted job: while there
    were jobs to submit.
    """

    processes: list[Measured]
    most_running: int
    mean_running: float
    accepted: int

    @property
    def completed(self) -> int:
        """Number of completed jobs."""
        return sum(process.completed for process in self.processes)

    @property
    def cpu_per_job(self) -> float:
        """CPU time for a job in milliseconds."""
        return sum(process.cpu for process in self.processes) / self.completed * 1e3


async def run(url: str, journal: str, name: str, jobs: int, speed: float, **limit: Any) -> Measured:
    """Run jobs with job keys, and measure this process."""
    schedule = AdaptiveSchedule(
        0.25 / speed, shortest=1.0 / speed, longest=30.0 / speed, expected=60.0 / speed
    )
    async with LumaClient(
        "benchmark-key", base_url=url, journal=journal, schedule=schedule, **limit
    ) as luma:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        began = time.process_time()
        completed = 0
        rows = ((f"{name}-{number}", f"cat {number}") for number in range(jobs))
        async for outcome in luma.run_many(rows):
            completed += outcome.ok
        return Measured(completed, time.process_time() - began)


def rows() -> Iterator[Row]:
    """Measure the limit over HTTP and TLS, and its cost compared with limits of each process."""
    with running_postgres() as server:
        for tls in (False, True):
            yield from _limit(server, tls=tls)
        yield _cost(server)


def _limit(server: Server, *, tls: bool) -> Iterator[Row]:
    fleet = _fleet(server, JOBS, SPEED, LIMIT, "journal", tls=tls)
    about = f"{PROCESSES} processes on one PostgreSQL journal, {JOBS:,} jobs, limit {LIMIT}"
    about += ", TLS" if tls else ""
    is_complete = fleet.completed == fleet.accepted == JOBS
    yield Row(
        f"{about}: jobs that ran at once, at most",
        f"{fleet.most_running} ({fleet.completed:,} completed)",
        f"at most {LIMIT}",
        fleet.most_running <= LIMIT and is_complete,
    )
    yield Row(
        f"{about}: jobs that ran at once on average while there was work",
        f"{fleet.mean_running:.2f} (jobs of {60 / SPEED:g} s)",
        "at least 18",
        fleet.mean_running >= 18 and is_complete,
    )


def _cost(server: Server) -> Row:
    """Compare one limit for all processes with a fourth of it for each, in turns."""
    costs: dict[str, list[float]] = {"client": [], "journal": []}
    for _ in range(REPETITIONS):
        for scope, found in costs.items():
            limit = LIMIT if scope == "journal" else LIMIT // PROCESSES
            found.append(_fleet(server, JOBS // 2, 3 * SPEED, limit, scope).cpu_per_job)
    own, shared = (statistics.median(found) for found in costs.values())
    return Row(
        f"CPU for a job with one limit for {PROCESSES} processes, beyond that with own limits, at "
        f"{LIMIT * 3 * SPEED / 60:.0f} jobs a second",
        f"{shared - own:.2f} ms ({shared:.2f} ms against {own:.2f} ms)",
    )


def _fleet(
    server: Server, jobs: int, speed: float, limit: int, scope: str, *, tls: bool = False
) -> Fleet:
    """Run all processes at once on a journal of their own."""
    with gateway(median=60.0, speed=speed, tls=tls) as sim, new_journal(server) as place:
        each = jobs // PROCESSES
        outputs = outputs_of(
            "fleet",
            [
                (sim.url, place, f"process-{number}", each, speed, limit, scope)
                for number in range(PROCESSES)
            ],
        )
        books = sim.ledger()
    return Fleet(
        [Measured(**json.loads(output)) for output in outputs],
        books["most_jobs"],
        _mean_running(books["jobs"]),
        len(books["jobs"]),
    )


def _mean_running(jobs: list[dict[str, Any]]) -> float:
    """Return the time-weighted mean of running jobs until the last one was accepted."""
    first = min(job["taken_at"] for job in jobs)
    last = max(job["taken_at"] for job in jobs)
    running = sum(min(job["ends_at"], last) - job["taken_at"] for job in jobs)
    return float(running / (last - first))


@contextmanager
def new_journal(server: Server) -> Iterator[str]:
    """Create a database for a journal, yield its URL, and remove it at the end."""
    name = f"fleet_{next(_databases)}"
    superuser = server.url("postgres")
    asyncio.run(execute(superuser, f"CREATE DATABASE {name}"))
    yield server.url(name)
    asyncio.run(execute(superuser, f"DROP DATABASE {name} WITH (FORCE)"))


if __name__ == "__main__":
    url, place, name, jobs, speed, max_tasks, scope = sys.argv[1:]
    measured = asyncio.run(
        run(
            url,
            place,
            name,
            int(jobs),
            float(speed),
            max_tasks=int(max_tasks),
            max_tasks_scope=cast("MaxTasksScope", scope),
        )
    )
    print(json.dumps(asdict(measured)))
