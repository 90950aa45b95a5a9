"""A program that tells of each job as soon as its caller may see it, until it is killed.

`python -m tests.journal.submitter URL PLACE` submits jobs ten at a time and prints each one's key
and id.
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import FixedSchedule, LumaClient
from tests.clients import KEY


async def main(url: str, place: str) -> None:
    async with LumaClient(KEY, base_url=url, journal=place, schedule=FixedSchedule(60)) as luma:

        async def submit(number: int) -> None:
            task = await luma.generate(f"cat {number}", key=f"row-{number}")
            print(f"row-{number} {task.id}", flush=True)

        number = 0
        while True:
            await asyncio.gather(*(submit(number + step) for step in range(10)))
            number += 10


asyncio.run(main(sys.argv[1], sys.argv[2]))
