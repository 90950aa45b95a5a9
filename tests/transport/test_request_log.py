"""Each HTTP request is a line of the logger `luma_async.http`, at DEBUG."""

from __future__ import annotations

import asyncio
import logging
import math
import re

import pytest

from luma_async import LumaClient, LumaError
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, KEY, connect, until

SECONDS = r"after \d+\.\d{3} s"


def requests(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if record.name == "luma_async.http"]
    assert {record.levelname for record in ours} <= {"DEBUG"}
    return [record.getMessage() for record in ours]


async def test_a_request_is_told_with_status_seconds_and_try(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A submission and a status request, each as often as it was sent."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim, LumaClient(KEY, base_url=sim.url) as luma:
        sim.faults.add(Fault.rate_limited(retry_after=0, times=1))
        task = await luma.generate("a cat")
        sim.faults.add(Fault.page(502, on=["get"], times=1))
        await luma.get(task.id)

    submit, get = r"POST /luma/generations", rf"GET /luma/generations/{task.id}"
    expected = [
        *(rf"{submit}: 429 {SECONDS} \(try 1\)", rf"{submit}: 20\d {SECONDS} \(try 2\)"),
        *(rf"{get}: 502 {SECONDS} \(try 1\)", rf"{get}: 200 {SECONDS} \(try 2\)"),
    ]
    told = requests(caplog)
    assert len(told) == len(expected)
    for text, pattern in zip(told, expected, strict=True):
        assert re.fullmatch(pattern, text)


async def test_a_request_without_an_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """With the kind of its error; also if it is cancelled while it waits."""
    caplog.set_level(logging.DEBUG, "luma_async")
    async with Simulator() as sim, connect(sim, timeout=0.2, max_tries=1) as luma:
        sim.faults.add(Fault.slow(math.inf, on=["get"]))
        with pytest.raises(LumaError):
            await luma.get("a")
        look = asyncio.create_task(luma.get("b"))
        await until(lambda: sim.ledger.requests["get"] == 2)
        look.cancel()
        await asyncio.gather(look, return_exceptions=True)

    late, cancelled = requests(caplog)
    pattern = rf"GET /luma/generations/a: no answer \(APITimeoutError\) {SECONDS} \(try 1\)"
    assert re.fullmatch(pattern, late)
    assert re.fullmatch(rf"GET /luma/generations/b: cancelled {SECONDS} \(try 1\)", cancelled)


async def test_a_server_that_is_dead_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Looks that fail and are repeated are told at DEBUG; one warning stands for all of them."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(HOUR)) as sim, connect(sim, max_tries=2) as luma:
        await luma.generate("a cat")
        caplog.clear()
        sim.faults.add(Fault.answer(b"", status=503, on=["get", "tasks"]))
        await until(lambda: sim.ledger.statuses[503] > 4)
        warned = [record.levelname for record in caplog.records if record.name == "luma_async"]
        caplog.set_level(logging.DEBUG, "luma_async")
        await until(lambda: "Trying again" in caplog.text)

    assert warned == ["WARNING"]
