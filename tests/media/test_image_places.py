"""Places for images bound the images in memory, and requests get theirs in order."""

from __future__ import annotations

import asyncio
import random

import pytest

from luma_async.media.image_places import ImagePlaces


async def test_a_request_takes_a_place_for_each_image_in_order() -> None:
    """One with many images is not overtaken, and one with too many takes all places."""
    places, order = ImagePlaces(4), []

    async def hold(name: str, images: int) -> None:
        async with places.take(images):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(
        *(hold(*each) for each in [("three", 3), ("all", 64), ("one", 1), ("two", 2)])
    )

    assert order == ["three", "all", "one", "two"]
    assert places._free == 4


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_to_cancellation(seed: int) -> None:
    """Whenever callers are cancelled, the limit holds, and all places are free in the end."""
    chance, places = random.Random(seed), ImagePlaces(5)
    held = 0

    async def hold(images: int) -> None:
        nonlocal held
        async with places.take(images):
            held += min(images, 5)
            assert held <= 5
            try:
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                held -= min(images, 5)

    tasks = [asyncio.create_task(hold(chance.randrange(1, 8))) for _ in range(40)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ended)
    assert places._free == 5
    async with asyncio.timeout(5), places.take(5):
        pass
