"""Links into private networks are rejected, unless the gateway is in such a network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from luma_async import DownloadError, LumaClient
from luma_async.media.addresses import Network, literal_address, network_of
from tests.media.hosts import MP4, at, host


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("127.0.0.1", Network.LOOPBACK),
        ("127.8.8.8", Network.LOOPBACK),
        ("0.0.0.0", Network.LOOPBACK),  # noqa: S104
        ("::", Network.LOOPBACK),
        ("::1", Network.LOOPBACK),
        ("::ffff:127.0.0.1", Network.LOOPBACK),
        ("::127.0.0.1", Network.LOOPBACK),
        ("64:ff9b::7f00:1", Network.LOOPBACK),
        ("2002:7f00:1::", Network.LOOPBACK),
        ("169.254.169.254", Network.LINK_LOCAL),
        ("fe80::1", Network.LINK_LOCAL),
        ("64:ff9b::a9fe:a9fe", Network.LINK_LOCAL),
        ("10.1.2.3", Network.PRIVATE),
        ("172.16.0.1", Network.PRIVATE),
        ("192.168.0.1", Network.PRIVATE),
        ("100.64.0.1", Network.PRIVATE),
        ("::ffff:10.0.0.1", Network.PRIVATE),
        ("fd00::1", Network.PRIVATE),
        ("fec0::1", Network.PRIVATE),
        ("64:ff9b:1::1", Network.PRIVATE),
        ("224.0.0.1", Network.RESERVED),
        ("ff02::1", Network.RESERVED),
        ("255.255.255.255", Network.RESERVED),
    ],
)
def test_every_address_has_one_kind_of_network(text: str, network: Network | None) -> None:
    """IPv4 addresses within IPv6 addresses are treated as IPv4 addresses."""
    assert network_of(ipaddress.ip_address(text)) is network


@given(st.ip_addresses())
def test_addresses_that_are_not_global_are_not_public(address: Any) -> None:
    """The kinds agree with the registries of IANA."""
    if not address.is_global and getattr(address, "ipv4_mapped", None) is None:
        embedded = getattr(address, "sixtofour", None)
        assert network_of(address) is not None or embedded is not None


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "a.localhost."]
)
def test_every_notation_of_loopback_is_recognised(host: str) -> None:
    """Hosts are read as systems and browsers read them."""
    assert literal_address(host) == ipaddress.ip_address("127.0.0.1")


class Names(AbstractResolver):
    """Resolver with a test's own addresses."""

    def __init__(self, **hosts: str) -> None:
        self.hosts = {"localhost": "127.0.0.1"} | {
            name.replace("_", "."): address for name, address in hosts.items()
        }

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.hosts[host]
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that gives addresses to names, for every kind of lookup."""

    def have(**hosts: str) -> None:
        resolver = Names(**hosts)

        async def look_up(self: Any, host: str, *_: Any, **__: Any) -> list[Any]:
            (found,) = await resolver.resolve(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found["host"], 0))]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
        monkeypatch.setattr("luma_async.media.requester.DefaultResolver", lambda: resolver)

    return have


@asynccontextmanager
async def a_media_host(location: str | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a media host on loopback, and list the paths that were requested."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if location is not None and request.path == "/moved":
            return web.Response(status=302, headers={"Location": location})
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(serve) as url:
        yield url, asked


PUBLIC = "http://gateway.example"


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1:{port}/a", "http://localhost:{port}/a", "http://cdn.example:{port}/a"],
)
@pytest.mark.parametrize("way", ["own session", "media_session", "session"])
async def test_a_public_gateway_cannot_link_to_a_private_address(
    link: str, way: str, tmp_path: Path, names: Callable[..., None]
) -> None:
    """An address or a name that resolves to one is rejected in any session, and not requested."""
    names(gateway_example="8.8.8.8", cdn_example="127.0.0.1")
    connector = aiohttp.TCPConnector(resolver=Names(cdn_example="127.0.0.1"))
    async with a_media_host() as (url, asked), aiohttp.ClientSession(connector=connector) as mine:
        sessions: dict[str, Any] = {} if way == "own session" else {way.replace(" ", "_"): mine}
        generation = at(link.format(port=url.rpartition(":")[2]))
        async with LumaClient("k", base_url=PUBLIC, max_tries=1, **sessions) as luma:
            with pytest.raises(DownloadError, match="loopback address") as caught:
                await luma.download(generation, tmp_path / "a.mp4")
            assert "allow_private_media=True" in str(caught.value)
            assert asked == []

        async with LumaClient(
            "k", base_url=PUBLIC, allow_private_media=True, max_tries=1, **sessions
        ) as luma:
            path = await luma.download(generation, tmp_path / "a.mp4")

    assert path.read_bytes() == MP4


@pytest.mark.parametrize("target", ["http://127.0.0.2:9/x", "//localhost:9/x", "http://[::1]:9/x"])
async def test_a_redirect_to_a_private_address_is_rejected(
    target: str, tmp_path: Path, names: Callable[..., None]
) -> None:
    """A redirect by the gateway's own host is rejected, too."""
    names(gateway_example="8.8.8.8")
    resolver = Names(gateway_example="127.0.0.1")  # where the simulated public host is
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with (
        a_media_host(target) as (url, asked),
        aiohttp.ClientSession(connector=connector) as mine,
    ):
        base_url = f"{PUBLIC}:{url.rpartition(':')[2]}"
        async with LumaClient("k", base_url=base_url, media_session=mine, max_tries=1) as luma:
            with pytest.raises(DownloadError, match="loopback address"):
                await luma.download(at(f"{base_url}/moved"), tmp_path / "a.mp4")

    assert asked == ["/moved"]


@pytest.mark.parametrize(
    ("gateway", "media", "is_allowed"),
    [
        ("127.0.0.1", "127.0.0.5", True),
        ("10.0.0.1", "192.168.3.3", True),
        ("10.0.0.1", "169.254.169.254", False),
        ("10.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "10.0.0.1", False),
        ("8.8.8.8", "198.18.0.7", True),  # what local proxies answer for public names
    ],
)
async def test_links_may_lead_to_the_kind_of_network_that_the_gateway_is_in(
    gateway: str, media: str, is_allowed: bool, names: Callable[..., None]
) -> None:
    """A gateway at home may link to files at home, but not to a cloud's metadata service."""
    names(gateway_example=gateway, cdn_example=media)
    async with LumaClient("k", base_url=PUBLIC) as luma:
        resolver = luma._downloader._requester._resolver()
        if is_allowed:
            assert [each["host"] for each in await resolver.resolve("cdn.example")] == [media]
        else:
            with pytest.raises(Exception, match=r"cdn\.example has a"):
                await resolver.resolve("cdn.example")
