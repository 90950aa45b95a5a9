"""Rate limiter: the rate is learned from the refusals of a server, and stays below its limit."""

from __future__ import annotations

import asyncio
import math
import random
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async.simulator import Variant
from luma_async.simulator.answers import Answers, SignedLinks
from luma_async.simulator.clock import Clock
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.rate_limit import RateLimit
from luma_async.transport.rate_limiter import (
    DECREASE,
    MIN_RATE,
    RANDOM_TIME,
    RECOVERY,
    AdaptiveRate,
    RateLimiter,
)
from tests.clients import HOUR
from tests.loops import JumpingLoop


def reduced(requests: int = 20, seconds: int = 5, at: float = 100.0) -> AdaptiveRate:
    """Return the rate after a server accepted so many requests a second, and refused one."""
    rate = AdaptiveRate()
    for second in range(seconds):
        for _ in range(requests):
            rate.succeeded(at - seconds + second)
    refuse(rate, at)
    return rate


def refuse(rate: AdaptiveRate, at: float, times: int = 1) -> bool:
    """Refuse requests, and return `True` if that counts as a limit."""
    for _ in range(times):
        rate.rejected(at - 0.1)
    return rate.judge(at)


def succeed(rate: AdaptiveRate, requests: int, at: float) -> None:
    """Let requests succeed."""
    for _ in range(requests):
        rate.succeeded(at)


def test_there_is_no_rate_until_the_first_refusal() -> None:
    """No request waits for a slot where none was refused."""
    rate = AdaptiveRate()
    for _ in range(1000):
        rate.succeeded(5.0)

    assert not rate.is_limited
    assert rate.reserve(5.0) == 5.0


def test_after_a_refusal_it_is_a_little_less_than_the_server_accepted() -> None:
    """It comes back to that in its time, stays near it, and then looks for more."""
    rate = reduced(requests=20)

    assert rate.rate(100.0) == pytest.approx(20 * DECREASE)
    assert rate.rate(100.0 + RECOVERY) == pytest.approx(20)
    assert 19.9 < rate.rate(100.0 + RECOVERY * 0.8) < 20
    assert 20 < rate.rate(100.0 + RECOVERY * 1.2) < 20.1
    assert rate.rate(100.0 + RECOVERY * 3) > 30


def test_slots_are_as_far_apart_as_the_rate_says() -> None:
    """Each is given to one request."""
    rate = reduced(requests=20)

    slots = [rate.reserve(100.0) for _ in range(10)]

    gaps = [later - sooner for sooner, later in pairwise(slots)]
    assert slots[0] == 100.0
    assert gaps == pytest.approx([1 / (20 * DECREASE)] * 9, rel=0.01)


def test_requests_that_were_in_flight_do_not_reduce_it_again() -> None:
    """Sixteen refusals of one burst count as one."""
    rate = reduced(requests=20)
    before = rate.rate(100.5)

    assert not any(rate.rejected(99.9) for _ in range(15))
    assert rate.rate(100.5) == before


def test_a_server_that_accepted_nothing_says_nothing_of_its_limit() -> None:
    """It is waited for, as it asks, and then asked as before."""
    rate = AdaptiveRate()

    assert refuse(rate, 100.0)
    assert not rate.is_limited


def test_a_refusal_at_the_new_rate_reduces_it_further() -> None:
    """From what it was then."""
    rate = reduced(requests=20)

    succeed(rate, 10, 100.9)
    assert refuse(rate, 101.0)

    assert rate.rate(101.0) < 20 * DECREASE


def test_pauses_do_not_count_as_seconds_of_the_measured_rate() -> None:
    """A bot that sends ten at once each now and then is not held to one a second."""
    rate = AdaptiveRate()
    for second in (91, 94, 97, 100):
        succeed(rate, 10, float(second))
    refuse(rate, 100.5)

    assert rate.rate(100.5) == pytest.approx(10 * DECREASE)


def test_it_ends_when_it_has_grown_beyond_all_need() -> None:
    """One refusal is not remembered for ever."""
    rate = reduced(requests=20)

    rate.reserve(100.0 + 20 * RECOVERY)

    assert not rate.is_limited


def test_a_single_refusal_at_the_beginning_tells_nothing() -> None:
    """After nine requests in a few milliseconds the rate of the server is not known."""
    rate = AdaptiveRate()
    succeed(rate, 9, 100.0)

    assert not refuse(rate, 100.2)
    assert not rate.is_limited


def test_many_refusals_at_the_beginning_are_a_limit() -> None:
    """A burst was used up."""
    rate = AdaptiveRate()
    succeed(rate, 20, 100.0)

    assert refuse(rate, 100.2, times=12)
    assert rate.rate(100.2) == pytest.approx(20 * DECREASE)


def test_reductions_that_end_no_refusals_are_undone() -> None:
    """One in ten refused at random does not lead the rate to its minimum."""
    rate, now = reduced(requests=20), 100.0
    for _ in range(2):
        now += 1.0
        succeed(rate, 10, now - 0.1)
        assert refuse(rate, now)

    succeed(rate, 10, now + 0.9)
    now += 1.0
    assert not refuse(rate, now)

    assert not rate.is_limited
    succeed(rate, 10, now + 0.9)
    assert not refuse(rate, now + 1.0)


def test_reductions_that_end_refusals_stay() -> None:
    """A refusal at the old rate again, long after, is that of a limit."""
    rate, now = reduced(requests=20), 100.0
    for _ in range(5):
        now += RECOVERY * 1.1
        succeed(rate, 20, now - 0.5)
        assert refuse(rate, now)

    assert 10 < rate.rate(now) < 20


def test_many_refusals_are_believed_whatever_was_doubted() -> None:
    """A real limit may follow upon refusals at random."""
    rate, now = reduced(requests=20), 100.0
    for _ in range(3):
        now += 1.0
        succeed(rate, 10, now - 0.1)
        refuse(rate, now)
    assert not rate.is_limited

    assert refuse(rate, now + RANDOM_TIME / 2, times=12)


async def test_others_go_on_when_a_refusal_came_at_random() -> None:
    """A refusal holds nothing longer than until those on their way with it are answered."""
    limiter, now = RateLimiter(), asyncio.get_running_loop().time
    for _ in range(16):
        await limiter.wait()
        limiter.started()
    sent = now()
    for _ in range(14):
        limiter.succeeded(sent)
        limiter.finished()
    limiter.rejected(HOUR, sent=sent)
    limiter.finished()
    waiting = asyncio.create_task(limiter.wait())
    await asyncio.sleep(0)
    assert limiter.is_held

    limiter.succeeded(sent)
    limiter.finished()

    async with asyncio.timeout(60):
        await waiting
    assert limiter.is_open


async def test_a_refusal_is_a_limit_where_nothing_else_was_accepted() -> None:
    """As the server asks, nothing leaves."""
    limiter, sent = RateLimiter(), asyncio.get_running_loop().time()
    limiter.started()
    limiter.rejected(HOUR, sent=sent)
    limiter.finished()

    assert limiter.is_held


async def submit(
    jobs: int, *, rate: float, refused_at_random: float = 0.0, seed: int = 0
) -> tuple[int, float]:
    """Return how often a server of that rate refused, and how many seconds all of it took."""
    now = asyncio.get_running_loop().time
    clock = Clock(1.0)
    answers = Answers(Variant(), clock, SignedLinks(clock, lifetime=60.0), Ledger(clock))
    server, limiter = RateLimit(answers, rate=rate, now=now), RateLimiter()
    refusals, left = 0, jobs
    chance = random.Random(seed)

    async def work() -> None:
        nonlocal refusals, left
        while left:
            left -= 1
            await limiter.wait()
            sent = now()
            limiter.started()
            await asyncio.sleep(0.02)
            refusal = server.refuse()
            if refusal is None and chance.random() >= refused_at_random:
                limiter.succeeded(sent)
            else:
                seconds = 1.0 if refusal is None else float(refusal.headers["Retry-After"])
                limiter.rejected(seconds, sent=sent)
                refusals += 1
                left += 1
            limiter.finished()

    await asyncio.gather(*(work() for _ in range(16)))
    return refusals, now()


def test_a_client_at_its_limit_uses_most_of_it() -> None:
    """After the first refusals, of what was in flight, it is hardly refused again."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        refusals, seconds = runner.run(submit(1000, rate=40.0))

    assert 0 < refusals <= 16
    assert 1000 / (40.0 * seconds) > 0.8


@cache
def undisturbed(jobs: int) -> float:
    """Return the seconds that jobs take at a server without a limit, which are always the same."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        _, seconds = runner.run(submit(jobs, rate=1e9))
    return seconds


@pytest.mark.parametrize("seed", range(12))
def test_refusals_at_random_cost_no_more_than_their_share(seed: int) -> None:
    """With one in ten refused, 3,000 requests take at most five times as long as with none."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        refusals, seconds = runner.run(submit(3000, rate=1e9, refused_at_random=0.1, seed=seed))

    assert 200 < refusals < 500
    assert seconds <= 5 * undisturbed(3000)


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_it_never_stands_still(steps: list[tuple[float, bool]]) -> None:
    """Whatever is refused when, the rate stays positive, and slots never go back."""
    rate, now, last = AdaptiveRate(), 0.0, -math.inf
    for seconds, is_refused in steps:
        now += seconds
        slot = max(rate.reserve(now), now)
        assert slot >= now
        if is_refused:
            rate.rejected(now)
            rate.judge(now)
            last = now
        else:
            rate.succeeded(now)
        assert rate.rate(now) >= MIN_RATE * DECREASE * 0.999
    assert last <= now


def test_a_slot_that_was_not_used_is_given_back() -> None:
    """The next request leaves as if none had been planned before it."""
    rate = AdaptiveRate()
    rate._ceiling = 4.0
    rate._reduced_at = rate._next_slot = 0.0
    assert rate.reserve(0.0) == 0.0
    rate.give_back(0.0)
    assert rate.reserve(0.0) == 0.0
    assert rate.reserve(0.0) > 0.2
    rate.give_back(9.0)
    assert rate.reserve(9.0) == 9.0


async def test_a_wait_after_which_nothing_was_sent_takes_no_slot() -> None:
    """A submission may wait for its turn, and then find no free place for its job."""
    limiter = RateLimiter()
    rate = limiter._rate
    rate._ceiling = 4.0
    rate._reduced_at = rate._next_slot = asyncio.get_running_loop().time()
    await limiter.wait()
    planned = rate._next_slot
    limiter.not_sent()
    assert rate._next_slot < planned
