"""Submissions that never leave are never uncertain, whatever kept them here."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from luma_async import (
    APIConnectionError,
    ClientClosedError,
    ConfigurationError,
    LumaClient,
    SubmissionUncertainError,
)
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from tests.clients import KEY, connect, until
from tests.loops import skip

Hook = Callable[..., Any]


@asynccontextmanager
async def proxy_that_answers(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a proxy that answers every request so, and yield its URL and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def tracing(**hooks: Hook) -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()
    for name, hook in hooks.items():
        getattr(config, name).append(hook)
    return config


def basic_auth() -> aiohttp.BasicAuth:
    """Return what sessions are given for their own authorization; newer ones frown at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return aiohttp.BasicAuth("somebody", "something")


async def broken(*_: Any) -> None:
    raise RuntimeError("the hook is broken")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=["407", "403", "502", "cut"],
)
async def test_a_proxy_that_refuses_to_connect_is_tried_again(answer: bytes) -> None:
    """No byte for the gateway has left: the error says that nothing was accepted."""
    async with (
        proxy_that_answers(answer) as (proxy, asked),
        aiohttp.ClientSession(proxy=proxy) as session,
        LumaClient(KEY, base_url="https://gw.invalid", session=session, max_tries=2) as luma,
    ):
        with pytest.raises(APIConnectionError, match="the job was not accepted"):
            await luma.generate("a cat")

        assert len(asked) == 2
        assert all(request.startswith(b"CONNECT gw.invalid:443") for request in asked)


async def test_a_gateway_that_speaks_no_tls_is_tried_again() -> None:
    """The handshake comes before the request."""
    async with (
        Simulator() as sim,
        LumaClient(KEY, base_url=sim.url.replace("http:", "https:"), max_tries=2) as luma,
    ):
        with pytest.raises(APIConnectionError, match="the job was not accepted"):
            await luma.generate("a cat")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "127.0.0.1:9", "http://127.0.0.1:9"])
async def test_a_proxy_that_cannot_be_used_is_told(proxy: str) -> None:
    """Whether it is down or of a kind that aiohttp has no way through, nothing was accepted."""
    async with (
        aiohttp.ClientSession(proxy=proxy) as session,
        LumaClient(KEY, base_url="http://gw.invalid", session=session, max_tries=1) as luma,
    ):
        with pytest.raises(
            (APIConnectionError, ConfigurationError), match="the job was not accepted"
        ):
            await luma.generate("a cat")


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_a_server_that_is_not_there_is_told_in_few_words(base_url: str) -> None:
    """The reason is that of the operating system; settings of aiohttp are not in it."""
    async with LumaClient(KEY, base_url=base_url, max_tries=1) as luma:
        with pytest.raises(APIConnectionError) as caught:
            await luma.generate("a cat")

    assert str(caught.value).startswith(
        "POST /luma/generations: no answer from 127.0.0.1:1: Cannot connect to host 127.0.0.1:1 ["
    )
    assert str(caught.value).endswith("; the job was not accepted.")


@pytest.mark.parametrize("base_url", ["http://gateway..invalid", f"http://{'a' * 64}.invalid"])
async def test_a_slip_in_the_host_is_told_at_once(base_url: str) -> None:
    """A name that no host can have will not be one at the next try."""
    async with LumaClient(KEY, base_url=base_url) as luma:
        with pytest.raises(
            (ConfigurationError, APIConnectionError), match="the job was not accepted"
        ):
            await luma.generate("a cat")


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": basic_auth()},
        {"headers": {"X-Team": "a\r\nb"}},
        {"trace_configs": [tracing(on_request_start=broken)]},
        {"trace_configs": [tracing(on_connection_create_start=broken)]},
        {"trace_configs": [tracing(on_request_headers_sent=broken)]},
    ],
    ids=["auth", "header", "request hook", "connection hook", "header hook"],
)
@pytest.mark.filterwarnings("ignore:.*auth.*:DeprecationWarning")
async def test_a_session_that_cannot_send_is_a_configuration_error(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """The text says what is wrong; the journal has no entry, and the gateway no job."""
    async with (
        Simulator() as sim,
        aiohttp.ClientSession(**settings) as session,
        connect(sim, session=session, journal=tmp_path / "jobs.db") as luma,
    ):
        with pytest.raises(
            ConfigurationError, match=r"could not be sent.*was not accepted"
        ) as caught:
            await luma.generate("a cat", key="cat")

        assert luma.journal is not None
        assert await luma.journal.find("cat") is None
        assert KEY not in repr(caught.value.__context__)
        assert not sim.ledger.jobs


async def test_a_netrc_beside_trust_env_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login of `.netrc` is never sent instead of the API key, as old aiohttp would."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with (
        Simulator() as sim,
        aiohttp.ClientSession(trust_env=True) as session,
        connect(sim, session=session) as luma,
    ):
        with pytest.raises(ConfigurationError, match="netrc has a login for 127"):
            await luma.generate("a cat")

        assert not sim.ledger.jobs


async def test_a_session_of_another_loop_is_a_configuration_error() -> None:
    """It would wait for sockets that another thread watches."""
    made: list[aiohttp.ClientSession] = []
    loop = asyncio.new_event_loop()

    async def make() -> None:
        made.append(aiohttp.ClientSession())

    thread = threading.Thread(target=loop.run_until_complete, args=(make(),))
    thread.start()
    thread.join()
    async with Simulator() as sim, connect(sim, session=made[0]) as luma:
        with pytest.raises(ConfigurationError, match="the job was not accepted"):
            await luma.generate("a cat")

        assert not sim.ledger.jobs
    await made[0].close()
    loop.close()


async def test_a_hook_that_breaks_once_the_answer_is_there_leaves_it_uncertain() -> None:
    """The request had left by then."""
    async with (
        Simulator() as sim,
        aiohttp.ClientSession(trace_configs=[tracing(on_request_end=broken)]) as session,
        connect(sim, session=session) as luma,
    ):
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")

        assert len(sim.ledger.jobs) == 1


async def test_middleware_that_replaces_the_body_pays_for_no_second_job() -> None:
    """Nobody saw its body leave, so an answer that is lost leaves the submission uncertain."""

    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        await request.update_body(b'{"user_prompt": "a cat, signed"}')
        return await handler(request)

    async with (
        Simulator() as sim,
        aiohttp.ClientSession(middlewares=(sign,)) as session,
        connect(sim, session=session, max_tries=3) as luma,
    ):
        sim.faults.add(Fault.cut(after=True))

        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat")

        assert len(sim.ledger.jobs) == 1


async def test_a_session_that_is_closed_between_two_tries_leaves_nothing_uncertain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first try was rejected for certain, and the second never left."""
    caplog.set_level(logging.INFO, "luma_async")
    async with (
        Simulator() as sim,
        aiohttp.ClientSession() as session,
        connect(sim, session=session, journal=tmp_path / "jobs.db") as luma,
    ):
        sim.faults.add(Fault.rate_limited(retry_after=90, times=1))
        asked = asyncio.create_task(luma.generate("a cat", key="cat"))
        await until(lambda: "Trying again" in caplog.text)
        await session.close()
        skip(200.0)

        with pytest.raises(ConfigurationError):
            await asked

        assert luma.journal is not None
        assert await luma.journal.find("cat") is None


async def test_a_proxy_s_password_is_in_no_error() -> None:
    """The driver shows the proxy's whole URL where it refuses."""
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with proxy_that_answers(answer) as (proxy, _):
        login = proxy.replace("://", "://somebody:hunter2-secret@")
        async with (
            aiohttp.ClientSession(proxy=login) as session,
            LumaClient(KEY, base_url="https://gw.invalid", session=session, max_tries=1) as luma,
        ):
            with pytest.raises(APIConnectionError) as caught:
                await luma.generate("a cat")

            assert "hunter2" not in str(caught.value)


async def test_closing_keeps_what_is_still_connecting_from_leaving() -> None:
    """A gateway that answers late to a connection gets no request for it any more."""
    connecting, goes_on = asyncio.Event(), asyncio.Event()

    async def wait(*_: Any) -> None:
        connecting.set()
        await goes_on.wait()

    async with (
        Simulator() as sim,
        aiohttp.ClientSession(trace_configs=[tracing(on_connection_create_end=wait)]) as session,
    ):
        luma = connect(sim, session=session)
        asked = asyncio.create_task(luma.generate("a cat"))
        await connecting.wait()

        closing = asyncio.create_task(luma.aclose())
        await asyncio.sleep(0)
        goes_on.set()
        await closing

        with pytest.raises(ClientClosedError, match="the job was not accepted"):
            await asked
        assert not sim.ledger.jobs


async def test_a_long_header_hides_no_answer() -> None:
    """Proxies add cookies and policies of many kilobytes."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim) as luma:
        body = b'{"id": "job-1", "state": "pending"}'
        long = (("Content-Security-Policy", "a" * 60_000),)
        sim.faults.add(Fault.answer(body, headers=long, times=1))

        task = await luma.generate("a cat")

        assert task.id == "job-1"
        task.forget()


async def test_every_try_of_a_job_carries_the_same_two_ids(tmp_path: Path) -> None:
    """A server that knows such ids can tell a repeat from a new job, and so can its support."""
    async with (
        Simulator(durations=Fixed(0)) as sim,
        connect(sim, journal=tmp_path / "jobs.db") as luma,
    ):
        sim.faults.add(Fault.rate_limited(retry_after=0, times=2))
        await luma.generate("a cat")
        sim.faults.add(Fault.cut(after=True, times=1))

        with pytest.raises(SubmissionUncertainError) as caught:
            await luma.generate("a dog", key="dog")

        cats, dog = sim.ledger.idempotency_keys[:3], sim.ledger.idempotency_keys[3]
        assert len(set(cats)) == 1
        assert dog not in cats
        assert dog == (caught.value.request_id, caught.value.request_id)
        assert str(caught.value.request_id) in str(caught.value)


async def test_a_repeat_costs_nothing_where_the_server_knows_the_id() -> None:
    """With `retry_uncertain=True`, the second try gets the job of the first."""
    variant = Variant(knows_repeats=True)
    async with Simulator(durations=Fixed(0), variant=variant) as sim, connect(sim) as luma:
        sim.faults.add(Fault.cut(after=True, times=1))

        await (await luma.generate("a cat", retry_uncertain=True))

        assert sim.ledger.requests["generate"] == 2
        assert len(sim.ledger.jobs) == 1
