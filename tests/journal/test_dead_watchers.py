"""The jobs of processes that are killed or suspended go to those that still serve the journal."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from luma_async.simulator import Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import HOUR
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.databases import execute
from tests.journal.workers import ROOT


class Server:
    """A running program, and the job keys that it has answered."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.keys: list[str] = []
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n"
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.keys.append(line.split()[1])


@contextmanager
def servers(
    sim: Simulator, place: str, *submitted: int, how: str = "serve"
) -> Iterator[list[Server]]:
    """Run programs that submit so many jobs each, and serve the journal."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                ForkedProgram(
                    [*PYTHON, "-m", "tests.journal.server", sim.url, place, str(jobs), how],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                )
            )
            for jobs in submitted
        ]
        for process in processes:
            stack.callback(process.kill)
        running = [Server(process) for process in processes]
        for server in running:
            stack.callback(server.end)
        yield running


def wait_for_answers(servers: list[Server], answers: int) -> Counter[str]:
    """Wait until there are so many answers, and return the number of answers to each job."""
    until = time.monotonic() + 60
    while sum(len(server.keys) for server in servers) < answers and time.monotonic() < until:
        time.sleep(0.02)
    return Counter(key for server in servers for key in server.keys)


def wait_until_completed(place: str) -> None:
    """Wait until the journal has all jobs as completed."""
    for _ in range(600):
        found = asyncio.run(execute(place, "SELECT DISTINCT state FROM luma_jobs"))
        if found == [("completed",)]:
            return
        time.sleep(0.1)
    pytest.fail(f"the jobs of the journal are {found}")


def test_the_jobs_of_killed_processes_are_answered_once(place: str) -> None:
    """Of four processes, two are killed. The others split their jobs, and answer each once."""
    with (
        running_simulator(durations=Fixed(HOUR)) as sim,
        servers(sim, place, 10, 10, 10, 10) as four,
    ):
        four[0].signal(signal.SIGKILL)
        four[1].signal(signal.SIGKILL)
        sim.advance(HOUR)
        answers = wait_for_answers(four, 40)
        wait_until_completed(place)
        assert len(answers) == 40
        assert set(answers.values()) == {1}
        assert not four[0].keys
        assert len(four[2].keys) + len(four[3].keys) == 40


@pytest.mark.parametrize("how", ["killed", "suspended"])
def test_a_process_that_is_silent_loses_its_jobs(place: str, how: str) -> None:
    """One of another machine, about which only the heartbeat tells, or one that is suspended.

    If it goes on after all, it may answer as well. Nothing is paid for again.
    """
    with running_simulator(durations=Fixed(HOUR)) as sim, servers(sim, place, 5, 0) as two:
        silent, other = two
        if how == "killed":
            asyncio.run(execute(place, "UPDATE luma_owners SET host = 'elsewhere'"))
        silent.signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)
        sim.advance(HOUR)
        answers = wait_for_answers([other], 5)
        assert len(answers) == 5
        silent.signal(signal.SIGCONT)
        wait_until_completed(place)
        assert len(sim.ledger.jobs) == 5


def test_processes_that_resume_a_job_both_get_its_end(place: str) -> None:
    """The one that follows it answers its user as well, as without leases."""
    with running_simulator(durations=Fixed(HOUR)) as sim, servers(sim, place, 6) as [watcher]:
        with servers(sim, place, 0, how="resume") as [follower]:
            sim.advance(HOUR)
            answers = wait_for_answers([watcher, follower], 12)
            assert set(answers.values()) == {2}
            wait_until_completed(place)
