"""The parts of the package around a client, as type checkers see them. Never run.

Errors, callbacks, webhooks, figures, the simulator, the fixtures of pytest, and batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_type

import pytest
from aiohttp import web
from fastapi import FastAPI
from pydantic import SecretStr

from luma_async import (
    APIError,
    AuthenticationError,
    ClientSettings,
    Generation,
    GenerationFailedError,
    InvalidRequestError,
    KeyConflictError,
    LumaClient,
    LumaError,
    ModerationError,
    NoVideoError,
    RateLimitError,
    State,
    Stats,
    SubmissionUncertainError,
    TaskTimeoutError,
    UnsupportedError,
    VideoTask,
    WebhookReceiver,
)
from luma_async.batch import Batch, LiveGallery, Result, Row, read_manifest
from luma_async.simulator import Exponential, Fault, Fixed, Ledger, LogNormal, Simulator, Variant
from luma_async.testing import SimulatorSettings, running_simulator


def text_of(error: LumaError) -> str:
    """Return a text for users, with the types of each error's attributes."""
    match error:
        case SubmissionUncertainError():
            assert_type(error.cause, LumaError)
            assert_type(error.key, str | None)
            assert_type(error.request_id, str | None)
        case ModerationError():
            assert_type(error.flagged, tuple[str, ...])
            assert_type(error.generation, Generation)
        case GenerationFailedError():
            assert_type(error.refunded, bool | None)
        case UnsupportedError() | InvalidRequestError():
            assert_type(error.fields, dict[str, str])
        case RateLimitError():
            assert_type(error.retry_after, float | None)
            assert_type(error.status, int)
        case APIError():
            assert_type(error.code, str | None)
        case KeyConflictError():
            assert_type(error.id, str | None)
        case NoVideoError() | TaskTimeoutError():
            assert_type(error.task_id, str)
        case _:
            print(error.retry_after)  # type: ignore[attr-defined]
    return error.for_users


async def check_errors(luma: LumaClient) -> None:
    try:
        await luma.run("a cat")
    except AuthenticationError as error:
        assert_type(error.request_id, str | None)
    except TimeoutError as error:
        assert_type(error, TimeoutError)
    except (TaskTimeoutError, LumaError) as error:
        assert_type(error, TaskTimeoutError | LumaError)


def plain(task: VideoTask) -> None:
    assert_type(task.metadata, Mapping[str, Any])


async def asynchronous(task: VideoTask) -> int:
    return 7


def without_a_task() -> None: ...


def of_a_generation(generation: Generation) -> None: ...


async def check_callbacks(luma: LumaClient, task: VideoTask) -> None:
    await luma.run("a cat", on_update=plain, metadata={"user": 7})
    await luma.generate("a cat", on_update=asynchronous)
    luma.run_many(["a cat"], on_update=lambda task: print(task.id))
    task.add_done_callback(plain)
    task.add_update_callback(asynchronous)
    assert_type(task.remove_done_callback(plain), int)

    await luma.run("a cat", on_update=without_a_task)  # type: ignore[arg-type]
    await luma.generate("a cat", on_update=of_a_generation)  # type: ignore[arg-type]
    await luma.generate("a cat", on_update=asynchronous(task))  # type: ignore[arg-type]
    task.add_done_callback(without_a_task)  # type: ignore[arg-type]
    task.add_update_callback(of_a_generation)  # type: ignore[arg-type]
    await luma.generate("a cat", metadata={7: "user"})  # type: ignore[dict-item]


async def check_handles(task: VideoTask, tasks: Sequence[VideoTask]) -> None:
    assert_type(task.done(), bool)
    assert_type(task.result(), Generation)
    assert_type(task.exception(), LumaError | None)
    assert_type(await asyncio.wait_for(task, 60), Generation)
    assert_type(await asyncio.shield(task), Generation)
    assert_type(await asyncio.gather(*tasks), list[Generation])
    async with task.updates() as updates:
        assert_type(await anext(updates), Generation)

    task.state = State.COMPLETED  # type: ignore[misc]
    task.cancel()  # type: ignore[attr-defined]
    await task.wait("60")  # type: ignore[arg-type]
    for _ in task.updates():  # type: ignore[attr-defined]
        pass
    task.updates(every="2")  # type: ignore[arg-type]


def check_webhooks(app: web.Application, asgi: FastAPI) -> None:
    receiver = WebhookReceiver("https://bot.example/luma", secret=SecretStr("0123456789abcdef"))
    luma = LumaClient(webhook=receiver)
    app.add_routes(receiver.routes())
    app.add_routes(receiver.routes(path="/luma"))
    asgi.mount("/luma", receiver)
    assert_type(receiver.receive("token", b"{}"), int)
    assert_type(receiver.public_url, str)

    settings: ClientSettings = {"webhook": receiver, "max_tasks": 3, "journal": "jobs.db"}
    LumaClient(**settings)
    LumaClient(webhook="https://bot.example/luma")  # type: ignore[arg-type]
    WebhookReceiver()  # type: ignore[call-arg]
    WebhookReceiver("https://bot.example", secret=7)  # type: ignore[arg-type]
    app.add_routes(receiver)  # type: ignore[arg-type]
    print(luma.webhook)  # type: ignore[attr-defined]


def check_figures(luma: LumaClient) -> None:
    stats = luma.stats()
    assert_type(stats, Stats)
    assert_type(stats.running, int)
    assert_type(stats.accepted, int)
    assert_type(stats.lateness_mean, float | None)

    print(stats.jobs)  # type: ignore[attr-defined]


async def check_simulator() -> None:
    variant = Variant(estimates=True)
    async with Simulator(durations=Fixed(1.0), variant=variant, speed=20) as sim:
        assert_type(sim.url, str)
        assert_type(sim.ledger, Ledger)
        sim.faults.add(Fault.cut(after=True, times=2))
        sim.faults.add(Fault.rate_limited(retry_after=1), Fault.slow(0.1, on=["get"]))
        sim.fail_next("moderated", times=2)
        sim.reject_next(402, "no money")
        sim.delay_next(30)
        sim.lose_next()
        sim.advance(3600)
        assert_type([job.prompt for job in sim.ledger.jobs], list[str])
    Simulator(durations=LogNormal())
    Simulator(durations=1.0)
    Simulator(durations=Exponential(3.0), max_jobs=5, api_key=None)

    Simulator(durations="1")  # type: ignore[arg-type]
    Simulator(fast=True)  # type: ignore[call-arg]
    Fault(on=["generat"])  # type: ignore[list-item]
    sim.advance("1 h")  # type: ignore[arg-type]


@pytest.fixture
def luma_simulator_settings() -> SimulatorSettings:
    return {"durations": 60, "dialect": "agents", "variant": Variant()}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running_simulator(durations=0.2, short_side=64) as simulator:
        assert_type(simulator, Simulator)
        yield simulator
    with running_simulator(duration=0.2):  # type: ignore[call-arg]
        pass


async def test_bot(luma_client: LumaClient, luma_simulator: Simulator) -> None:
    task = await luma_client.generate("a cat dances")
    luma_simulator.advance(60)
    assert (await task).url


async def check_batches(luma: LumaClient) -> None:
    batch = Batch(luma, read_manifest(Path("prompts.csv")), "videos", redo=["row-1"])
    async with LiveGallery(batch, title="videos", command="make"):
        async for result in batch.run():
            assert_type(result, Result)
            assert_type(result.error, str | None)
    assert_type(read_manifest("prompts.csv").rows, tuple[Row, ...])

    Batch(luma, "prompts.csv", "videos")  # type: ignore[arg-type]
    Batch(luma, read_manifest("prompts.csv"))  # type: ignore[call-arg]
    for _ in batch.run():  # type: ignore[attr-defined]
        pass
