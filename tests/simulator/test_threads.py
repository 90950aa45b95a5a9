"""A test in another thread, with an event loop of its own or none, controls the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
from collections.abc import Iterator

import aiohttp
import pytest
from yarl import URL

from luma_async import APIConnectionError, FixedSchedule, LumaClient
from luma_async.simulator import Fault, Simulator
from luma_async.simulator.clock import Notifier
from luma_async.simulator.faults import Faults
from luma_async.testing import running_simulator


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with running_simulator(durations=0.05, short_side=60) as simulator:
        yield simulator


async def test_the_server_goes_and_comes_back(sim: Simulator) -> None:
    """The methods with `await` run in the simulator's event loop, and not in that of the test."""
    schedule = FixedSchedule(0.02)
    async with LumaClient("sk-x", base_url=sim.url, schedule=schedule, max_tries=1) as luma:
        video = await luma.run("a cat dances")
        async with sim.unreachable():
            with pytest.raises(APIConnectionError):
                await luma.get(video.id)
        await sim.restart()
        assert (await luma.get(video.id)).id == video.id


async def test_a_file_is_replaced(sim: Simulator) -> None:
    """From another event loop as well."""
    async with (
        LumaClient("sk-x", base_url=sim.url, schedule=FixedSchedule(0.02)) as luma,
        aiohttp.ClientSession() as session,
    ):
        video = await luma.run("a cat dances")
        await sim.replace_file(video.id, "last.jpg", b"another")
        assert video.last_frame is not None
        assert video.last_frame.url is not None
        async with session.get(video.last_frame.url) as answer:
            assert await answer.read() == b"another"


@pytest.mark.parametrize("seconds", [math.inf, 3600.0])
async def test_a_notification_just_before_a_wait_ends_it(seconds: float) -> None:
    """Another thread may notify between the decision to wait and the wait."""
    notifier = Notifier()

    def left() -> float:
        notifier.notify_all()
        return seconds

    async with asyncio.timeout(10):
        await notifier.wait(left)


async def test_faults_that_are_cleared_hold_no_call() -> None:
    """Not even a call that has met the fault, and has not yet begun to wait."""
    faults = Faults(random.Random(0))
    faults.add(Fault.slow(math.inf, times=1))
    [fault] = faults.due("generate", after=False, reused=False)
    faults.clear()

    async with asyncio.timeout(10):
        await faults.delay(fault)


def test_a_connection_that_is_accepted_last_is_closed_as_well() -> None:
    """A simulator that stops at that moment leaves no socket open."""
    with running_simulator(short_side=60) as simulator:
        address = ("127.0.0.1", URL(simulator.url).port)
        connections = [socket.create_connection(address) for _ in range(8)]

    for connection in connections:
        with connection, contextlib.suppress(ConnectionResetError):
            connection.settimeout(10)
            assert connection.recv(1) == b""
