"""A program that submits a job, and waits for its end without looking at it often.

`python -m tests.journal.waiter URL PLACE HOOK` says "submitted" and then, when the job has ended,
its state.
"""

from __future__ import annotations

import asyncio
import sys

from luma_async import FixedSchedule, LumaClient, SQLJournal, WebhookReceiver
from tests.clients import HOUR, KEY


async def main(url: str, place: str, hook: str) -> None:
    async with LumaClient(
        KEY,
        base_url=url,
        journal=place,
        webhook=WebhookReceiver(hook),
        schedule=FixedSchedule(HOUR),
    ) as luma:
        task = await luma.generate("a cat dances")
        assert isinstance(luma.journal, SQLJournal)
        async with luma.journal.hints(lambda _: None):  # which waits until the client listens
            print("submitted", flush=True)
        print((await task).state, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
