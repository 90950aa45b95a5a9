"""A proxy on loopback that answers for every host itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.media.hosts import MP4


@dataclass
class Proxy:
    """Its URL, and what it was asked: the URLs, and the logins that came with them."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@asynccontextmanager
async def running_proxy() -> AsyncIterator[Proxy]:
    """Run a proxy behind which there are a gateway, `api.test`, and a media host, `cdn.test`."""
    proxy = Proxy()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        proxy.asked.append(str(request.url))
        proxy.logins.append(request.headers.get("Proxy-Authorization"))
        proxy.headers.append(dict(request.headers))
        if request.host == "cdn.test":
            response = web.Response(body=MP4, content_type="video/mp4")
            response.set_cookie("seen", "yes")
            return response
        video = {"url": "http://cdn.test/v.mp4?sig=1"}
        return web.json_response({"id": "j", "state": "completed", "video": video})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield proxy
    finally:
        await runner.cleanup()
