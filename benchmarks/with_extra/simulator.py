"""Make a video with a simulator in the same program."""

from __future__ import annotations

import asyncio

from luma_async import LumaClient
from luma_async.simulator import Fixed, Simulator


async def main() -> None:
    async with Simulator(durations=Fixed(0.2)) as simulator:
        async with LumaClient("any-key", base_url=simulator.url) as luma:
            video = await luma.run("a cat dances", download="simulated.mp4")
        assert [job.id for job in simulator.ledger.jobs] == [video.id]


asyncio.run(main())
