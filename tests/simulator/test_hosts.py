"""The simulator is reached by any of its addresses, as a gateway in a container is."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Literal

import aiohttp
import pytest
from aiohttp import web

from luma_async import LumaClient
from luma_async.simulator import Fixed, Simulator, Variant
from tests.tls import client_context, server_context

HEADERS = {"Authorization": "Bearer any-key"}


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ALL_IPV4 = "0.0.0.0"  # noqa: S104  for the time of a test
needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
BY_IPV6 = pytest.param("::1", marks=needs_ipv6)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", ALL_IPV4, BY_IPV6, pytest.param("::", marks=needs_ipv6)]
)
async def test_its_url_is_valid_for_a_client(host: str) -> None:
    """All addresses include loopback, and links begin with the same URL."""
    async with Simulator(host=host, durations=Fixed(0), short_side=90) as sim:
        async with LumaClient("sk-x", base_url=sim.url) as luma:
            video = await luma.get((await luma.generate("a cat")).id)

        assert video.video is not None
        assert video.video.url is not None
        assert video.video.url.startswith(f"{sim.url}/media/")
        async with sim.unreachable():  # and its port is kept meanwhile
            with pytest.raises(aiohttp.ClientConnectorError):
                await _post(sim.url, {})
        assert (await _post(sim.url, {"user_prompt": "a dog"}))["id"]


@needs_ipv6
async def test_all_addresses_are_those_of_ipv4_as_well() -> None:
    """Containers usually listen on `::`."""
    async with Simulator(host="::") as sim:
        port = sim.url.rpartition(":")[2]
        for url in (sim.url, f"http://127.0.0.1:{port}"):
            assert (await _post(url, {"user_prompt": "a cat"}))["state"] == "pending"


async def test_links_lead_to_the_host_that_was_asked() -> None:
    """Two clients that use different names of the host get links with their own names."""
    async with Simulator(host=ALL_IPV4, durations=Fixed(0)) as sim:
        job = await _post(sim.url, {"user_prompt": "a cat"})

        async def link_for(host: str) -> str:
            async with aiohttp.ClientSession(headers={**HEADERS, "Host": host}) as session:
                async with session.get(f"{sim.url}/luma/generations/{job['id']}") as response:
                    return str((await response.json())["video"]["url"])

        links = await asyncio.gather(link_for("gateway:8765"), link_for("localhost"))

    assert [link.partition("/media/")[0] for link in links] == [
        "http://gateway:8765",
        "http://localhost",
    ]


async def test_links_in_a_callback_lead_where_the_submission_went() -> None:
    """A callback has no request of its own."""
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        await told.put(await request.json())
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/hook", hook)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Simulator(durations=Fixed(0)) as sim:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            body = {"user_prompt": "a cat", "notify_hook": url}
            await _post(sim.url, body, host="gateway:8765")
            call = await told.get()
    finally:
        await runner.cleanup()

    assert call["video"]["url"].startswith("http://gateway:8765/media/")


async def test_requests_of_the_best_known_web_client_are_accepted() -> None:
    """The client adds a slash at the end, and empty strings for unset fields."""
    unset = dict.fromkeys(("aspect_ratio", "image_url", "image_end_url", "notify_hook"), "")
    body = {"user_prompt": "a cat", **unset, "expand_prompt": True, "loop": ""}
    async with Simulator(durations=Fixed(0)) as sim:
        job = await _post(sim.url, body, path="/luma/generations/")
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            async with session.get(f"{sim.url}/luma/generations/{job['id']}") as response:
                look = await response.json()

        assert sim.ledger.requests["generate"] == 1
        assert (look["state"], look["request"]["aspect_ratio"]) == ("completed", "16:9")
        assert (look["video"]["width"], look["video"]["height"]) == (1280, 720)


@pytest.mark.parametrize("form", ["array", "wrapped"])
async def test_a_status_comes_in_an_array_or_a_wrapper(form: Literal["array", "wrapped"]) -> None:
    """The array or wrapper contains one task or many."""
    async with Simulator(variant=Variant(one=form, batch=form)) as sim:
        id = (await _post(sim.url, {"user_prompt": "a cat"}))["id"]
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            async with session.get(f"{sim.url}/luma/generations/{id}") as response:
                one = await response.json()
            async with session.post(f"{sim.url}/luma/tasks", json={"ids": [id]}) as response:
                many = await response.json()

    if form == "array":
        assert (one[0]["id"], many[0]["id"]) == (id, id)
    else:
        assert (one["data"]["id"], many["data"][0]["id"]) == (id, id)


def test_tls_works_under_uvloop() -> None:
    """Connections are counted, though uvloop's TLS transports do not support weak references."""
    uvloop = pytest.importorskip("uvloop")  # it is not made for Windows

    async def look_twice() -> tuple[list[int], int]:
        connector = aiohttp.TCPConnector(ssl=client_context(), limit=1)
        async with Simulator(ssl_context=server_context()) as sim:
            async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as session:
                statuses = []
                for _ in range(2):
                    async with session.get(f"{sim.url}/luma/generations/unknown") as response:
                        statuses.append(response.status)
            return statuses, sim.ledger.connections

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(look_twice()) == ([404, 404], 1)


async def test_closed_connections_are_not_kept() -> None:
    """The simulator remembers connections only while they are open."""
    async with Simulator() as sim:
        for _ in range(5):
            await _post(sim.url, {"user_prompt": "a cat"})

        assert sim.ledger.connections == 5
        assert len(sim._connections) < 5


async def _post(
    url: str, body: dict[str, Any], *, path: str = "/luma/generations", host: str | None = None
) -> Any:
    headers = HEADERS if host is None else {**HEADERS, "Host": host}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(url + path, json=body) as response:
            return await response.json(content_type=None)
