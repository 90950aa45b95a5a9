"""A program that asks for jobs by key, and may be killed at any moment.

`python -m tests.journal.worker URL PLACE FIRST LAST MAX_REQUESTS MAX_TASKS` asks for the keys from
FIRST to LAST, with MAX_TASKS as the limit of all workers together; 0 is for none. It says "ready"
when its journal is open, begins when it reads a line, and prints what became of each key as a line
of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from luma_async import FixedSchedule, LumaClient
from tests.clients import KEY


async def main(url: str, place: str, *numbers: int) -> None:
    first, last, max_requests, max_tasks = numbers
    async with LumaClient(
        KEY,
        base_url=url,
        journal=place,
        schedule=FixedSchedule(0.1),
        max_requests=max_requests,
        max_tasks=max_tasks or None,
        max_tasks_scope="journal" if max_tasks else "client",
    ) as luma:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        asked = ((f"row-{number}", f"cat {number}") for number in range(first, last))
        async for outcome in luma.run_many(asked, max_tasks=1000):
            error = None if outcome.error is None else type(outcome.error).__name__
            print(json.dumps([outcome.key, outcome.id, error]), flush=True)


if __name__ == "__main__":
    url, place, *numbers = sys.argv[1:]
    asyncio.run(main(url, place, *map(int, numbers)))
