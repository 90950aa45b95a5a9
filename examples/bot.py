"""Bot with a client that is opened when the bot starts, and closed when it stops.

This bot reads messages from standard input. aiogram, discord.py and other libraries call the same
functions from asyncio tasks of their own. That works, because a client may be opened in one
task, used in many, and closed in another.

    (echo a cat; echo a dog) | python examples/bot.py
"""

import asyncio
import sys

from luma_async import LumaClient, LumaError


class VideoBot:
    def __init__(self) -> None:
        self.luma = LumaClient(max_tasks=10)

    async def on_start(self) -> None:
        await self.luma.open()

    async def on_message(self, text: str) -> None:
        try:
            task = await self.luma.generate(text)
            self.reply(f"{text}: working on it ({task.id})")
            video = await task.wait(timeout=600)
        except LumaError as error:
            self.reply(f"{text}: {error}")
        else:
            self.reply(f"{text}: {video.url}")

    async def on_stop(self) -> None:
        await self.luma.aclose()

    def reply(self, text: str) -> None:
        print(text)


async def main() -> None:
    bot = VideoBot()
    await bot.on_start()
    messages = [line.strip() for line in sys.stdin if line.strip()]
    await asyncio.gather(*(bot.on_message(text) for text in messages))
    await bot.on_stop()


asyncio.run(main())
