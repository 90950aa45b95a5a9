"""One process: the jobs that it can submit and hold, with a PostgreSQL journal and over TLS.

The jobs take as long as real ones, so this takes a quarter of an hour. It needs PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import flow, held
from benchmarks.row import Row
from benchmarks.timed_server import Settings, timed_server
from luma_async.dialects import DialectName
from tests.journal.postgres import running_postgres

MEBIBYTE = 2**20
MINUTE = 60.0
DURATION = 60.0
BEFORE, SECONDS = 100.0, 20.0
FEW = 10.0
"""Submissions a second of a process that is not busy."""

LONGEST_DELAY = 0.05
HELD = (10_000, 30_000, 100_000)
LONG_DURATION, SPREAD = 300.0, 0.35


@dataclass(frozen=True, slots=True)
class _Server:
    """Kind of server, with the submissions a second that fill about half a core."""

    name: str
    dialect: DialectName
    busy: float
    has_batch: bool = True


SERVERS = (
    _Server("a gateway with status requests for 100 jobs", "gateway", 150.0),
    _Server("a gateway with status requests for one job", "gateway", 60.0, has_batch=False),
    _Server("Luma's Agents API", "agents", 60.0),
)


def rows() -> Iterator[Row]:
    """Measure jobs at steady rates, then running jobs in large numbers."""
    for server in SERVERS:
        yield _row_of_flow(server, FEW, _flow(server, FEW))
        busy = _flow(server, server.busy)
        yield _row_of_flow(server, server.busy, busy, LONGEST_DELAY)
        cost = busy.cpu / busy.jobs
        yield Row(
            f"Jobs a minute that fill one core, from the CPU time of a job above: {server.name}",
            f"{MINUTE / cost:,.0f} ({cost * 1000:.1f} ms for a job)",
        )
    for jobs in HELD:
        yield _row_of_held(jobs)


def _flow(server: _Server, rate: float) -> flow.Measured:
    with (
        running_postgres() as postgres,
        timed_server(Settings(DURATION, has_batch=server.has_batch)) as running,
    ):
        journal = postgres.url("postgres")
        settings = flow.Settings(running.url, journal, rate, BEFORE, SECONDS, server.dialect)
        return flow.measure(settings)


def _row_of_flow(
    server: _Server, rate: float, measured: flow.Measured, longest: float | None = None
) -> Row:
    return Row(
        f"CPU of a process that submits {rate * MINUTE:,.0f} jobs of a minute each minute and "
        f"awaits them: {server.name}",
        f"{measured.cpu / measured.seconds:.0%} of a core, {measured.cpu / measured.jobs * 1e3:.1f}"
        f" ms for a job, {measured.memory / MEBIBYTE:.0f} MiB, {measured.running:,.0f} jobs at a "
        f"time; {_delay(measured)}, mean lateness {measured.lateness:.2f} s",
        "" if longest is None else f"a delay of at most {longest * 1000:.0f} ms",
        None if longest is None else measured.delay <= longest,
    )


def _row_of_held(jobs: int) -> Row:
    with running_postgres() as postgres, timed_server(Settings(LONG_DURATION)) as running:
        journal = postgres.url("postgres")
        asyncio.run(held.fill(journal, running.url, jobs, LONG_DURATION, SPREAD))
        measured = held.measure(running.url, journal, SECONDS)
    return Row(
        f"CPU of a process that has resumed {jobs:,} running jobs of five minutes",
        f"{measured.cpu / measured.seconds:.0%} of a core with {measured.jobs:,.0f} jobs at a time,"
        f" {measured.memory:,.0f} bytes of memory for each; {_delay(measured)}",
    )


def _delay(measured: flow.Measured | held.Measured) -> str:
    return (
        f"p99 of the event loop's delay {measured.delay * 1000:.0f} ms "
        f"(CPU time: {measured.delay_cpu * 1000:.0f} ms)"
    )
