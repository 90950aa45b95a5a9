"""A program that serves the jobs of a journal, and may be killed or stopped at any moment.

`python -m tests.journal.server URL PLACE SUBMITTED [resume]` submits so many jobs, and prints
"submitted". It answers the user of each job that it submits or takes over: once the video is there,
it prints the job key. With `resume`, it begins with all unfinished jobs of the journal.

It counts as dead after 1.5 seconds of silence.
"""

from __future__ import annotations

import asyncio
import os
import sys

from luma_async import FixedSchedule, LumaClient, VideoTask
from luma_async.journal import served_jobs
from luma_async.journal.sql import owner
from tests.clients import KEY

owner.LEASE_TIMEOUT = 1.5
served_jobs.LOOK_EVERY = 0.3


async def answer(task: VideoTask) -> None:
    with task.delivery():
        await task
        print("answered", task.key, flush=True)


async def main(url: str, place: str, submitted: int, how: str) -> None:
    async with (
        LumaClient(
            KEY, base_url=url, journal=place, schedule=FixedSchedule(0.1), dialect="gateway"
        ) as luma,
        asyncio.TaskGroup() as answers,
    ):
        if how == "resume":
            for task in await luma.resume():
                answers.create_task(answer(task))
        for number in range(submitted):
            task = await luma.generate("a cat", key=f"{os.getpid()}-{number}")
            answers.create_task(answer(task))
        print("submitted", flush=True)
        async for task in luma.serve():
            answers.create_task(answer(task))


if __name__ == "__main__":
    url, place, submitted, how = sys.argv[1:]
    asyncio.run(main(url, place, int(submitted), how))
