"""Callbacks make the poller look at once, and make other looks fewer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from luma_async import LumaClient, State, WebhookReceiver
from luma_async.generation import Generation
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.tasks.hints import MISSES, NET_FACTOR, Hints, Hook

ID = "6f1f9a0e-54f2-4c1e-9b7f-0d7d5c1f5a11"
RUNNING = Generation(id="job-1", state=State.PROCESSING)
COMPLETED = Generation(id="job-1", state=State.COMPLETED)


@asynccontextmanager
async def listening() -> AsyncIterator[WebhookReceiver]:
    """Serve a receiver at a free port."""
    app = web.Application()
    runner = web.AppRunner(app)
    site: web.TCPSite | None = None
    receiver = WebhookReceiver("http://127.0.0.1:1/hook")
    app.add_routes(receiver.routes())
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.public_url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        await runner.cleanup()


async def test_a_callback_at_the_end_of_a_job_resolves_it() -> None:
    """With two looks at most: one for each callback of the server."""
    async with (
        listening() as receiver,
        Simulator(durations=Fixed(0.6), short_side=64) as sim,
        LumaClient("sk-a", base_url=sim.url, webhook=receiver) as luma,
    ):
        task = await luma.generate("a cat dances")
        async with asyncio.timeout(3):
            generation = await task

        assert generation.state is State.COMPLETED
        assert 1 <= sim.ledger.requests["get"] <= 2


async def test_a_callback_before_the_answer_to_its_submission_is_kept() -> None:
    """The look follows the answer at once."""
    async with (
        listening() as receiver,
        Simulator(durations=Fixed(0.1), short_side=64) as sim,
        LumaClient("sk-a", base_url=sim.url, webhook=receiver) as luma,
    ):
        await luma.run("a job before, so that films are drawn quickly")
        sim.faults.add(Fault.slow(1.0, on=["generate"], after=True, times=1))
        task = await luma.generate("a cat dances")
        async with asyncio.timeout(1):
            generation = await task

    assert generation.state is State.COMPLETED


def test_callbacks_that_never_come_are_not_relied_on() -> None:
    """Until another one comes."""
    hints = Hints()
    for number in range(MISSES):
        assert hints.net_factor == NET_FACTOR
        became_unreliable = hints.ended(Hook(f"request-{number}", is_expected=True))

    assert became_unreliable
    assert hints.net_factor == 1.0
    hints.heard("request-0", COMPLETED)  # late
    assert hints.net_factor == NET_FACTOR


def test_an_early_callback_is_told_with_the_job() -> None:
    """That it reported the end is not forgotten if another one follows."""
    hints = Hints()
    hints.expect(ID)

    assert hints.heard(ID, COMPLETED) is None
    assert hints.heard(ID, RUNNING) is None
    assert hints.accepted(ID, "job-1") is True
    assert hints.heard(ID, RUNNING) == "job-1"


def test_a_callback_for_an_uncertain_submission_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It shows that the server has the job, with its id; nothing else happens."""
    hints = Hints()
    hints.expect(ID)
    hints.withdraw(ID, is_uncertain=True)

    assert hints.heard(ID, COMPLETED) is None
    assert ID in caplog.text
    assert "job-1" in caplog.text
