"""A web app in small: two requests with their own context variables share one client.

`python -m tests.programs.two_requests URL JOURNAL` prints each call of a function of the user's,
with the user that its context belongs to, and the workers whose context is that of a request.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextvars import Context, ContextVar

from luma_async import FixedSchedule, LumaClient, VideoTask
from tests.clients import KEY


class Session:
    """The database session of a request, which must not outlive it."""

    def __init__(self, user: str) -> None:
        self.user = user


session: ContextVar[Session] = ContextVar("session")


def tell(event: str, task: VideoTask) -> None:
    print(event, task.metadata["user"], session.get().user, flush=True)


async def updated(task: VideoTask) -> None:
    await asyncio.sleep(0)
    if task.done():
        tell("updated", task)


async def handle(luma: LumaClient, user: str) -> VideoTask:
    """Handle a request that submits a job, and does not wait for its end."""
    session.set(Session(user))
    task = await luma.generate(f"a cat of {user}", metadata={"user": user}, on_update=updated)
    task.add_done_callback(lambda task: tell("done", task))
    return task


def workers_with_a_session() -> list[str]:
    """Return the names of the asyncio tasks whose context has the session of a request."""
    contexts = [
        thing for thing in gc.get_objects() if isinstance(thing, Context) and session in thing
    ]
    holders = gc.get_referrers(*contexts) if contexts else []
    return [each.get_name() for each in holders if isinstance(each, asyncio.Task)]


async def main(url: str, journal: str) -> None:
    schedule = FixedSchedule(0.05)
    async with LumaClient(KEY, base_url=url, journal=journal, schedule=schedule) as luma:
        requests = [asyncio.create_task(handle(luma, user)) for user in ("ann", "bob")]
        tasks = await asyncio.gather(*requests)
        del requests
        # A further job keeps the poller alive, which the first request has started.
        last = await luma.generate("a dog")
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.05)
        names = [task.get_name() for task in asyncio.all_tasks()]
        print("poller runs:", "luma-async poller" in names, flush=True)
        print("with a session:", *workers_with_a_session(), flush=True)
        await last


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
