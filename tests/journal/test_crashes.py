"""Killed at any moment, a program goes on where it was: no job is lost, none is paid for twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from luma_async import SQLJournal
from luma_async.journal import Entry
from luma_async.simulator import Fault, LogNormal, Simulator
from luma_async.testing import running_simulator
from tests.journal.workers import worker

JOBS = 50


def kill_and_run_on(
    sim: Simulator, place: str, first: int, *, kills: int, chance: random.Random
) -> int:
    """Have fifty jobs made by a program that is killed so many times; return the uncertain ones."""
    last = first + JOBS
    for _ in range(kills):
        with worker(sim.url, place, first, last) as running:
            running.begin()
            time.sleep(chance.uniform(0.0, 0.5))  # the moment is what is tried out
            running.kill()
            running.results()
    with worker(sim.url, place, first, last) as running:
        running.begin()
        results = running.results()

    uncertain = {entry.key for entry in asyncio.run(_uncertain(place))}
    billed = Counter(job.prompt for job in sim.ledger.jobs)
    ids = {job.prompt: job.id for job in sim.ledger.jobs}
    assert set(results) == {f"row-{number}" for number in range(first, last)}
    for number in range(first, last):
        id, error = results[f"row-{number}"]
        prompt = f"cat {number}"
        if f"row-{number}" in uncertain:
            assert error == "SubmissionUncertainError"
            assert billed[prompt] <= 1
        else:
            assert error is None
            assert billed[prompt] == 1
            assert id == ids[prompt]
    return sum(f"row-{number}" in uncertain for number in range(first, last))


async def _uncertain(place: str) -> list[Entry]:
    async with SQLJournal(place) as journal:
        return await journal.uncertain()


@contextmanager
def slow_simulator() -> Iterator[Simulator]:
    """Run a gateway that takes its time before and after it takes a job."""
    with running_simulator(durations=LogNormal(0.5), short_side=90) as sim:
        sim.faults.add(Fault.slow(0.03), Fault.slow(0.03, after=True))
        yield sim


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("kills", [2, pytest.param(4, marks=pytest.mark.long)])
def test_a_program_that_is_killed_pays_for_each_job_once(place: str, kills: int) -> None:
    """SIGKILL at random moments, the same keys again: each job once, or reported as uncertain."""
    chance = random.Random(4)
    with slow_simulator() as sim:
        kill_and_run_on(sim, place, 0, kills=kills, chance=chance)


@pytest.mark.long
def test_two_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The long form, on SQLite."""
    chance = random.Random()
    place = str(tmp_path / "jobs.db")
    uncertain = 0
    with slow_simulator() as sim:
        for campaign in range(50):
            uncertain += kill_and_run_on(sim, place, campaign * JOBS, kills=4, chance=chance)
    with capsys.disabled():
        print(f"200 kills, {50 * JOBS} jobs, {uncertain} of them uncertain")  # noqa: T201
