"""Several processes with one PostgreSQL journal: throughput, and the cost of sharing an account.

The clients, the server and PostgreSQL share the cores of this machine. It needs PostgreSQL.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from benchmarks import flow, worker
from benchmarks.cpu_time import cpu_time, cpu_time_of_postgres
from benchmarks.row import Row
from benchmarks.timed_server import Settings, TimedServer, timed_server
from tests.journal.postgres import Server, running_postgres

WORKERS = (1, 2, 3, 4)
JOBS, FEW_JOBS = 6_000, 240
DURATION = 1.0
NO_LIMIT, LIMIT = 100_000, 20
"""A limit that is never reached, and that of a small account."""

MOST_OVERHEAD = 1e-3
"""Maximum CPU seconds that a job may cost more because processes share a journal and its limit."""

PAIRS = 5
FLOWS, RATE, BEFORE, SECONDS = 2, 25.0, 8.0, 10.0
"""Number of processes in the comparison with separate ones, submissions a second of each, and the
seconds of a run."""

_MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class _Costs:
    """CPU seconds for a job, by the programs that cost it."""

    clients: float
    server: float
    postgres: float


@dataclass(frozen=True, slots=True)
class _Throughput:
    """Jobs a second of all processes together, with their costs."""

    rate: float
    costs: _Costs


def rows() -> Iterator[Row]:
    """Measure throughput, then compare processes that share an account with separate ones."""
    for limit, jobs in ((NO_LIMIT, JOBS), (LIMIT, FEW_JOBS)):
        alone = 0.0
        for workers in WORKERS:
            measured = _throughput(workers, jobs, limit)
            alone = alone or measured.rate
            yield _row_of_throughput(workers, limit, measured, alone)
    yield from _rows_of_overhead()


def _row_of_throughput(workers: int, limit: int, measured: _Throughput, alone: float) -> Row:
    costs = measured.costs
    return Row(
        f"Jobs a second, {workers} processes with one journal and max_tasks={limit:,} for all",
        f"{measured.rate:,.0f}, {measured.rate / alone:.2f} times that of one; CPU for a job: "
        f"clients {costs.clients / _MILLISECOND:.2f} ms, server "
        f"{costs.server / _MILLISECOND:.2f} ms, PostgreSQL {costs.postgres / _MILLISECOND:.2f} ms",
    )


def _throughput(workers: int, jobs: int, limit: int) -> _Throughput:
    with _programs() as (postgres, server):
        before = _cpu_times(postgres, server)
        measured = worker.measure_together(
            [
                worker.Settings(
                    url=server.url,
                    journal=postgres.url("postgres"),
                    name=f"worker-{number}",
                    jobs=jobs // workers,
                    max_tasks=limit,
                    scope="journal",
                )
                for number in range(workers)
            ]
        )
        after = _cpu_times(postgres, server)
    done = sum(each.jobs for each in measured)
    seconds = max(each.ended for each in measured) - min(each.began for each in measured)
    clients = sum(each.cpu for each in measured)
    of_server, of_postgres = (later - earlier for earlier, later in zip(before, after, strict=True))
    costs = _Costs(clients / done, of_server / done, of_postgres / done)
    return _Throughput(done / seconds, costs)


def _rows_of_overhead() -> Iterator[Row]:
    """Compare processes that share a journal and its limit with processes that share nothing."""
    apart: list[_Costs] = []
    together: list[_Costs] = []
    for _ in range(PAIRS):  # one after the other, so that other load disturbs both
        apart.append(_costs_of_flow(share=False))
        together.append(_costs_of_flow(share=True))
    for what, name in (("the clients", "clients"), ("PostgreSQL", "postgres")):
        alone = statistics.median(getattr(each, name) for each in apart)
        shared = statistics.median(getattr(each, name) for each in together)
        yield Row(
            f"CPU of {what} that a job costs more because {FLOWS} processes share a journal and "
            f"its limit, {RATE * FLOWS:g} jobs a second",
            f"{(shared - alone) / _MILLISECOND:.2f} ms ({shared / _MILLISECOND:.2f} ms against "
            f"{alone / _MILLISECOND:.2f} ms)",
            f"less than {MOST_OVERHEAD / _MILLISECOND:g} ms",
            shared - alone < MOST_OVERHEAD,
        )


def _costs_of_flow(*, share: bool) -> _Costs:
    with _programs() as (postgres, server):
        databases = [f"process_{number}" for number in range(FLOWS)]
        asyncio.run(_create(postgres, databases))
        before = _cpu_times(postgres, server)
        settings = [
            flow.Settings(
                url=server.url,
                journal=postgres.url(databases[0] if share else database),
                rate=RATE,
                before=BEFORE,
                seconds=SECONDS,
                name=database,
                max_tasks=NO_LIMIT,
                scope="journal" if share else "client",
            )
            for database in databases
        ]
        with ThreadPoolExecutor(FLOWS) as threads:
            measured = list(threads.map(flow.measure, settings))
        after = _cpu_times(postgres, server)
    jobs = sum(each.jobs for each in measured)
    whole = FLOWS * RATE * (BEFORE + SECONDS)
    of_server, of_postgres = (later - earlier for earlier, later in zip(before, after, strict=True))
    clients = sum(each.cpu for each in measured) / jobs
    return _Costs(clients, of_server / whole, of_postgres / whole)


@contextmanager
def _programs() -> Iterator[tuple[Server, TimedServer]]:
    settings = Settings(DURATION, sigma=0.1)
    with running_postgres() as postgres, timed_server(settings) as server:
        yield postgres, server


async def _create(postgres: Server, databases: Sequence[str]) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        for database in databases:
            await connection.execute(f"CREATE DATABASE {database}")
    finally:
        await connection.close()


def _cpu_times(postgres: Server, server: TimedServer) -> tuple[float, float]:
    return cpu_time(server.pid), cpu_time_of_postgres(postgres)
