"""Video from one prompt, and an extension of it.

Run it against a simulated gateway, in two terminals:

    luma-async simulate --speed 20
    LUMA_BASE_URL=http://127.0.0.1:8765 LUMA_API_KEY=any-key python examples/one_video.py
"""

import asyncio
import sys

from luma_async import LumaClient, LumaError


async def main() -> None:
    async with LumaClient() as luma:
        task = await luma.generate("a cat dances on a moonlit roof", aspect_ratio="16:9")
        async for generation in task.updates():
            print(f"{task.id}: {generation.state}")
        video = await task
        longer = await (await luma.extend(video, "the cat takes a bow"))
        print("saved as", await luma.download(longer, "videos/"))


try:
    asyncio.run(main())
except LumaError as error:
    sys.exit(str(error))
