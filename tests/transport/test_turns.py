"""Where very many begin at once, they take turns with everything else."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from luma_async.concurrency import Turns


async def passed_in_each_round(turns: Turns, order: list[int], callers: int) -> list[int]:
    seen: list[int] = []

    async def begin(number: int) -> None:
        await turns.take()
        order.append(number)

    async def others() -> None:
        while len(order) < callers:
            seen.append(len(order))
            await asyncio.sleep(0)

    await asyncio.gather(*(begin(number) for number in range(callers)), others())
    return [later - earlier for earlier, later in pairwise([0, *seen, len(order)])]


async def test_many_at_once_go_on_a_few_in_each_round() -> None:
    """A hundred callers of one `gather` pass ten at a time, in their order."""
    order: list[int] = []

    rounds = await passed_in_each_round(Turns(10), order, 100)

    assert max(rounds) == 10
    assert order == list(range(100))


async def test_one_alone_does_not_wait() -> None:
    """Nothing of the event loop's runs before it goes on."""
    turns = Turns(1)
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "other")

    await turns.take()

    assert not ran
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await turns.take()


async def test_a_cancelled_caller_keeps_nobody_waiting() -> None:
    """Its turn goes to the next one."""
    turns = Turns(1)
    waits = [asyncio.create_task(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    waits[1].cancel()
    waits[2].cancel()

    ended = await asyncio.gather(*waits, return_exceptions=True)

    assert [type(end) for end in ended] == [
        type(None),
        asyncio.CancelledError,
        asyncio.CancelledError,
        type(None),
    ]


def test_turns_go_on_in_another_event_loop() -> None:
    """A loop that ended while somebody waited leaves nobody waiting in the next."""
    turns = Turns(1)

    async def leave() -> None:
        await turns.take()
        task = asyncio.create_task(turns.take())
        await asyncio.sleep(0)
        task.cancel()

    for _ in range(3):
        asyncio.run(leave())
