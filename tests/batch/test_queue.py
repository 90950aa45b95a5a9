"""Queue: the order of rows and their extensions."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from luma_async import GenerateRequest
from luma_async.batch import Row
from luma_async.batch.queue import Queue

CAT = GenerateRequest("a cat")


def row(key: str, parent: str | None = None) -> Row:
    return Row(asks="", key=key, line=1, request=CAT, parent=parent)


@given(
    parents=st.lists(st.integers(-1, 30), max_size=30),
    bad=st.sets(st.integers(0, 30)),
    seed=st.integers(),
)
async def test_each_row_is_yielded_once_or_can_never_begin(
    parents: list[int], bad: set[int], seed: int
) -> None:
    """An extension comes after its source, if that has a video, in any order of their ends."""
    chance = random.Random(seed)
    rows = [
        row(str(number), str(parent) if 0 <= parent < number else None)
        for number, parent in enumerate(parents)
    ]
    queue = Queue(rows, made=())
    made: set[str] = set()
    given: list[str] = []
    lost: list[str] = []
    running: list[str] = []

    async def end_one() -> None:
        key = running.pop(chance.randrange(len(running)))
        if int(key) in bad:
            lost.extend(each.key for each in queue.not_made(key))
        else:
            made.add(key)
            queue.made(key)

    async def take() -> None:
        async for each in queue.rows():
            assert each.parent is None or each.parent in made
            given.append(each.key)
            running.append(each.key)
            if chance.random() < 0.5:
                await end_one()

    taking = asyncio.create_task(take())
    while not taking.done():
        await asyncio.sleep(0)
        if running:
            await end_one()
    await taking

    assert sorted(given + lost) == sorted(each.key for each in rows)


async def test_a_stopped_queue_yields_no_more_rows() -> None:
    """Extensions that have become ready are not yielded either."""
    queue = Queue([row("a"), row("b", "a"), row("c")], made=())
    rows = queue.rows()
    assert (await anext(rows)).key == "a"

    queue.stop()
    queue.made("a")

    assert [each async for each in rows] == []


async def test_extensions_of_rows_with_a_video_begin_at_once() -> None:
    """An earlier run has made the video."""
    queue = Queue([row("b", "a"), row("c", "b")], made=["a"])

    given = []
    async for each in queue.rows():
        given.append(each.key)
        queue.made(each.key)

    assert given == ["b", "c"]
