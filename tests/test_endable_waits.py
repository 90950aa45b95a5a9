"""Waits that end together, as when a client is closed."""

from __future__ import annotations

import asyncio

import pytest

from luma_async.concurrency import EndableWaits
from tests.clients import until

LONG_ENOUGH = 30.0
"""Seconds after which a wait that was ended counts as one that never ends."""


class EndedError(Exception):
    """The error that the waits of these tests end with."""


def waiting(waits: EndableWaits, owner: object = None) -> asyncio.Task[bool]:
    """Start a wait that nothing but `end()` or a cancellation ends."""
    return asyncio.create_task(waits.run(asyncio.Event().wait(), EndedError, owner=owner))


async def test_all_waits_end_with_their_error() -> None:
    """`end()` ends what waits, and whatever begins to wait later."""
    waits = EndableWaits()
    before = [waiting(waits) for _ in range(3)]
    await until(lambda: len(waits._scopes) == 3)

    waits.end()
    after = waiting(waits)

    async with asyncio.timeout(LONG_ENOUGH):
        for each in [*before, after]:
            with pytest.raises(EndedError):
                await each
    assert not waits._scopes


async def test_a_wait_returns_its_result() -> None:
    """A wait that is over has nothing left that could be ended."""
    waits = EndableWaits()

    assert await waits.run(asyncio.sleep(0, "result"), EndedError) == "result"

    assert not waits._scopes


async def test_the_cancellation_of_the_caller_is_no_end() -> None:
    """It is raised as a cancellation, and not as the error of the waits."""
    waits = EndableWaits()
    wait = waiting(waits)
    await until(lambda: waits._scopes)

    wait.cancel()

    with pytest.raises(asyncio.CancelledError):
        await wait


async def test_a_paused_wait_ends_when_it_is_resumed() -> None:
    """What must not be cut off meanwhile is not, however `end()` was called."""
    waits = EndableWaits()
    owner, may_go_on, was_done = object(), asyncio.Event(), []

    async def work() -> None:
        waits.pause(owner)
        await may_go_on.wait()
        was_done.append(True)
        waits.resume(owner)
        await asyncio.Event().wait()

    wait = asyncio.create_task(waits.run(work(), EndedError, owner=owner))
    await until(lambda: waits._paused)

    waits.end()
    await asyncio.sleep(0)
    assert not wait.done()
    may_go_on.set()

    with pytest.raises(EndedError):
        async with asyncio.timeout(LONG_ENOUGH):
            await wait
    assert was_done


async def test_a_wait_within_a_wait_of_the_same_owner_is_a_part_of_it() -> None:
    """One `end()` gives one error, that of the outer wait."""
    waits, owner = EndableWaits(), object()

    async def work() -> None:
        await waits.run(asyncio.Event().wait(), ValueError, owner=owner)

    wait = asyncio.create_task(waits.run(work(), EndedError, owner=owner))
    await until(lambda: waits._scopes)

    waits.end()

    with pytest.raises(EndedError):
        async with asyncio.timeout(LONG_ENOUGH):
            await wait
