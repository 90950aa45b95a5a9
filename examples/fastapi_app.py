"""Web app that makes videos: submit, status, and progress as server-sent events.

    PUBLIC_URL=https://videos.example.com uvicorn --app-dir examples fastapi_app:app
    curl -H 'Idempotency-Key: cat-1' --json '{"prompt": "a cat"}' localhost:8000/videos
    curl -N localhost:8000/videos/cat-1/events

A repeated POST pays once. Jobs that run while the app stops are watched when it starts again.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

import luma_async
from luma_async import AspectRatio, Generation, LumaClient, LumaError, VideoTask, WebhookReceiver

receiver = WebhookReceiver(os.environ["PUBLIC_URL"] + "/luma")  # the server calls back there
JOURNAL = os.environ.get("LUMA_JOURNAL", "jobs.db")
STATUSES = {
    luma_async.InvalidRequestError: 422,
    luma_async.BadRequestError: 422,
    luma_async.GenerationFailedError: 409,  # of a POST that is sent again
    luma_async.KeyConflictError: 409,
    luma_async.NotFoundError: 404,
}


class Order(BaseModel, extra="forbid"):  # other fields, such as the resolution, change the price
    prompt: str
    aspect_ratio: AspectRatio = "16:9"
    image: str | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with LumaClient(
        journal=JOURNAL, webhook=receiver, max_tasks=20, allow_local_files=False
    ) as luma:
        app.state.luma = luma
        await luma.resume()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError):  # not in the main thread, as in a TestClient
                close_at_signal(number, luma)
        yield


def close_at_signal(number: signal.Signals, luma: LumaClient) -> None:
    """End the event streams at a signal, because the server waits for them."""
    loop = asyncio.get_running_loop()

    def handle(number: int, _: object) -> None:
        asyncio.run_coroutine_threadsafe(luma.aclose(), loop)
        signal.signal(number, of_server)
        signal.raise_signal(number)

    of_server = signal.signal(number, handle)


User = Annotated[str, Header(alias="X-User")]  # of your login: each user has videos of his own
Name = Annotated[str, Header(alias="Idempotency-Key", pattern=r"^[\w.-]{1,100}$")]
app = FastAPI(lifespan=lifespan)
app.mount("/luma", receiver)


@app.post("/videos", status_code=202)
async def submit(body: Order, request: Request, name: Name, user: User = "anyone") -> Generation:
    luma: LumaClient = request.app.state.luma
    async with asyncio.timeout(30):  # for a free place; a submission that has left goes on
        return (await luma.generate(**dict(body), key=f"{user}/{name}")).generation


async def find(name: str, request: Request, user: User = "anyone") -> VideoTask:
    luma: LumaClient = request.app.state.luma
    entry = await luma.journal.find(f"{user}/{name}") if luma.journal else None
    if entry is None or entry.id is None:
        raise HTTPException(404, "unknown video")
    return await luma.watch(entry.id)


@app.get("/videos/{name}")
async def status(task: Annotated[VideoTask, Depends(find)]) -> Generation:
    return task.generation


@app.get("/videos/{name}/events")
async def events(task: Annotated[VideoTask, Depends(find)]) -> StreamingResponse:
    return StreamingResponse(follow(task), 200, {"X-Accel-Buffering": "no"}, "text/event-stream")


async def follow(task: VideoTask) -> AsyncIterator[str]:
    updates = task.updates()
    while True:
        try:
            made = await asyncio.wait_for(anext(updates), 15)
            yield f"event: {made.state}\ndata: {made.model_dump_json()}\n\n"
        except StopAsyncIteration:
            return
        except LumaError as error:  # the app stops, for example: connect again
            yield f"event: interrupted\ndata: {error.for_users}\n\n"
        except TimeoutError:
            yield ": proxies close connections that are idle\n\n"


@app.exception_handler(LumaError)
@app.exception_handler(TimeoutError)
async def problem(request: Request, error: Exception) -> JSONResponse:
    status = next((number for kind, number in STATUSES.items() if isinstance(error, kind)), 503)
    if status == 503:
        logging.getLogger("uvicorn.error").error("%r: %s", request.url.path, error)
    text = getattr(error, "for_users", LumaError.for_users)
    return JSONResponse({"detail": text}, status, {"Retry-After": "15"} if status == 503 else None)
