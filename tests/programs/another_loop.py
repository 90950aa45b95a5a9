"""A worker that runs `asyncio.run()` for each of its jobs, and keeps its client between them.

`python -m tests.programs.another_loop URL` prints what each call raises, also in a thread.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable

from luma_async import LumaClient, LumaError, VideoTask
from tests.clients import KEY


async def tell(name: str, work: Awaitable[object]) -> None:
    try:
        await asyncio.wait_for(work, 10)
    except LumaError as error:
        print(f"{name}: {error}", flush=True)
    except TimeoutError:
        print(f"{name}: hangs", flush=True)
    else:
        print(f"{name}: fine", flush=True)


async def first(luma: LumaClient) -> tuple[VideoTask, VideoTask]:
    done, running = await luma.generate("a cat"), await luma.generate("a dog")
    await done
    in_thread = threading.Thread(target=lambda: asyncio.run(tell("thread", running.wait())))
    in_thread.start()
    await asyncio.to_thread(in_thread.join)
    return done, running


async def second(luma: LumaClient, done: VideoTask, running: VideoTask) -> None:
    await tell("done", done)
    await tell("running", running)
    await tell("generate", luma.generate("a cow"))


def main(url: str) -> None:
    luma = LumaClient(KEY, base_url=url)
    done, running = asyncio.run(first(luma))
    asyncio.run(second(luma, done, running))


if __name__ == "__main__":
    main(sys.argv[1])
