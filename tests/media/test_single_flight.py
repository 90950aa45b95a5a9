"""Callers that need the same result share one run, and each of them may leave."""

from __future__ import annotations

import asyncio

import pytest

from luma_async.errors import UploadError
from luma_async.media.single_flight import SingleFlight


class Work:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.runs = self.ended = 0
        self.go_on = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        number = self.runs
        try:
            await self.go_on.wait()
        finally:
            self.ended += 1
        if number == 1:
            raise UploadError("no")
        return number


async def started(*callers: asyncio.Task[int]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(caller.done() for caller in callers)


async def test_a_failure_is_that_of_all_who_wait_and_of_no_one_later() -> None:
    """Each gets an error of its own; the next caller begins another run."""
    flights, work = SingleFlight[int]("test"), Work()
    callers = [asyncio.create_task(flights.result("key", work)) for _ in range(3)]
    await started(*callers)
    work.go_on.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)

    assert [str(error) for error in errors] == ["no"] * 3
    assert len(set(map(id, errors))) == 3
    assert await flights.result("key", work) == 2
    assert not flights._runs


async def test_the_run_ends_with_its_last_caller() -> None:
    """Others that are cancelled do not end it; a caller after that begins another run."""
    flights, work = SingleFlight[int]("test"), Work()
    first, second = (asyncio.create_task(flights.result("key", work)) for _ in range(2))
    await started(first, second)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await started(second)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    assert (work.runs, work.ended) == (1, 1)
    third = asyncio.create_task(flights.result("key", work))
    await started(third)
    work.go_on.set()
    assert await third == 2
