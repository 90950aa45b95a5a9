"""A program that asks for two jobs with one large image, and may be killed at any moment.

`python -m tests.journal.uploader URL PLACE IMAGE` prints the file that each job uses.
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import FixedSchedule, LumaClient
from tests.clients import KEY


async def main(url: str, place: str, image: str) -> None:
    async with LumaClient(
        KEY, base_url=url, dialect="agents", journal=place, schedule=FixedSchedule(0.02)
    ) as luma:
        rows = [(f"row-{n}", {"prompt": f"a cat {n}", "image": image}) for n in range(2)]
        async for outcome in luma.run_many(rows):
            print(outcome.key, outcome.error or outcome.id, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
