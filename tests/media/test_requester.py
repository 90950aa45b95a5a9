"""Sessions of the caller are used for downloads, with their proxies, connections and tracing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from luma_async import ConfigurationError, LumaClient
from tests.clients import KEY
from tests.media.hosts import MP4, at, host
from tests.transport.proxies import running_proxy


@pytest.mark.parametrize("which", ["session", "media_session"])
async def test_downloads_use_the_proxy_of_a_session(which: str, tmp_path: Path) -> None:
    """The proxy may be the only way to the internet."""
    async with running_proxy() as proxy, aiohttp.ClientSession(proxy=proxy.url) as mine:
        api: dict[str, Any] = {
            "session": mine,
            "media_session": mine if which == "media_session" else None,
        }
        async with LumaClient(KEY, base_url="http://api.test", **api) as luma:
            path = await luma.download("j", tmp_path / "v.mp4", watermark_free=False)
        assert not mine.closed

    assert path.read_bytes() == MP4
    assert proxy.asked == ["http://api.test/luma/generations/j", "http://cdn.test/v.mp4?sig=1"]
    assert "Authorization" not in proxy.headers[1]


async def test_headers_and_cookies_of_an_api_session_are_not_sent_to_media_hosts(
    tmp_path: Path,
) -> None:
    """Only its connections and tracing are used."""
    seen: list[dict[str, str]] = []
    traced: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        response = web.Response(body=MP4, content_type="video/mp4")
        response.set_cookie("track", "me")
        return response

    async def note(
        session: object, context: object, about: aiohttp.TraceRequestStartParams
    ) -> None:
        traced.append(about.url.path)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(note)
    mine = aiohttp.ClientSession(
        headers={"X-Tenant": "secret"}, cookies={"a": "secret"}, trace_configs=[tracing]
    )
    async with host(serve) as url, mine:
        async with LumaClient(KEY, base_url=url, session=mine) as luma:
            for name in "ab":
                await luma.download(at(f"{url}/{name}"), tmp_path / name)
        assert mine.connector is not None
        assert not mine.connector.closed
        assert len(mine.cookie_jar) == 1

    assert traced == ["/a", "/b"]
    assert not any("secret" in str(each) or "Cookie" in each for each in seen)


async def test_a_session_for_downloads_is_used_as_it_is(tmp_path: Path) -> None:
    """Its headers are sent, and its handling of statuses and encodings does not matter."""
    seen: list[dict[str, str]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        if request.path == "/moved":
            raise web.HTTPFound("/a")
        return web.Response(body=MP4, content_type="video/mp4")

    mine = aiohttp.ClientSession(headers={"X-Tenant": "me"}, raise_for_status=True)
    async with host(serve) as url, mine:
        async with LumaClient(KEY, base_url=url, media_session=mine) as luma:
            path = await luma.download(at(f"{url}/moved"), tmp_path / "a.mp4")
        assert not mine.closed

    assert path.read_bytes() == MP4
    assert [each["X-Tenant"] for each in seen] == ["me", "me"]
    assert [each["Accept-Encoding"] for each in seen] == ["identity", "identity"]
    assert not any("Authorization" in each for each in seen)


@pytest.mark.parametrize("which", ["session", "media_session"])
async def test_a_closed_session_is_an_error(which: str, tmp_path: Path) -> None:
    """No other session is opened, because it might bypass the proxy."""
    mine = aiohttp.ClientSession()
    await mine.close()
    sessions: dict[str, Any] = {"session": None, "media_session": None, which: mine}
    async with LumaClient(KEY, base_url="http://127.0.0.1:9", **sessions) as luma:
        with pytest.raises(ConfigurationError, match="session given to this client is closed"):
            await luma.download(at("http://127.0.0.1:9/a.mp4"), tmp_path / "a.mp4")
