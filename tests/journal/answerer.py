"""A bot that answers users with their videos, and may be killed at any moment.

`python -m tests.journal.answerer URL PLACE USER...` submits a job for each user, forgets the last
of them, prints "waiting" when the journal has all of that, and waits. Without users, it resumes the
jobs of the journal, and prints the user of each video as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from luma_async import FixedSchedule, LumaClient, VideoTask
from tests.clients import KEY


async def main(url: str, place: str, users: list[str]) -> None:
    async with LumaClient(KEY, base_url=url, journal=place, schedule=FixedSchedule(0.05)) as luma:

        async def answer(task: VideoTask) -> None:
            video = await task
            print(json.dumps([task.metadata["user"], video.prompt]), flush=True)

        if not users:
            await asyncio.gather(*map(answer, await luma.resume()))
            return
        tasks = [
            await luma.generate(f"a cat for {user}", metadata={"user": user, "chat": [1, None]})
            for user in users
        ]
        tasks[-1].forget()
        assert luma.journal is not None
        while not [e for e in await luma.journal.unfinished(luma.base_url) if e.forgotten]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # marks are written in the background
        print("waiting", flush=True)
        await asyncio.gather(*map(answer, tasks[:-1]))


if __name__ == "__main__":
    url, place, *users = sys.argv[1:]
    asyncio.run(main(url, place, users))
