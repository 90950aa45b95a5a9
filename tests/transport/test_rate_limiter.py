"""The pace: how many requests a second a server bears, found out by its refusals."""

from __future__ import annotations

import asyncio
import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luma_async.simulator import Variant
from luma_async.simulator.answers import Answers, Links
from luma_async.simulator.rate_limit import RateLimit
from luma_async.simulator.simulated_jobs import Clock
from luma_async.transport.rate_limiter import DECREASE, DOUBT, RETURN, SLOWEST, Brake, Pace
from tests.clients import HOUR
from tests.loops import JumpingLoop


def cut(requests: int = 20, seconds: int = 5, at: float = 100.0) -> Pace:
    """Return a pace after a server took so many requests a second, and refused one."""
    pace = Pace()
    for second in range(seconds):
        for _ in range(requests):
            pace.taken(at - seconds + second)
    refuse(pace, at)
    return pace


def refuse(pace: Pace, at: float, times: int = 1) -> bool:
    """Refuse requests, and return whether that is believed to be a limit."""
    for _ in range(times):
        pace.refused(at - 0.1)
    return pace.judge(at)


def take(pace: Pace, requests: int, at: float) -> None:
    """Let a server take requests."""
    for _ in range(requests):
        pace.taken(at)


def test_there_is_no_pace_until_the_first_refusal() -> None:
    """Nobody waits for a turn where nobody was refused."""
    pace = Pace()
    for _ in range(1000):
        pace.taken(5.0)

    assert not pace.is_limited
    assert pace.turn(5.0) == 5.0


def test_after_a_refusal_it_is_a_little_less_than_what_the_server_took() -> None:
    """It comes back to that in its time, stays near it, and then looks for more."""
    pace = cut(requests=20)

    assert pace.rate(100.0) == pytest.approx(20 * DECREASE)
    assert pace.rate(100.0 + RETURN) == pytest.approx(20)
    assert 19.9 < pace.rate(100.0 + RETURN * 0.8) < 20
    assert 20 < pace.rate(100.0 + RETURN * 1.2) < 20.1
    assert pace.rate(100.0 + RETURN * 3) > 30


def test_turns_are_as_far_apart_as_the_pace_says() -> None:
    """Each is given to one request."""
    pace = cut(requests=20)

    turns = [pace.turn(100.0) for _ in range(10)]

    gaps = [later - sooner for sooner, later in pairwise(turns)]
    assert turns[0] == 100.0
    assert gaps == pytest.approx([1 / (20 * DECREASE)] * 9, rel=0.01)


def test_requests_that_were_on_their_way_do_not_cut_it_again() -> None:
    """Sixteen refusals of one burst are one lesson."""
    pace = cut(requests=20)
    before = pace.rate(100.5)

    assert not any(pace.refused(99.9) for _ in range(15))
    assert pace.rate(100.5) == before


def test_a_server_that_took_nothing_says_nothing_of_its_pace() -> None:
    """It is waited for, as it asks, and then asked as before."""
    pace = Pace()

    assert refuse(pace, 100.0)
    assert not pace.is_limited


def test_a_refusal_at_the_new_pace_cuts_it_further() -> None:
    """From what it was then."""
    pace = cut(requests=20)

    take(pace, 10, 100.9)
    assert refuse(pace, 101.0)

    assert pace.rate(101.0) < 20 * DECREASE


def test_pauses_do_not_count_as_what_the_server_took() -> None:
    """A bot that sends ten at once each now and then is not held to one a second."""
    pace = Pace()
    for second in (91, 94, 97, 100):
        take(pace, 10, float(second))
    refuse(pace, 100.5)

    assert pace.rate(100.5) == pytest.approx(10 * DECREASE)


def test_it_ends_when_it_has_grown_beyond_all_need() -> None:
    """One refusal is not remembered for ever."""
    pace = cut(requests=20)

    pace.turn(100.0 + 20 * RETURN)

    assert not pace.is_limited


def test_a_single_refusal_at_the_beginning_tells_nothing() -> None:
    """After nine requests in a few milliseconds nobody knows how many a server takes a second."""
    pace = Pace()
    take(pace, 9, 100.0)

    assert not refuse(pace, 100.2)
    assert not pace.is_limited


def test_many_refusals_at_the_beginning_are_a_limit() -> None:
    """A burst was used up."""
    pace = Pace()
    take(pace, 20, 100.0)

    assert refuse(pace, 100.2, times=12)
    assert pace.rate(100.2) == pytest.approx(20 * DECREASE)


def test_cuts_that_end_no_refusals_are_undone() -> None:
    """One in ten refused at random does not lead a pace to its floor."""
    pace, now = cut(requests=20), 100.0
    for _ in range(2):
        now += 1.0
        take(pace, 10, now - 0.1)
        assert refuse(pace, now)

    take(pace, 10, now + 0.9)
    now += 1.0
    assert not refuse(pace, now)

    assert not pace.is_limited
    take(pace, 10, now + 0.9)
    assert not refuse(pace, now + 1.0)


def test_cuts_that_end_refusals_stay() -> None:
    """A refusal at the old pace again, long after, is that of a limit."""
    pace, now = cut(requests=20), 100.0
    for _ in range(5):
        now += RETURN * 1.1
        take(pace, 20, now - 0.5)
        assert refuse(pace, now)

    assert 10 < pace.rate(now) < 20


def test_many_refusals_are_believed_whatever_was_doubted() -> None:
    """A real limit may follow upon refusals at random."""
    pace, now = cut(requests=20), 100.0
    for _ in range(3):
        now += 1.0
        take(pace, 10, now - 0.1)
        refuse(pace, now)
    assert not pace.is_limited

    assert refuse(pace, now + DOUBT / 2, times=12)


async def test_others_go_on_when_a_refusal_came_at_random() -> None:
    """A refusal holds nothing longer than until those on their way with it are answered."""
    brake, now = Brake(), asyncio.get_running_loop().time
    for _ in range(16):
        await brake.wait()
        brake.left()
    sent = now()
    for _ in range(14):
        brake.passed(sent)
        brake.ended()
    brake.press(HOUR, sent=sent)
    brake.ended()
    waiting = asyncio.create_task(brake.wait())
    await asyncio.sleep(0)
    assert brake.is_held

    brake.passed(sent)
    brake.ended()

    async with asyncio.timeout(60):
        await waiting
    assert brake.is_off


async def test_a_refusal_is_a_limit_where_nothing_else_was_taken() -> None:
    """As the server asks, nothing leaves."""
    brake, sent = Brake(), asyncio.get_running_loop().time()
    brake.left()
    brake.press(HOUR, sent=sent)
    brake.ended()

    assert brake.is_held


async def submit(
    jobs: int, *, rate: float, refused_at_random: float = 0.0, seed: int = 0
) -> tuple[int, float]:
    """Return how often a server of that rate refused, and how many seconds all of it took."""
    now = asyncio.get_running_loop().time
    clock = Clock(1.0)
    answers = Answers(Variant(), clock, Links(clock, lifetime=60.0))
    server, brake = RateLimit(answers, rate=rate, now=now), Brake()
    refusals, left = 0, jobs
    chance = random.Random(seed)

    async def work() -> None:
        nonlocal refusals, left
        while left:
            left -= 1
            await brake.wait()
            sent = now()
            brake.left()
            await asyncio.sleep(0.02)
            refusal = server.refuse()
            if refusal is None and chance.random() >= refused_at_random:
                brake.passed(sent)
            else:
                seconds = 1.0 if refusal is None else float(refusal.headers["Retry-After"])
                brake.press(seconds, sent=sent)
                refusals += 1
                left += 1
            brake.ended()

    await asyncio.gather(*(work() for _ in range(16)))
    return refusals, now()


def test_a_client_at_its_limit_uses_most_of_it() -> None:
    """After the first refusals, of what was in flight, it is hardly refused again."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        refusals, seconds = runner.run(submit(1000, rate=40.0))

    assert 0 < refusals <= 16
    assert 1000 / (40.0 * seconds) > 0.8


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_refusals_at_random_cost_no_more_than_their_share(seed: int) -> None:
    """With one in ten refused, 3,000 requests take at most five times as long as with none."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        _, undisturbed = runner.run(submit(3000, rate=1e9))
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        refusals, seconds = runner.run(submit(3000, rate=1e9, refused_at_random=0.1, seed=seed))

    assert 200 < refusals < 500
    assert seconds <= 5 * undisturbed


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_it_never_stands_still(steps: list[tuple[float, bool]]) -> None:
    """Whatever is refused when, the pace stays positive, and turns never go back."""
    pace, now, last = Pace(), 0.0, -math.inf
    for seconds, is_refused in steps:
        now += seconds
        turn = max(pace.turn(now), now)
        assert turn >= now
        if is_refused:
            pace.refused(now)
            pace.judge(now)
            last = now
        else:
            pace.taken(now)
        assert pace.rate(now) >= SLOWEST * DECREASE * 0.999
    assert last <= now
