"""Several who ask for the same at once: it is paid for once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from luma_async import VideoTask
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import connect
from tests.journal.workers import worker


@pytest.mark.parametrize("keys", [100, pytest.param(500, marks=pytest.mark.long)])
def test_two_processes_with_the_same_keys_pay_once(place: str, keys: int) -> None:
    """So many keys each, at once: as many jobs, and both have all of their results."""
    with running_simulator(durations=Fixed(0.3), short_side=90) as sim:
        with worker(sim.url, place, 0, keys) as one, worker(sim.url, place, 0, keys) as other:
            one.begin()
            other.begin()
            results, same_results = one.results(), other.results()

        jobs = {f"row-{job.prompt.removeprefix('cat ')}": job.id for job in sim.ledger.jobs}
        assert len(sim.ledger.jobs) == len(jobs) == keys
        assert results == same_results == {key: (id, None) for key, id in jobs.items()}


async def test_one_process_that_asks_twice_at_once_pays_once(place: str) -> None:
    """Both get the same handle."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, journal=place) as luma:
        sim.faults.add(Fault.slow(0.1))

        handles = await asyncio.gather(*(luma.generate("a cat", key="cat") for _ in range(5)))

        assert len(set(map(id, handles))) == 1
        assert len(sim.ledger.jobs) == 1
        await handles[0]


async def test_two_clients_share_a_journal(place: str) -> None:
    """The second watches what the first submits, and waits until its id is known."""
    async with (
        Simulator(durations=Fixed(0.2)) as sim,
        connect(sim, journal=place) as one,
        connect(sim, journal=place) as other,
    ):
        sim.faults.add(Fault.slow(0.3))

        first, second = await asyncio.gather(
            one.generate("a cat", key="cat"), other.generate("a cat", key="cat")
        )

        assert first is not second
        assert (await first).id == (await second).id
        assert len(sim.ledger.jobs) == 1


async def test_a_refused_submission_leaves_the_key_to_the_other(place: str) -> None:
    """Who waited for the first one's submission makes its own, as that was not taken."""
    async with (
        Simulator(durations=Fixed(0.0)) as sim,
        connect(sim, journal=place) as one,
        connect(sim, journal=place) as other,
    ):
        sim.faults.add(Fault(status=422, body=b'{"error": {"message": "no"}}', delay=0.3, times=1))

        results = await asyncio.gather(
            one.generate("a cat", key="cat"),
            other.generate("a cat", key="cat"),
            return_exceptions=True,
        )

        assert Counter(type(result) for result in results)[VideoTask] == 1
        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
async def test_jobs_without_a_key_never_meet(place: str) -> None:
    """Ten of the same are ten jobs, each under a key of its own."""
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim, journal=place) as luma:
        handles = await asyncio.gather(*(luma.generate("a cat") for _ in range(10)))

        assert len({task.key for task in handles}) == len(sim.ledger.jobs) == 10
