"""The pace: how many requests a second a server bears, found out by its refusals."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async.simulator import Variant
from luma_async.simulator.answers import Answers, Links
from luma_async.simulator.jobs import Clock
from luma_async.simulator.rate_limit import RateLimit
from luma_async.transport.brake import Brake
from luma_async.transport.pace import DECREASE, RETURN, SLOWEST, Pace
from tests.loops import JumpingLoop


def cut(requests: int = 20, seconds: int = 5, at: float = 100.0) -> Pace:
    """Return a pace after a server took so many requests a second, and refused one."""
    pace = Pace()
    for second in range(seconds):
        for _ in range(requests):
            pace.taken(at - seconds + second)
    pace.refused(at, sent=at - 0.1)
    return pace


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

    for _ in range(15):
        pace.refused(100.2, sent=99.9)

    assert pace.rate(100.5) == before


def test_a_server_that_took_nothing_says_nothing_of_its_pace() -> None:
    """It is waited for, as it asks, and then asked as before."""
    pace = Pace()

    pace.refused(100.0, sent=99.9)

    assert not pace.is_limited


def test_a_refusal_at_the_new_pace_cuts_it_further() -> None:
    """From what it was then."""
    pace = cut(requests=20)

    pace.refused(101.0, sent=100.9)

    assert pace.rate(101.0) < 20 * DECREASE


def test_pauses_do_not_count_as_what_the_server_took() -> None:
    """A bot that sends ten at once each now and then is not held to one a second."""
    pace = Pace()
    for second in (92, 96, 100):
        for _ in range(10):
            pace.taken(float(second))
    pace.refused(100.5, sent=100.4)

    assert pace.rate(100.5) == pytest.approx(10 * DECREASE)


def test_it_ends_when_it_has_grown_beyond_all_need() -> None:
    """One refusal is not remembered for ever."""
    pace = cut(requests=20)

    pace.turn(100.0 + 20 * RETURN)

    assert not pace.is_limited


async def submit(jobs: int, *, rate: float) -> tuple[int, float]:
    """Return how often a server of that rate refused, and how many seconds all of it took."""
    now = asyncio.get_running_loop().time
    clock = Clock(1.0)
    answers = Answers(Variant(), clock, Links(clock, lifetime=60.0))
    server, brake = RateLimit(answers, rate=rate, now=now), Brake()
    refusals, left = 0, jobs

    async def work() -> None:
        nonlocal refusals, left
        while left:
            left -= 1
            await brake.wait()
            sent = now()
            await asyncio.sleep(0.02)
            if (refusal := server.refuse()) is None:
                brake.passed(sent)
            else:
                brake.press(float(refusal.headers["Retry-After"]), sent=sent)
                refusals += 1
                left += 1

    await asyncio.gather(*(work() for _ in range(16)))
    return refusals, now()


def test_a_client_at_its_limit_uses_most_of_it() -> None:
    """After the first refusals, of what was in flight, it is hardly refused again."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        refusals, seconds = runner.run(submit(1000, rate=40.0))

    assert 0 < refusals <= 16
    assert 1000 / (40.0 * seconds) > 0.8


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_it_never_stands_still(steps: list[tuple[float, bool]]) -> None:
    """Whatever is refused when, the pace stays positive, and turns never go back."""
    pace, now, last = Pace(), 0.0, -math.inf
    for seconds, is_refused in steps:
        now += seconds
        turn = max(pace.turn(now), now)
        assert turn >= now
        if is_refused:
            pace.refused(now, sent=now)
            last = now
        else:
            pace.taken(now)
        assert pace.rate(now) >= SLOWEST * DECREASE * 0.999
    assert last <= now
