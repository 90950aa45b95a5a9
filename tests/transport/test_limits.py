"""Requests in flight, the brake on 429, sizes and times."""

from __future__ import annotations

import asyncio
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import APITimeoutError, RateLimitError, ResponseError, ServerError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.transport.failure import Failed
from luma_async.transport.verdict import Failure
from luma_async.transport.waits import waits
from tests.clients import connect


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    """The semaphore holds over submissions and looks together."""
    async with Simulator(durations=Fixed(0.2)) as sim, connect(sim, max_requests=3) as luma:
        sim.faults.add(Fault.slow(0.02, on=["generate", "get", "tasks"]))

        tasks = await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(20)))
        await asyncio.gather(*tasks, *(luma.get(task.id) for task in tasks))

        assert sim.ledger.most_requests == 3


async def test_retry_after_is_a_floor() -> None:
    """The next try comes no sooner than the server asked, jitter only adds."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=1, times=1))
        start = time.monotonic()

        await luma.generate("a cat")

        assert 1.0 <= time.monotonic() - start < 5.0


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
    pauses = waits()
    next(pauses)
    for tries, seconds in enumerate(asked):
        pause = min(0.5 * 2**tries, 30.0)
        failed = Failed(ServerError("no", status=503), Failure.BUSY, retry_after=seconds)

        wait = pauses.send(failed)

        floor = pause / 2 if seconds is None else seconds
        assert floor <= wait <= floor + pause / 2


async def test_one_429_brakes_the_whole_client() -> None:
    """While the server wants quiet, other requests wait as well."""
    async with Simulator() as sim, connect(sim, max_tries=1) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=1, times=1))
        with pytest.raises(RateLimitError) as caught:
            await luma.generate("a cat")
        start = time.monotonic()

        await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(5)))

        assert caught.value.retry_after == 1.0
        assert time.monotonic() - start >= 0.9
        assert sim.ledger.statuses == {429: 1, 200: 5}


async def test_a_client_at_its_limit_stays_below_it() -> None:
    """After the first refusals it uses what it may, and is hardly refused again."""
    async with Simulator(durations=Fixed(60), max_rate=40) as sim, connect(sim) as luma:
        start = time.monotonic()

        await asyncio.gather(*(luma.generate(f"cat {n}") for n in range(200)))

        seconds = time.monotonic() - start
        assert sim.ledger.statuses[429] <= 16  # what was in flight when the first was refused
        taken = sim.ledger.statuses[200]  # submissions, and looks at those that are made
        assert taken / (40 * seconds) > 0.5


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
    async with Simulator() as sim, connect(sim, timeout=0.3, max_tries=1) as luma:
        sim.faults.add(Fault.slow(30, on=["get"]))
        start = time.monotonic()

        with pytest.raises(APITimeoutError, match=r"no answer from .* within 0.3 s"):
            await luma.get("job-1")

        assert time.monotonic() - start < 5.0


async def test_looks_do_not_queue_behind_submissions() -> None:
    """A heap of submissions leaves one place to looks, so a finished job is noticed."""
    async with Simulator(durations=Fixed(0.3)) as sim, connect(sim, max_requests=4) as luma:
        first = await luma.generate("a cat")
        sim.faults.add(Fault.slow(0.4))
        rest = asyncio.gather(*(luma.generate(f"cat {n}") for n in range(30)))

        await first

        assert not rest.done()
        assert sim.ledger.requests["generate"] <= 7
        assert sim.ledger.most_requests <= 4
        rest.cancel()
        await asyncio.gather(rest, return_exceptions=True)
