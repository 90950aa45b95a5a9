"""Accounts with few jobs at once: no place stays free for long, and none is asked for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from luma_async import LumaClient, SubmissionStoppedError
from luma_async.simulator import Fixed, Simulator, Variant
from tests.clients import KEY, until
from tests.loops import HurryingLoop, in_a_hurry

PLACES = 3
SECONDS = 5.0
FIRST_BURST = 15
"""Submissions that are in flight before the first of them is rejected, with 16 requests at once."""


def simulator(loop: HurryingLoop, **settings: Any) -> Simulator:
    """Return a server with few places, whose clock skips the same times as the loop."""
    settings = {"durations": Fixed(SECONDS), "max_jobs": PLACES, "full_for": 60, **settings}
    sim = Simulator(variant=Variant(batch="404"), short_side=64, **settings)
    loop.on_skip.append(sim.advance)
    return sim


def client(sim: Simulator, dialect: Any = "agents") -> LumaClient:
    """Return a client as users have it: with the adaptive schedule and without `max_tasks`."""
    return LumaClient(KEY, base_url=sim.url, dialect=dialect)


async def make(luma: LumaClient, jobs: int) -> None:
    """Make jobs, all at once."""

    async def one(number: int) -> None:
        assert (await luma.run(f"a cat, number {number}")).state == "completed"

    await asyncio.gather(*(one(number) for number in range(jobs)))


def idle_seconds(sim: Simulator) -> list[float]:
    """Return how long each place was free before the next job took it."""
    jobs = sim.ledger.jobs
    taken, freed = sorted(job.taken_at for job in jobs), sorted(job.ends_at for job in jobs)
    return [later - free for later, free in zip(taken[PLACES:], freed, strict=False)]


@pytest.mark.parametrize("dialect", ["agents", "dream-machine", "gateway"])
def test_no_job_waits_long_for_a_place_and_none_asks_in_vain(dialect: str) -> None:
    """Twenty jobs of 5 s in three places, with looks at one job each: at most 2 s for a place.

    After the first burst, a submission is sent for each job that ended, and one a minute.
    """

    async def test(loop: HurryingLoop) -> None:
        async with simulator(loop) as sim:
            async with client(sim, dialect) as luma:
                began = loop.time()
                await make(luma, 20)
                seconds = loop.time() - began

            assert len(sim.ledger.jobs) == 20
            assert sim.ledger.most_jobs == PLACES
            assert max(idle_seconds(sim)) <= 2.0
            assert seconds <= 45.0
            freed = 20 - PLACES
            sent = 20 + sim.ledger.statuses[429]
            assert sent <= FIRST_BURST + freed + seconds // 60

    in_a_hurry(test)


@pytest.mark.parametrize("is_first_alone", [False, True])
def test_clients_share_the_places_of_an_account(is_first_alone: bool) -> None:
    """Each client is let in by the ends of its own jobs, and one without a job once a minute.

    A client that was first may have all places. No end of a job tells the others then.
    """

    async def test(loop: HurryingLoop) -> None:
        async with simulator(loop) as sim:
            async with client(sim) as one, client(sim) as other, client(sim) as third:
                began = loop.time()
                for first in (one, one, one) if is_first_alone else (one, other, third):
                    await first.generate("a dog")
                await asyncio.gather(make(one, 5), make(other, 5), make(third, 5))
                seconds = loop.time() - began

            assert len(sim.ledger.jobs) == 18
            assert max(idle_seconds(sim)) <= (61.0 if is_first_alone else 2.0)
            assert sim.ledger.statuses[429] <= 15 + 18 - PLACES + 3 * (seconds // 60)

    in_a_hurry(test)


def test_a_client_without_a_place_asks_once_a_minute() -> None:
    """If jobs of another client fill the account, no end of a job says when to ask."""

    async def test(loop: HurryingLoop) -> None:
        async with simulator(loop, durations=Fixed(300.0)) as sim:
            async with client(sim) as other, client(sim) as luma:
                for number in range(PLACES):
                    await other.generate(f"a dog, number {number}")
                began = loop.time()
                tasks = await asyncio.gather(*(luma.generate(f"a cat {n}") for n in range(PLACES)))
                seconds = loop.time() - began

            assert {task.state for task in tasks} == {"pending"}
            assert 290 <= seconds <= 300 + 61
            assert sim.ledger.statuses[429] <= PLACES + seconds // 60

    in_a_hurry(test)


def test_a_stopped_client_leaves_the_full_account_at_once() -> None:
    """Nothing waits for a place that nobody needs, and the running jobs end as usual."""

    async def test(loop: HurryingLoop) -> None:
        async with simulator(loop) as sim, client(sim) as luma:
            running = [await luma.generate(f"a cat {number}") for number in range(PLACES)]
            waiting = asyncio.gather(*_generate(luma, 4), return_exceptions=True)
            await until(lambda: luma._submission_transport.account.has_waiters)
            luma.stop_submitting()

            assert {type(error) for error in await waiting} == {SubmissionStoppedError}
            assert [(await task).state for task in running] == ["completed"] * PLACES
            assert len(sim.ledger.jobs) == PLACES

    in_a_hurry(test)


def _generate(luma: LumaClient, jobs: int) -> list[Coroutine[Any, Any, Any]]:
    return [luma.generate(f"a cow {number}") for number in range(jobs)]
