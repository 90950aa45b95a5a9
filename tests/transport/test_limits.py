"""Limits of a client: requests in flight, the rate after a 429, sizes and timeouts."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import APITimeoutError, FixedSchedule, RateLimitError, ResponseError, ServerError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.simulator.rate_limit import RateLimit
from luma_async.transport.failures import Failed
from luma_async.transport.retry_policy import Failure, retry_delays
from tests.clients import HOUR, connect, until
from tests.loops import skip


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """The semaphore holds over submissions and looks together."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, max_requests=3) as luma:
        first = await luma.generate("a cat")
        sim.faults.add(Fault.slow(math.inf, on=["generate", "get", "tasks"]))
        asked = asyncio.gather(*(luma.generate(f"cat {n}") for n in range(20)))
        looks = asyncio.gather(*(luma.get(first.id) for _ in range(20)))

        await until(lambda: sim.ledger.most_requests == 3)
        await asyncio.sleep(0.1)
        sim.faults.clear()

        await asyncio.gather(*await asked, looks)
        assert sim.ledger.most_requests == 3


async def test_retry_after_is_a_floor() -> None:
    """The next try comes no sooner than the server asked, jitter only adds."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=1, times=1))
        start = time.monotonic()

        await luma.generate("a cat")

        assert 1.0 <= time.monotonic() - start < 60.0


async def test_retry_after_is_honoured_beside_a_503() -> None:
    """A server that says when it is back is asked no sooner."""
    body = b'{"error": {"message": "no channel", "code": "model_not_found"}}'
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault(times=1, status=503, body=body, headers=(("Retry-After", "1"),)))
        start = time.monotonic()

        await luma.generate("a cat")

        assert time.monotonic() - start >= 1.0


@given(st.lists(st.none() | st.floats(0, 120), min_size=1, max_size=8))
def test_waits_grow_and_jitter_only_adds(asked: list[float | None]) -> None:
    """Without a word of the server half of each wait is random; with one it is a floor."""
    pauses = retry_delays()
    next(pauses)
    for tries, seconds in enumerate(asked):
        pause = min(0.5 * 2**tries, 30.0)
        failed = Failed(ServerError("no", status=503), Failure.BUSY, retry_after=seconds)

        wait = pauses.send(failed)

        floor = pause / 2 if seconds is None else seconds
        assert floor <= wait <= floor + pause / 2


async def test_one_429_delays_all_submissions() -> None:
    """While the server wants quiet, other submissions wait as well."""
    async with Simulator() as sim, connect(sim, max_tries=1) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=90, times=1))
        with pytest.raises(RateLimitError) as caught:
            await luma.generate("a cat")

        asked = asyncio.gather(*(luma.generate(f"cat {n}") for n in range(5)))
        for seconds in (0.0, 30.0):
            skip(seconds)
            await asyncio.sleep(0.1)
            assert sim.ledger.requests["generate"] == 1
        skip(61.0)
        await asked

        assert caught.value.retry_after == 90.0
        assert sim.ledger.statuses == {429: 1, 200: 5}


async def test_a_client_at_its_limit_stays_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the requests in flight at the first refusal are refused, and all jobs are accepted."""
    clock = [0.0]  # of the gateway's limit: it stands still until the test moves it
    monkeypatch.setitem(RateLimit.__init__.__kwdefaults__ or {}, "now", lambda: clock[0])
    gateway = Simulator(durations=Fixed(HOUR), max_rate=40)
    no_polls = FixedSchedule(HOUR)
    async with gateway as sim, connect(sim, max_tries=10, schedule=no_polls) as luma:
        await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(40)))
        rest = asyncio.gather(*(luma.generate(f"dog {n}") for n in range(40)))
        await until(lambda: sim.ledger.statuses[429] >= 15)
        await asyncio.sleep(0.1)  # time for others to leave, which must not
        clock[0] += 1.0  # forty more are allowed
        skip(1.0)
        await rest

        # Without the rate limiter, all of the 40 that are too many are refused at least once.
        assert sim.ledger.statuses == {200: 80, 429: 15}
        assert len(sim.ledger.jobs) == 80


async def test_an_allowance_that_is_used_up_is_waited_for() -> None:
    """A server that says how much is left need not refuse anybody."""
    async with Simulator(durations=Fixed(60), max_rate=5, says_rate=True) as sim:
        async with connect(sim) as luma:
            task = await luma.generate("a cat")
            task.forget()

            for _ in range(12):
                await luma.get(task.id)

            assert sim.ledger.requests["get"] == 12
            assert 429 not in sim.ledger.statuses


def used_up(reset: str, **where: Any) -> Fault:
    """Say that no more requests are allowed."""
    headers = (("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", reset))
    body = b'{"id": "job-1", "state": "pending"}'
    return Fault(on=["generate"], status=200, body=body, headers=headers, **where)


async def test_a_reset_far_away_is_logged_and_believed_for_two_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A header that is wrong does not stop a client for a day."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(used_up("86400", times=1))
        with caplog.at_level(logging.INFO, "luma_async"):
            await luma.generate("a cat")
        asked = asyncio.gather(*(luma.generate(f"cat {number}") for number in range(3)))

        skip(110.0)
        await asyncio.sleep(0.1)
        assert sim.ledger.requests["generate"] == 1
        skip(11.0)

        await asyncio.wait_for(asked, 60)
    (line,) = [text for text in caplog.messages if "X-RateLimit-Remaining" in text]
    assert "86400 s" in line
    assert "120 s" in line


async def test_an_allowance_that_is_never_there_is_not_believed_again() -> None:
    """A server that takes requests all the same does not mean what it says."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        sim.faults.add(used_up("86400"))
        await luma.generate("a cat")
        skip(121.0)

        async with asyncio.timeout(60):
            for number in range(5):
                await luma.generate(f"cat {number}")


async def test_an_allowance_of_submissions_holds_no_look() -> None:
    """What one kind of call may not do any more says nothing of the others."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(used_up("3600", times=1))
        await luma.generate("a dog")

        sim.advance(HOUR)

        assert (await asyncio.wait_for(task, 60)).video is not None


async def test_refusals_at_random_hold_nobody_else() -> None:
    """One 429 among many jobs that were accepted delays its own job only."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        await asyncio.gather(*(luma.generate(f"cat {number}") for number in range(20)))
        sim.faults.add(Fault.rate_limited(retry_after=100, times=1))
        asked = [asyncio.create_task(luma.generate(f"dog {number}")) for number in range(40)]

        async with asyncio.timeout(60):
            await until(lambda: sum(task.done() for task in asked) == 39)

        skip(110.0)
        await asyncio.wait_for(asyncio.gather(*asked), 60)
        assert sim.ledger.statuses[429] == 1


async def test_an_answer_of_megabytes_is_refused() -> None:
    """More than 16 MiB of JSON is nothing that this API says, compressed or not."""
    huge = b"[" + b" " * (16 * 2**20) + b"]"
    packed = Fault(
        on=["get"], status=200, body=zlib.compress(huge), headers=(("Content-Encoding", "deflate"),)
    )
    for fault in (Fault.answer(huge, on=["get"]), packed):
        async with Simulator() as sim, connect(sim, max_tries=1) as luma:
            sim.faults.add(fault)

            with pytest.raises(ResponseError, match="larger than 16 MiB"):
                await luma.get("job-1")


async def test_a_body_that_cannot_be_unpacked_is_no_answer() -> None:
    """A broken compression is an unreadable answer, not a crash."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat")
        sim.faults.add(
            Fault(
                on=["get"],
                times=1,
                status=200,
                body=b"no gzip at all",
                headers=(("Content-Encoding", "gzip"),),
            )
        )

        assert (await luma.get(task.id)).id == task.id


async def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    """`timeout` bounds one request from beginning to end."""
    async with Simulator() as sim, connect(sim, timeout=300.0, max_tries=1) as luma:
        sim.faults.add(Fault.slow(math.inf, on=["get"]))
        look = asyncio.create_task(luma.get("job-1"))
        await until(lambda: sim.ledger.requests["get"])

        skip(200.0)
        await asyncio.sleep(0.1)
        assert not look.done()
        skip(101.0)

        with pytest.raises(APITimeoutError, match=r"no answer from .* within 300 s"):
            await asyncio.wait_for(look, 60)


async def test_looks_do_not_queue_behind_submissions() -> None:
    """A heap of submissions leaves one place to looks, so a finished job is noticed."""
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_requests=4) as luma:
        first = await luma.generate("a cat")
        sim.faults.add(Fault.slow(math.inf))
        rest = asyncio.gather(*(luma.generate(f"cat {n}") for n in range(30)))
        await until(lambda: sim.ledger.requests["generate"] == 4)
        sim.advance(HOUR)

        await first

        assert not rest.done()
        assert sim.ledger.requests["generate"] == 4
        assert sim.ledger.most_requests <= 4
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
        sim.faults.clear()
