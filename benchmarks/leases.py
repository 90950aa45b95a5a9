"""Leases: jobs that three processes watch, of which two are killed, and jobs that ten resume.

`python -m benchmarks.leases HOW URL JOURNAL NAME JOBS` is one of the processes. `serve` submits so
many jobs, and serves the journal, and `resume` resumes the jobs of the journal.
It prints "ready", then the id of each job that has ended with the time, and goes on until it is
ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import new_journal
from benchmarks.gateway import GatewayProcess, gateway
from benchmarks.programs import command
from benchmarks.row import Row
from luma_async import LumaClient, VideoTask
from tests.journal.databases import execute
from tests.journal.postgres import Server, running_postgres

JOBS = 500
MEDIAN = 60.0
"""Median of the durations of jobs, in real seconds."""

KILL_AFTER = 40.0
"""Seconds after the submissions until two processes are killed. A ninth of the jobs has ended."""

PATIENCE = 600.0
RESUMING = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of all processes.

    Attributes:
        lateness: seconds from the end of each job until the first process knew it.
        polls: number of jobs in all looks, for each job.
        known: number of processes that knew the end of a job, on average.

    """

    lateness: list[float]
    polls: float
    known: float


class Program:
    """One of the processes, and the time at which it knew the end of each job."""

    def __init__(self, how: str, url: str, journal: str, name: str, jobs: int) -> None:
        line = command("leases", how, url, journal, name, jobs)
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        self.known: dict[str, float] = {}
        self._reader = threading.Thread(target=self._read)

    def wait_until_ready(self) -> None:
        """Return after the jobs are submitted, or resumed."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        self._reader.start()

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the process by a signal."""
        self._process.send_signal(number)
        self._process.wait()
        if self._reader.is_alive():
            self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            id, moment = line.split()
            self.known[id] = float(moment)


async def run(how: str, url: str, journal: str, name: str, jobs: int) -> None:
    """Submit jobs and serve the journal, or resume its jobs, until SIGTERM."""

    def tell(task: VideoTask) -> None:
        if task.state.terminal:
            print(task.id, time.time(), flush=True)

    async with LumaClient("benchmark-key", base_url=url, journal=journal) as luma:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
        if how == "resume":
            tasks = await luma.resume()
        else:
            tasks = await asyncio.gather(
                *(luma.generate(f"cat {number}", key=f"{name}-{number}") for number in range(jobs))
            )
        for task in tasks:
            task.add_done_callback(tell)
        print("ready", flush=True)
        if how == "serve":
            async for task in luma.serve():
                task.add_done_callback(tell)
        else:
            await asyncio.Event().wait()


def rows() -> Iterator[Row]:
    """Measure processes that are killed, over HTTP and TLS, and processes that all resume."""
    with running_postgres() as server, ThreadPoolExecutor() as pool:
        one = pool.submit(_serving, server, processes=1)
        killed = {
            "": pool.submit(_serving, server, kills=2),
            ", TLS": pool.submit(_serving, server, kills=2, tls=True),
            ", on other machines": pool.submit(_serving, server, kills=2, elsewhere=True),
        }
        for about, future in killed.items():
            yield from _rows_of_killed(about, future.result(), one.result())
        alone = pool.submit(_resuming, server, processes=1)
        all_of_them = pool.submit(_resuming, server, processes=RESUMING)
        yield _row_of_resuming(all_of_them.result(), alone.result())


def _rows_of_killed(about: str, three: Measured, one: Measured) -> Iterator[Row]:
    what = f"{JOBS} jobs of 3 processes, 2 of them killed{about}"
    latest = max(three.lateness, default=PATIENCE)
    yield Row(
        f"{what}: longest time from the end of a job until it is known",
        f"{latest:.1f} s ({len(three.lateness)} jobs; one process: {max(one.lateness):.1f} s)",
        "at most 30 s",
        latest <= 30.0 and len(three.lateness) == JOBS,
    )
    ratio = three.polls / one.polls
    yield Row(
        f"{what}: polls for a job, compared with one process",
        f"{ratio:.2f} ({three.polls:.1f} against {one.polls:.1f})",
        "at most 1.3",
        ratio <= 1.3,
    )


def _row_of_resuming(ten: Measured, one: Measured) -> Row:
    ratio = ten.polls / one.polls
    return Row(
        f"resume() of {JOBS} jobs in {RESUMING} processes: polls for a job, compared with one",
        f"{ratio:.2f} ({ten.polls:.1f} against {one.polls:.1f}; {ten.known:.1f} of the processes "
        f"knew the end of a job, the first after {max(ten.lateness):.1f} s at most)",
        "at most 1.3",
        ratio <= 1.3 and ten.known == RESUMING,
    )


def _serving(
    server: Server,
    *,
    processes: int = 3,
    kills: int = 0,
    tls: bool = False,
    elsewhere: bool = False,
) -> Measured:
    """Let processes submit all jobs and serve the journal, and kill some of them."""
    with gateway(median=MEDIAN, tls=tls) as sim, new_journal(server) as place, ExitStack() as stack:
        shares = [JOBS // processes + (number < JOBS % processes) for number in range(processes)]
        programs = [
            Program("serve", sim.url, place, f"process-{number}", jobs)
            for number, jobs in enumerate(shares)
        ]
        for program in programs:
            stack.callback(program.end)
            program.wait_until_ready()
        if elsewhere:  # so that only the heartbeats tell
            asyncio.run(execute(place, "UPDATE luma_owners SET host = 'elsewhere'"))
        if kills:
            time.sleep(KILL_AFTER)
        for program in programs[:kills]:
            program.end(signal.SIGKILL)
        return _measured(sim, programs, {job["id"] for job in sim.ledger()["jobs"]})


def _resuming(server: Server, *, processes: int) -> Measured:
    """Let processes resume the jobs of one that has ended."""
    with gateway(median=MEDIAN) as sim, new_journal(server) as place, ExitStack() as stack:
        first = Program("serve", sim.url, place, "first", JOBS)
        first.wait_until_ready()
        first.end(signal.SIGKILL)
        before = sim.jobs_looked_at()
        programs = [Program("resume", sim.url, place, "", 0) for _ in range(processes)]
        for program in programs:
            stack.callback(program.end)
            program.wait_until_ready()
        ids = {job["id"] for job in sim.ledger()["jobs"]}
        return _measured(sim, programs, ids, all_know=True, before=before)


def _measured(
    sim: GatewayProcess,
    programs: list[Program],
    ids: set[str],
    *,
    all_know: bool = False,
    before: int = 0,
) -> Measured:
    """Wait until the processes know all ends, and return the result."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        known = [program.known.copy() for program in programs]
        if all_know and all(ids <= each.keys() for each in known):
            break
        if not all_know and ids <= {id for each in known for id in each}:
            break
        time.sleep(0.5)
    jobs: list[dict[str, Any]] = sim.ledger()["jobs"]
    lateness = [
        max(min(moments) - job["ends_at"], 0.0)
        for job in jobs
        if (moments := [each[job["id"]] for each in known if job["id"] in each])
    ]
    number = sum(len(each) for each in known) / len(jobs)
    return Measured(lateness, (sim.jobs_looked_at() - before) / len(jobs), number)


if __name__ == "__main__":
    how, url, place, name, jobs = sys.argv[1:]
    asyncio.run(run(how, url, place, name, int(jobs)))
