"""Stand-ins: servers on loopback in place of those of fal and Replicate, over TLS as these are.

They answer the calls that the clients `fal_client` and `replicate` make, as the source of these
clients reads the answers. Each of them counts the submissions that it has accepted, and can lose
the answers to some.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from tests.tls import server_context, write_authority

T = TypeVar("T")

FILM = b"\0\0\0\x18ftypmp42" + bytes(2048)


@dataclass
class StandIn:
    """One server.

    Attributes:
        accepted: the body of each submission that was accepted, and would be paid for.
        headers: the headers of each of them.
        lost: number of next submissions that are accepted, and whose connection is then cut.
        late: number of next submissions that are accepted, and answered after seconds.
        statuses: HTTP status and body of the answers to the next submissions.
        url: the base URL, once the server runs.

    """

    accepted: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lost: int = 0
    late: int = 0
    statuses: list[tuple[int, str]] = field(default_factory=list)
    url: str = ""

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the server."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the environment in which the client of the server talks to this one."""
        raise NotImplementedError

    async def accept(self, request: web.Request) -> str:
        """Accept a submission, and return the id of its job."""
        self.accepted.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.lost:
            self.lost -= 1
            assert request.transport is not None
            request.transport.abort()
            raise web.HTTPBadGateway  # nobody gets it
        if self.late:
            self.late -= 1
            await asyncio.sleep(2)
        if self.statuses:
            status, body = self.statuses.pop(0)
            error = web.HTTPException(text=body)
            error.set_status(status)
            raise error
        return f"job-{len(self.accepted)}"

    async def film(self, request: web.Request) -> web.Response:
        """Answer with the file of a job."""
        return web.Response(body=FILM, content_type="video/mp4")


Server = TypeVar("Server", bound=StandIn)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server in a thread of its own within the context."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()
    app = web.Application()
    app.add_routes(server.routes())
    runner = web.AppRunner(app)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context())
        await site.start()
        _, port = runner.addresses[0]
        server.url = f"https://localhost:{port}"

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        run(start())
        yield server
    finally:
        run(runner.cleanup())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def trusted(folder: Path) -> dict[str, str]:
    """Return the environment in which a program trusts the certificates of stand-ins."""
    return {"SSL_CERT_FILE": str(write_authority(folder / "authority.pem"))}
