"""Requests a minute in a sliding window: the limit is used, and hardly anything is rejected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from luma_async import LumaClient, RateLimitError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.transport.rate_limiter import LARGE_ALLOWANCE, SILENCE, RateLimiter
from tests.clients import KEY
from tests.loops import HurryingLoop, JumpingLoop, in_a_hurry

LIMIT = 10
FIRST_BURST = 15
"""Submissions that are in flight before the first answer reports the limit."""


def limited(loop: HurryingLoop, limit: int = LIMIT, **settings: Any) -> Simulator:
    """Return a server with a limit, whose clock skips the same times as the loop."""
    sim = Simulator(max_per_minute=limit, durations=Fixed(5.0), short_side=64, **settings)
    loop.on_skip.append(sim.advance)
    return sim


def client(sim: Simulator) -> LumaClient:
    return LumaClient(KEY, base_url=sim.url, dialect="agents")


async def submit(luma: LumaClient, jobs: int, *, every: float = 0.0) -> None:
    """Submit jobs, all at once or one in so many seconds."""

    async def one(number: int) -> None:
        await asyncio.sleep(number * every)
        (await luma.generate(f"a cat, number {number}")).forget()

    await asyncio.gather(*(one(number) for number in range(jobs)))


def used_part(sim: Simulator, limit: int) -> float:
    """Return the used part of the limit, from the first minute to the last job."""
    moments = sorted(job.taken_at for job in sim.ledger.jobs)
    later = [moment for moment in moments if moment > 60.0]
    return (len(moments) - limit) / ((later[-1] - 60.0) / 60.0 * limit)


def test_a_burst_uses_the_whole_limit() -> None:
    """Requests that left together age out together, so that many may follow at once."""

    async def test(loop: HurryingLoop) -> None:
        async with limited(loop) as sim:
            async with client(sim) as luma:
                await submit(luma, 4 * LIMIT)

            assert len(sim.ledger.jobs) == 4 * LIMIT
            assert used_part(sim, LIMIT) >= 0.9
            assert sim.ledger.statuses[429] <= FIRST_BURST - LIMIT

    in_a_hurry(test)


@pytest.mark.parametrize(("limit", "every"), [(LIMIT, 5.0), (60, 0.8)])
def test_places_that_come_back_one_by_one_are_used_one_by_one(limit: int, every: float) -> None:
    """When the window is full, one submission leaves when a place is free, and not all that wait.

    A quick client would be rejected once for each of those, and would give up after `max_tries`.
    """

    async def test(loop: HurryingLoop) -> None:
        async with limited(loop, limit) as sim:
            async with client(sim) as luma:
                await submit(luma, 3 * limit, every=every)

            assert len(sim.ledger.jobs) == 3 * limit
            assert used_part(sim, limit) >= 0.9
            assert sim.ledger.statuses[429] <= 1

    in_a_hurry(test)


def test_clients_that_share_a_limit_lose_no_job() -> None:
    """Another client may be faster each time, so these rejections do not count as tries."""

    async def test(loop: HurryingLoop) -> None:
        async with limited(loop) as sim:
            async with client(sim) as one, client(sim) as other, client(sim) as third:
                jobs = 12
                await asyncio.gather(*(submit(each, jobs, every=4) for each in (one, other, third)))

            assert len(sim.ledger.jobs) == 3 * jobs
            assert used_part(sim, LIMIT) >= 0.9
            assert sim.ledger.statuses[429] <= 2 * len(sim.ledger.jobs)

    in_a_hurry(test)


def test_a_full_account_and_a_full_minute_together_lose_no_job() -> None:
    """A submission that waits for a job to end takes no place of the minute meanwhile."""

    async def test(loop: HurryingLoop) -> None:
        async with limited(loop, max_jobs=2) as sim:
            async with client(sim) as luma:
                await asyncio.gather(*(luma.run(f"a cat {number}") for number in range(24)))

            assert len(sim.ledger.jobs) == 24
            assert sim.ledger.most_jobs == 2
            # The first burst used up a minute for two jobs.
            last = max(job.taken_at for job in sim.ledger.jobs)
            assert last <= 60.0 + 22 / LIMIT * 60.0 / 0.9

    in_a_hurry(test)


def test_a_quota_of_a_day_is_an_error_in_minutes() -> None:
    """A program does not hang until tomorrow."""

    async def test(loop: HurryingLoop) -> None:
        headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "80000"))
        body = json.dumps({"detail": "Rate limit exceeded"}).encode()
        async with limited(loop, 100) as sim, client(sim) as luma:
            sim.faults.add(Fault(on=["agents.generate"], status=429, body=body, headers=headers))
            began = loop.time()
            with pytest.raises(RateLimitError):
                await luma.generate("a cat")

            assert loop.time() - began < 11 * 60

    in_a_hurry(test)


def jumping(test: Callable[[RateLimiter], Coroutine[Any, Any, None]]) -> None:
    """Run a test of a rate limiter in a loop that skips all waits."""

    async def run() -> None:
        await test(RateLimiter("submissions"))

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())


async def leave(limiter: RateLimiter, requests: int) -> list[float]:
    """Send so many requests that are never answered, and return the times at which they leave."""
    times: list[float] = []

    async def one() -> None:
        await limiter.wait()
        limiter.started()
        times.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(one() for _ in range(requests)))
    return times


def test_no_more_requests_leave_than_remain() -> None:
    """Beyond these, one leaves in a while, in case the answers that report more are lost."""

    async def test(limiter: RateLimiter) -> None:
        limiter.started()
        limiter.allowed(3, 60.0, sent=0.0)

        assert await leave(limiter, 5) == [0.0, 0.0, 0.0, SILENCE, 2 * SILENCE]

    jumping(test)


def test_requests_in_flight_count_among_those_that_remain() -> None:
    """The server may not have seen them when it reported the number."""

    async def test(limiter: RateLimiter) -> None:
        for _ in range(3):
            limiter.started()
        limiter.allowed(4, 60.0, sent=0.0)

        assert await leave(limiter, 3) == [0.0, 0.0, SILENCE]

    jumping(test)


def test_one_request_leaves_first_when_none_remained() -> None:
    """After the pause, its answer says how many may follow."""

    async def test(limiter: RateLimiter) -> None:
        limiter.started()
        limiter.allowed(0, 60.0, sent=0.0)
        limiter.finished()
        left = asyncio.create_task(leave(limiter, 4))
        await asyncio.sleep(60.5)
        limiter.allowed(9, 60.0, sent=60.0)

        assert await left == [60.0, 60.5, 60.5, 60.5]

    jumping(test)


def test_a_request_that_was_answered_without_a_number_is_followed_by_one() -> None:
    """Such as by a 422, which a server may send before it counts anything."""

    async def test(limiter: RateLimiter) -> None:
        limiter.started()
        limiter.exhausted(10.0)
        limiter.finished()
        left = asyncio.create_task(leave(limiter, 2))
        await asyncio.sleep(10.25)
        limiter.finished()

        assert await left == [10.0, 10.25]

    jumping(test)


def test_a_place_that_was_not_used_is_given_back() -> None:
    """Such as that of a submission that had to wait for another reason."""

    async def test(limiter: RateLimiter) -> None:
        limiter.exhausted(10.0)
        await limiter.wait()
        limiter.not_sent()

        assert await leave(limiter, 1) == [10.0]

    jumping(test)


def test_a_large_allowance_is_not_counted() -> None:
    """Requests leave without a wait then."""

    async def test(limiter: RateLimiter) -> None:
        limiter.started()
        limiter.allowed(1, 60.0, sent=0.0)
        assert not limiter.is_open
        limiter.allowed(LARGE_ALLOWANCE, 60.0, sent=0.0)
        await limiter.wait()

        assert limiter.is_open

    jumping(test)
