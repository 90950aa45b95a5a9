"""A FastAPI app that streams the updates of a job, with heartbeats in between.

`python -m tests.programs.heartbeats URL` serves one request without a network, and prints each
server-sent event, then what a reader without timeouts has seen.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from luma_async import FixedSchedule, LumaClient, VideoTask
from tests.clients import KEY

HEARTBEAT = 0.005
"""Seconds without an update after which a heartbeat is sent, as proxies want every 15 seconds."""


def create_app(url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with LumaClient(KEY, base_url=url, schedule=FixedSchedule(0.02)) as luma:
            app.state.luma = luma
            yield

    app = FastAPI(lifespan=lifespan)

    async def events(task: VideoTask) -> AsyncGenerator[str, None]:
        updates = task.updates()
        while True:
            try:
                generation = await asyncio.wait_for(anext(updates), HEARTBEAT)
            except TimeoutError:
                yield ": heartbeat\n\n"
            except StopAsyncIteration:
                return
            else:
                yield f"data: {generation.state} {generation.progress}\n\n"

    @app.get("/videos")
    async def video(prompt: str) -> StreamingResponse:
        task: VideoTask = await app.state.luma.generate(prompt)
        seen: list[str] = []

        async def follow() -> None:
            seen.extend([f"{each.state} {each.progress}" async for each in task.updates()])

        app.state.following, app.state.seen = asyncio.create_task(follow()), seen
        return StreamingResponse(events(task), media_type="text/event-stream")

    return app


async def main(url: str) -> None:
    app = create_app(url)

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        print(message.get("body", b"").decode().strip(), flush=True)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/videos",
        "query_string": b"prompt=a%20cat",
        "headers": [],
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
        await app.state.following
    print("seen:", ", ".join(app.state.seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
