"""Submissions use a connection again that was used just now, and never one that may be closing."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luma_async import FixedSchedule, LumaClient, SubmissionUncertainError, VideoTask
from luma_async.errors import APIError
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.transport import connection_reuse
from luma_async.transport.connection_reuse import (
    MAX_IDLE,
    NO_REUSE_TIME,
    ConnectionChoice,
    ReusePolicy,
    has_ended,
    max_idle,
)
from tests.clients import HOUR, KEY, connect, until
from tests.loops import skip
from tests.tls import client_context, server_context


class Clock:
    """What aiohttp and the client tell the age of a connection by: it stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let connections age when the test says so: no machine is too slow."""
    clock = Clock()
    monkeypatch.setattr("aiohttp.connector.monotonic", clock)
    monkeypatch.setitem(ReusePolicy.__init__.__kwdefaults__ or {}, "clock", clock)
    return clock


WORDS = ["timeout", "max", "=", ",", "-", "1", "0.5", "inf", "1e999"]

SELDOM = FixedSchedule(1e6)
"""No poll of its own accord takes a connection, or keeps one from growing old."""

Open = Callable[[Simulator], Any]


@asynccontextmanager
async def own(sim: Simulator) -> AsyncIterator[LumaClient]:
    async with connect(sim, schedule=SELDOM) as luma:
        yield luma


@asynccontextmanager
async def callers(sim: Simulator) -> AsyncIterator[LumaClient]:
    connector = aiohttp.TCPConnector(ssl=client_context())
    async with aiohttp.ClientSession(connector=connector) as session:
        async with connect(sim, session=session, schedule=SELDOM) as luma:
            yield luma


@pytest.fixture(params=["own", "callers"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return what opens a client that trusts the test's certificates, on either kind of session."""
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", client_context())
    return own if request.param == "own" else callers


async def submit(luma: LumaClient, count: int) -> tuple[list[VideoTask], int]:
    """Submit so many at once; return the handles, and how many submissions are uncertain."""
    asked = (luma.generate(f"cat {number}") for number in range(count))
    results = await asyncio.gather(*asked, return_exceptions=True)
    tasks = [result for result in results if isinstance(result, VideoTask)]
    uncertain = [result for result in results if isinstance(result, SubmissionUncertainError)]
    assert len(tasks) + len(uncertain) == count
    return tasks, len(uncertain)


def taken(sim: Simulator, *, more_than: int) -> bool:
    return len(sim.ledger.jobs) > more_than


def shut(sim: Simulator) -> None:
    """Let the server's end of each connection be closed, which no event loop has read yet."""
    assert sim._runner is not None
    assert sim._runner.server is not None
    for connection in sim._runner.server.connections:
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_submissions_share_connections(clock: Clock, client: Open, tls: bool) -> None:
    """Many submissions need no more connections than there are requests at once."""
    context = server_context() if tls else None
    async with Simulator(durations=Fixed(HOUR), ssl_context=context) as sim, client(sim) as luma:
        tasks, uncertain = await submit(luma, 60)

        assert (len(tasks), uncertain) == (60, 0)
        assert len(sim.ledger.jobs) == 60
        assert sim.ledger.connections <= 15


async def test_no_submission_leaves_on_a_connection_that_was_idle(
    clock: Clock, client: Open
) -> None:
    """Just below the limit it is used again; at the limit another one is opened."""
    async with Simulator(durations=Fixed(HOUR)) as sim, client(sim) as luma:
        await luma.generate("a cat")
        clock.now += MAX_IDLE - 0.01
        await luma.generate("a dog")
        assert sim.ledger.connections == 1

        clock.now += MAX_IDLE + 0.01
        await luma.generate("a cow")

        assert sim.ledger.connections == 2


async def test_the_newest_connection_is_used_first(clock: Clock, client: Open) -> None:
    """Of several, one is used again and again, and the rest grow old without being tried."""
    async with Simulator(durations=Fixed(HOUR)) as sim, client(sim) as luma:
        sim.faults.add(Fault.slow(math.inf, after=True))
        asked = asyncio.create_task(submit(luma, 4))
        await until(lambda: len(sim.ledger.jobs) == 4)
        sim.faults.clear()
        await asked
        assert sim.ledger.connections == 4

        for number in range(8):
            clock.now += MAX_IDLE / 2
            await luma.generate(f"dog {number}")

        assert sim.ledger.connections == 4


async def test_polls_use_what_is_too_old_for_a_submission(clock: Clock) -> None:
    """In a session of the caller's, one connection carries polls while submissions avoid it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, callers(sim) as luma:
        task = await luma.generate("a cat")
        for _ in range(20):
            clock.now += 5
            await luma.get(task.id)
        assert sim.ledger.connections == 1

        clock.now += 5
        await luma.generate("a dog")
        await luma.get(task.id)

        assert sim.ledger.connections == 2


async def test_a_submission_follows_a_poll_on_its_connection(clock: Clock) -> None:
    """In a session of the caller's, it does not matter what a connection was used for."""
    async with Simulator(durations=Fixed(HOUR)) as sim, callers(sim) as luma:
        task = await luma.generate("a cat")
        clock.now += 5
        await luma.get(task.id)

        await luma.generate("a dog")

        assert sim.ledger.connections == 1


@pytest.mark.parametrize(("said", "idle"), [(0, 0.0), (1, 0.5)])
async def test_a_keep_alive_header_counts_if_it_says_less(
    clock: Clock, client: Open, said: int, idle: float
) -> None:
    """A server that keeps connections for a second has closed one when the request arrives."""
    async with (
        Simulator(durations=Fixed(HOUR), says_idle_timeout=said) as sim,
        client(sim) as luma,
    ):
        await luma.generate("a cat")
        if idle:
            clock.now += idle - 0.01
            await luma.generate("a dog")
            assert sim.ledger.connections == 1

        clock.now += idle
        await luma.generate("a cow")

        assert sim.ledger.connections == 2


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_servers_that_close_idle_connections(clock: Clock, client: Open, tls: bool) -> None:
    """However soon they do, nothing leaves on a closed one, so no submission is uncertain."""
    context = server_context() if tls else None
    async with (
        Simulator(durations=Fixed(HOUR), idle_timeout=5, ssl_context=context) as sim,
        client(sim) as luma,
    ):
        for _ in range(5):
            tasks, uncertain = await submit(luma, 15)
            assert (len(tasks), uncertain) == (15, 0)
            skip(6)
            await until(lambda: not sim._connections_now())

        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 75


async def test_a_connection_that_the_server_has_closed_carries_no_submission(
    clock: Clock, client: Open
) -> None:
    """The end of it is seen even before the event loop has read it: nothing leaves there."""
    async with Simulator(durations=Fixed(HOUR)) as sim, client(sim) as luma:
        await submit(luma, 10)
        shut(sim)

        tasks, uncertain = await submit(luma, 10)

        assert (len(tasks), uncertain) == (10, 0)
        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 20


async def test_the_end_of_a_connection_is_seen_before_it_is_read() -> None:
    """A closed peer shows at once, an open one does not."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
    try:
        assert not has_ended(transport)

        there.close()

        assert has_ended(transport)
    finally:
        transport.close()
        assert has_ended(transport)
    assert has_ended(None)


async def test_systems_that_cannot_tell_count_a_connection_as_open() -> None:
    """A transport may have no socket, or one that cannot be asked."""

    class Mute(asyncio.Transport):
        def is_closing(self) -> bool:
            return False

    assert not has_ended(Mute())
    assert not has_ended(Mute({"socket": socket.socket(fileno=None).detach()}))


async def test_systems_without_poll_use_select(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows is one."""
    monkeypatch.delattr("select.poll")
    await test_the_end_of_a_connection_is_seen_before_it_is_read()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_server_that_closes_after_each_answer(
    clock: Clock, client: Open, tls: bool
) -> None:
    """It is learned: none is lost, none is there twice, few are uncertain if any."""
    context = server_context() if tls else None
    async with Simulator(durations=Fixed(HOUR), ssl_context=context) as sim, client(sim) as luma:
        sim.faults.add(Fault.closing())

        tasks, uncertain = await submit(luma, 100)

        prompts = [job.request["user_prompt"] for job in sim.ledger.jobs]
        assert len(set(prompts)) == len(prompts)
        assert {task.id for task in tasks} <= {job.id for job in sim.ledger.jobs}
        assert uncertain <= 15  # those on the wire when the first connection was closed


async def test_a_server_that_closes_connections_is_trusted_again_later(
    clock: Clock, client: Open
) -> None:
    """For a minute each submission has its own connection, then they are used again."""
    async with Simulator(durations=Fixed(HOUR)) as sim, client(sim) as luma:
        sim.faults.add(Fault.cut(reused=True, times=1))
        await luma.generate("a cat")
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a dog")
        for _ in range(3):
            await luma.generate("a cow")
        assert sim.ledger.connections == 4

        clock.now += NO_REUSE_TIME
        await luma.generate("a cat")
        await luma.generate("a cat")

        assert sim.ledger.connections == 5


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_a_restart_in_the_middle(client: Open, tls: bool) -> None:
    """None is lost, none is there twice; uncertain is at most what was on the wire."""
    context = server_context() if tls else None
    async with Simulator(durations=Fixed(HOUR), ssl_context=context) as sim, client(sim) as luma:
        asked = asyncio.create_task(submit(luma, 120))
        await until(lambda: len(sim.ledger.jobs) > 40)
        await sim.restart()

        tasks, uncertain = await asked

        prompts = [job.request["user_prompt"] for job in sim.ledger.jobs]
        assert len(set(prompts)) == len(prompts)
        assert {task.id for task in tasks} <= {job.id for job in sim.ledger.jobs}
        assert len(tasks) + uncertain == 120
        assert uncertain <= 15


async def test_middlewares_and_traces_of_the_callers_go_on_working(clock: Clock) -> None:
    """They see each submission once; what a middleware says goes out with it."""
    seen: list[str] = []

    async def greet(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers["X-Greeting"] = "hello"
        seen.append("middleware")
        return await handler(request)

    async def note(_: Any, __: Any, about: aiohttp.TraceRequestEndParams) -> None:
        seen.append(f"trace {about.response.request_info.headers['X-Greeting']}")

    traced = aiohttp.TraceConfig()
    traced.on_request_end.append(note)
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        aiohttp.ClientSession(middlewares=(greet,), trace_configs=[traced]) as session,
        connect(sim, session=session, schedule=SELDOM) as luma,
    ):
        for number in range(3):
            await luma.generate(f"cat {number}")

        assert seen == ["middleware", "trace hello"] * 3
        assert sim.ledger.connections == 1


async def test_a_queue_at_the_callers_connector_does_not_age_its_connections(
    clock: Clock,
) -> None:
    """With room for one connection, all of them take turns on it, however long the queue is."""
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        connect(sim, session=session, schedule=SELDOM) as luma,
    ):
        asked = asyncio.create_task(submit(luma, 30))
        for count in range(30):
            await until(partial(taken, sim, more_than=count))
            clock.now += 2

        tasks, uncertain = await asked

        assert (len(tasks), uncertain) == (30, 0)
        assert len(sim.ledger.jobs) == 30


@pytest.mark.parametrize("broken", ["nothing is kept", "other entries"])
async def test_a_release_of_aiohttp_that_keeps_connections_otherwise(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """What is not known is not used: each submission has a connection of its own then."""
    async with Simulator(durations=Fixed(HOUR)) as sim, aiohttp.ClientSession() as session:
        if broken == "nothing is kept":
            monkeypatch.setattr("luma_async.transport.sessions.is_supported", lambda _: False)
        async with connect(sim, session=session, schedule=SELDOM) as luma:
            if broken == "other entries":
                monkeypatch.setattr(ConnectionChoice, "_newest", lambda *_: 1 / None)  # type: ignore[operator]
            for number in range(3):
                await luma.generate(f"cat {number}")

            assert sim.ledger.connections == 3


async def test_the_pool_of_this_release_of_aiohttp_is_supported() -> None:
    """Connections are kept under their key with the moment since when, oldest first."""
    async with Simulator(durations=Fixed(HOUR)) as sim, aiohttp.ClientSession() as session:
        assert connection_reuse.is_supported(session)
        async with session.get(sim.url + "/simulator/ledger") as response:
            await response.read()

        assert session.connector is not None
        [[(protocol, since)]] = session.connector._conns.values()
        assert protocol.is_connected()
        assert protocol._payload is not None
        assert isinstance(since, float)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("timeout=5, max=100", 4.5),
        ("timeout=1", 0.5),
        ("Timeout = 2", 1.5),
        ('timeout="3"', 2.5),
        ("timeout=0", 0.0),
        ("max=0", 0.0),
        ("timeout=20, max=0", 0.0),
        ("timeout=-1", math.inf),
        ("timeout=nan", math.inf),
        ("timeout=", math.inf),
        ("", math.inf),
        ("max=7", math.inf),
    ],
)
def test_what_a_keep_alive_header_says(header: str, seconds: float) -> None:
    """The way there and back counts as idle at the server."""
    assert max_idle(header) == seconds


@given(st.text() | st.lists(st.sampled_from(WORDS)).map("".join))
@example("timeout=inf,max=-0")
def test_no_keep_alive_header_breaks_anything(header: str) -> None:
    """Whatever it is, it says a time or nothing."""
    assert max_idle(header) >= 0


@pytest.mark.parametrize("status", [200, 307])
async def test_headers_up_to_64_kib_are_read(client: Open, status: int) -> None:
    """A long cookie, or a long place to go to, does not hide the answer to a paid job."""
    long = "x" * (60 * 2**10)
    job = b'{"id": "a-job", "state": "pending"}' if status == 200 else b""
    answer = (
        f"HTTP/1.1 {status} Said\r\nContent-Length: {len(job)}\r\nX-Long: {long}\r\n"
        f"Location: https://elsewhere.example/luma/generations?{long}\r\n\r\n"
    ).encode() + job

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        given = session if client is callers else None
        async with LumaClient(KEY, base_url=url, session=given) as luma:
            if status == 200:
                assert (await luma.generate("a cat")).id == "a-job"
            else:
                with pytest.raises(APIError, match=r"https://elsewhere\.example"):
                    await luma.generate("a cat")
