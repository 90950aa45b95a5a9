"""Simulator: the gateway and its media host, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from luma_async.simulator.answers import Answers, Links
from luma_async.simulator.callbacks import Callbacks
from luma_async.simulator.clock import Clock
from luma_async.simulator.durations import Durations, LogNormal
from luma_async.simulator.faults import SUBMISSIONS, Fault, Faults
from luma_async.simulator.file_answer import FileAnswer
from luma_async.simulator.gateway_routes import Gateway
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.media_host import Media
from luma_async.simulator.rate_limit import RateLimit
from luma_async.simulator.simulated_jobs import JobMaker
from luma_async.simulator.variant import Variant

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the user's choice
"""Where to reach what listens on all addresses."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """A gateway on loopback.

    >>> async with Simulator(speed=20) as sim:      # doctest: +SKIP
    ...     print(sim.url)

    Args:
        api_key: the one key that is accepted; any key if not given.
        speed: how many simulated seconds pass in a real one.
        durations: how long jobs take in simulated seconds.
        failure_rate: the part of the jobs that fail.
        credits: jobs until the balance is used up; no end if not given.
        max_jobs: running jobs beyond which submissions get 429.
        full_for: the `Retry-After` of such a 429, in seconds; none if not given.
        max_rate: API requests in a real second beyond which they get 429, a second's worth at once
            being allowed; no end if not given.
        says_rate: whether answers say how many requests are left (`X-RateLimit-Remaining`).
        link_lifetime: simulated seconds until a media link expires.
        short_side: pixels of the shorter side of a video whose request names no resolution.
        video_bytes: how large the files of videos are at least.
        same_films: whether every job has the same film, that of the first, to save the making.
        variant: which of its known ways the gateway answers in.
        seed: what chance is drawn from; the same seed gives the same ids, durations and faults.
        host, port: where to listen; `0.0.0.0` and `::` are all addresses, those of IPv4 alone and
            those of IPv6 and IPv4. A free port if 0.
        ssl_context: the certificate to speak TLS with; plain HTTP if not given.
        idle_timeout: real seconds after which an idle connection is closed.
        says_idle_timeout: the seconds that each answer's `Keep-Alive` header promises for it; no
            header if not given.

    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        speed: float = 1.0,
        durations: Durations | None = None,
        failure_rate: float = 0.0,
        credits: int | None = None,
        max_jobs: int | None = None,
        full_for: float | None = None,
        max_rate: float | None = None,
        says_rate: bool = False,
        link_lifetime: float = 3600.0,
        short_side: int = 720,
        video_bytes: int = 0,
        same_films: bool = False,
        variant: Variant | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        idle_timeout: float = 3600.0,
        says_idle_timeout: float | None = None,
    ) -> None:
        variant = variant or Variant()
        clock = Clock(speed)
        self.ledger = Ledger(clock)
        self.faults = Faults(random.Random(seed))
        self._clock = clock
        self._api_key = api_key
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._idle_timeout = idle_timeout
        self._says_idle_timeout = says_idle_timeout
        self._links = Links(clock, lifetime=link_lifetime)
        self._answers = Answers(variant, clock, self._links)
        self._rate_limit = RateLimit(self._answers, rate=max_rate, says=says_rate)
        self._callbacks = Callbacks(clock, self._answers.one)
        self._media = Media(
            clock, self.ledger, self._links, video_bytes=video_bytes, same_films=same_films
        )
        self._gateway = Gateway(
            variant=variant,
            clock=clock,
            chance=random.Random(seed),
            ledger=self.ledger,
            maker=JobMaker(
                clock,
                random.Random(seed),  # of its own: looks change no later job
                durations=durations or LogNormal(),
                failure_rate=failure_rate,
                short_side=short_side,
            ),
            answers=self._answers,
            callbacks=self._callbacks,
            credits=credits,
            max_jobs=max_jobs,
            full_for=full_for,
        )
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | web.SockSite | None = None
        self._closing = False

    @property
    def url(self) -> str:
        """The base URL to give to a client of this machine, also where all addresses are heard."""
        scheme = "http" if self._ssl_context is None else "https"
        host = _LOOPBACK.get(self._host, self._host)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.

        """
        self._closing = False
        await self._media.open()
        app = web.Application(client_max_size=64 * 2**20, middlewares=[self._middleware])
        app.add_routes([*self._gateway.routes(), *self._media.routes()])
        app.add_routes([web.get("/simulator/ledger", self._show_ledger)])
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=self._idle_timeout
        )
        await self._runner.setup()
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, cut what is under way, and remove the files."""
        self._closing = True
        self.faults.cleared.ring()
        await self._callbacks.aclose()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._media.aclose()

    def advance(self, seconds: float) -> None:
        """Put the simulated clock forward: jobs end and links expire as if the time had passed.

        With durations that are longer than any test, jobs end when the test says so:

        >>> async with Simulator(durations=Fixed(3600)) as sim:      # doctest: +SKIP
        ...     task = await luma.generate("a cat dances")
        ...     assert not task.done
        ...     sim.advance(3600)
        ...     video = await task
        """
        self._clock.advance(seconds)

    @contextlib.asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """Refuse new connections meanwhile, as a host does where nothing listens.

        Those that are idle are closed first; what is being answered gets its answer.
        """
        assert self._site is not None  # noqa: S101  a slip of the test's, not of the user's
        await self._site.stop()
        for connection in self._connections_now():
            if connection._current_request is None and connection.transport is not None:  # noqa: SLF001
                connection.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # the event loop closes them
        try:
            with _bound(self._host, self._port):
                # Bound without listening, it refuses connections, and nobody else gets the port.
                yield
        finally:
            await self._listen()

    async def restart(self) -> None:
        """Cut every connection and listen anew, as a server does that is restarted.

        Jobs are kept. Those whose submissions were under way may be there without an answer.
        """
        assert self._site is not None  # noqa: S101  a slip of the test's, not of the user's
        await self._site.stop()
        for connection in self._connections_now():
            if connection.transport is not None:
                connection.transport.abort()
        await self._listen()

    async def replace_file(self, id: str, name: str, content: bytes) -> None:
        """Put other content behind the links to a file of a job, as a host does that made it anew.

        `name` is of `luma_async.simulator.media_host.NAMES`.
        """
        await self._media.replace(id, name, content)

    def _connections_now(self) -> list[web.RequestHandler]:
        server = None if self._runner is None else self._runner.server
        return [] if server is None else server.connections

    async def _listen(self) -> None:
        assert self._runner is not None  # noqa: S101
        if self._host == "::":  # asyncio would hear IPv6 only
            sock = _bound(self._host, self._port)
            self._site = web.SockSite(
                self._runner, sock, backlog=4096, ssl_context=self._ssl_context
            )
        else:
            self._site = web.TCPSite(
                self._runner,
                self._host,
                self._port,
                reuse_address=True,
                backlog=4096,
                ssl_context=self._ssl_context,
            )
        await self._site.start()
        self._port = self._runner.addresses[-1][1]
        self._links.host = self.url

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "Host" in request.headers:
            self._links.use_host(f"{request.scheme}://{request.headers['Host']}")
        call = request.match_info.route.name
        if call is None:
            return await handler(request)
        reused = request.transport in self._connections
        if not reused:
            self._connections.add(request.transport)
            self.ledger.connections += 1
        response = await self._answer(request, handler, call, reused=reused)
        if self._says_idle_timeout is not None:
            response.headers["Keep-Alive"] = f"timeout={self._says_idle_timeout:g}"
        return response

    async def _answer(
        self, request: web.Request, handler: Handler, call: str, *, reused: bool
    ) -> web.StreamResponse:
        if call == "media":
            return await self._with_faults(request, handler, call, reused=reused)
        if call in SUBMISSIONS:
            sent = (request.headers.get(name) for name in ("Idempotency-Key", "X-Request-Id"))
            self.ledger.idempotency_keys.append((next(sent), next(sent)))
        with self.ledger.request(call):
            response = await self._with_faults(request, handler, call, reused=reused)
        self._rate_limit.mark(response)
        self.ledger.statuses[response.status] += 1
        return response

    async def _with_faults(
        self, request: web.Request, handler: Handler, call: str, *, reused: bool
    ) -> web.StreamResponse:
        try:
            await request.read()  # before anything goes wrong: a proxy reads the request whole, too
        except ConnectionError:
            return _Dropped()
        if call != "media":
            refused = self._check_key(request) or self._rate_limit.refuse()
            if refused is not None:
                return refused
        for fault in self.faults.due(call, after=False, reused=reused):
            if (broken := await self._befall(request, fault)) is not None:
                return broken
        response = await handler(request)
        for fault in self.faults.due(call, after=True, reused=reused):
            if (broken := await self._befall(request, fault)) is not None:
                return broken
            if isinstance(response, FileAnswer):
                response.fault = fault
        return response

    def _check_key(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if key and self._api_key in (None, key):
            return None
        return self._answers.refusal(
            401, "invalid_api_key", f"the key {key or '(none)'} is not valid"
        )

    async def _befall(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Let a fault happen; `None` if the call goes on."""
        if fault.delay and not self._closing:
            await self.faults.cleared.wait(fault.delay)
        if fault.drop:
            if request.transport is not None:
                request.transport.abort()
            return _Dropped()
        if fault.closes:
            request.protocol.close()  # once the answer is out, of which it says nothing
        if fault.status is None:
            return None
        response = web.Response(status=fault.status, body=fault.body)
        response.content_type = "application/json"
        response.headers.update(fault.headers)
        return response

    async def _show_ledger(self, request: web.Request) -> web.Response:
        return web.json_response(self.ledger.summary(jobs=request.query.get("jobs") != "none"))


class _Dropped(web.Response):
    """What a handler returns whose connection is cut: 444 in the ledger, seen by nobody."""

    def __init__(self) -> None:
        super().__init__(status=444)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket at an address, at those of IPv4 as well if it is `::`."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::" and socket.has_dualstack_ipv6():
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
