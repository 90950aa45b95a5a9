"""Simulator: a server with the simulated gateway, Luma's own APIs, and their media host."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from luma_async.errors import ConfigurationError
from luma_async.simulator import agents_routes, official_calls
from luma_async.simulator.acceptance import Acceptance, DroppedAnswer
from luma_async.simulator.agents_files import AgentsFiles
from luma_async.simulator.agents_routes import AgentsRoutes
from luma_async.simulator.answers import Answers, Refusal, SignedLinks, detail_refusal
from luma_async.simulator.callbacks import Callbacks
from luma_async.simulator.clock import Clock
from luma_async.simulator.dream_machine_answers import DreamMachineAnswers
from luma_async.simulator.dream_machine_routes import DreamMachineRoutes
from luma_async.simulator.durations import Durations, LogNormal, distribution_of
from luma_async.simulator.faults import FILE_CALLS, STREAMED, SUBMISSIONS, Fault, Faults
from luma_async.simulator.file_answer import FileAnswer
from luma_async.simulator.gateway_routes import GatewayRoutes
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.media_host import MediaHost
from luma_async.simulator.minute_limit import MinuteLimit
from luma_async.simulator.next_jobs import NextJobs, Rejection
from luma_async.simulator.rate_limit import RateLimit
from luma_async.simulator.simulated_jobs import FAILURE, JobFactory
from luma_async.simulator.uploaded_files import UploadedFiles
from luma_async.simulator.variant import Variant

ACCEPT_TURNS = 5
"""Turns of the event loop after which all connections that were accepted belong to the server."""

_ACCESS_LINE = '"%r" %s, %b bytes'
"""Line of the access log for each request, in the format of aiohttp."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  the user's choice
"""Loopback addresses by which a server on all addresses is reached."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """Gateway and Luma's own APIs on loopback, for tests and demonstrations.

    All APIs are below `url`, and share the account, the ledger and the faults. A simulator belongs
    to the event loop in which it is started. Once it is started, a test may call the methods below,
    those of `faults`, and read the `ledger`, in any thread and event loop.

    >>> async with Simulator(speed=20) as sim:      # doctest: +SKIP
    ...     print(sim.url)

    Args:
        api_key: the only valid API key; any API key is valid if not given.
        speed: simulated seconds per real second.
        durations: distribution of the durations of jobs in simulated seconds. A number is the
            duration of each job.
        failure_rate: fraction of the jobs that fail.
        credits: number of jobs until the balance is used up; no limit if not given.
        max_jobs: number of running jobs from which on submissions are answered 429; no limit if
            not given.
        full_for: `Retry-After` of such an answer, in seconds; no header if not given.
        max_rate: API requests per real second, beyond which they are answered 429. The requests of
            one second may come at once. No limit if not given.
        says_rate: `True` to add headers with the remaining requests (`X-RateLimit-Remaining`).
        max_per_minute: submissions to the Agents API per simulated minute, beyond which they are
            answered 429. No limit if not given.
        link_lifetime: simulated seconds until a link to a file expires.
        short_side: pixels of the shorter side of a video if its request has no resolution.
        video_bytes: minimum size of video files in bytes.
        same_films: `True` to serve the film of the first job for all jobs, so that only one is
            rendered.
        variant: behaviour of the gateway.
        seed: seed of the random numbers; the same seed gives the same ids, durations and faults.
        host, port: address to listen on. `0.0.0.0` listens on all IPv4 addresses, `::` on all IPv6
            and IPv4 addresses. Port 0 chooses a free port.
        ssl_context: certificate for TLS; plain HTTP if not given.
        idle_timeout: real seconds after which an idle connection is closed.
        says_idle_timeout: timeout in seconds for the `Keep-Alive` header of each answer; no header
            if not given.
        access_log: logger that gets a line at INFO for each request, with the status; none if not
            given.

    Raises:
        ValueError: an argument is not valid, and would fail or block every job.

    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        speed: float = 1.0,
        durations: Durations | float | None = None,
        failure_rate: float = 0.0,
        credits: int | None = None,
        max_jobs: int | None = None,
        full_for: float | None = None,
        max_rate: float | None = None,
        says_rate: bool = False,
        max_per_minute: int | None = None,
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
        access_log: logging.Logger | None = None,
    ) -> None:
        if not 0 < speed < math.inf:
            raise ValueError(f"speed: must be more than 0, got {speed!r}")
        if not 0 <= failure_rate <= 1:
            raise ValueError(f"failure_rate: must be between 0 and 1, got {failure_rate!r}")
        if max_jobs is not None and max_jobs < 1:
            raise ValueError(f"max_jobs: must be at least 1, got {max_jobs!r}")
        variant = variant or Variant()
        clock = Clock(speed)
        self.ledger: Ledger = Ledger(clock)
        self.faults: Faults = Faults(random.Random(seed))
        self._clock = clock
        self._api_key = api_key
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._idle_timeout = idle_timeout
        self._says_idle_timeout = says_idle_timeout
        self._access_log = access_log
        self._links = SignedLinks(clock, lifetime=link_lifetime)
        self._answers = Answers(variant, clock, self._links, self.ledger)
        self._next_jobs = NextJobs()
        self._rate_limit = RateLimit(self._answers, rate=max_rate, says=says_rate)
        self._callbacks = Callbacks(clock, self.faults)
        self._media = MediaHost(
            clock, self.ledger, self._links, video_bytes=video_bytes, same_films=same_films
        )
        self._maker = JobFactory(
            clock,
            random.Random(seed),  # its own generator, so that looks do not affect later jobs
            durations=LogNormal() if durations is None else distribution_of(durations),
            failure_rate=failure_rate,
            short_side=short_side,
        )
        acceptance = Acceptance(
            ledger=self.ledger,
            maker=self._maker,
            callbacks=self._callbacks,
            next_jobs=self._next_jobs,
            credits=credits,
            max_jobs=max_jobs,
            full_for=full_for,
            knows_repeats=variant.knows_repeats,
        )
        self._gateway = GatewayRoutes(
            variant=variant,
            clock=clock,
            chance=random.Random(seed),
            ledger=self.ledger,
            answers=self._answers,
            acceptance=acceptance,
        )
        self._dream_machine = DreamMachineRoutes(
            clock=clock,
            ledger=self.ledger,
            answers=DreamMachineAnswers(clock, self._links),
            acceptance=acceptance,
        )
        files = UploadedFiles(clock, random.Random(seed + 1))
        self._agents = AgentsRoutes(
            clock=clock,
            ledger=self.ledger,
            links=self._links,
            acceptance=acceptance,
            minute_limit=MinuteLimit(clock, max_per_minute),
            files=files,
        )
        self._agents_files = AgentsFiles(
            clock=clock, ledger=self.ledger, links=self._links, media=self._media, files=files
        )
        # Strong references, because neither aiohttp's protocols nor uvloop's transports allow weak
        # ones. Closed connections are removed when a new one is added.
        self._connections: set[web.RequestHandler] = set()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | web.SockSite | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    @property
    def url(self) -> str:
        """Base URL for clients on this machine."""
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
        """Start listening.

        Raises:
            OSError: the port is already in use.
            ConfigurationError: trio is running, or no event loop.

        """
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "The simulator runs on asyncio, and no event loop of asyncio is running here: use "
                "luma_async.testing.running_simulator(), which runs it in a thread."
            ) from None
        self._closing = False
        await self._media.open()
        app = web.Application(client_max_size=64 * 2**20, middlewares=[self._middleware])
        agents = (self._agents, self._agents_files)
        for part in (self._gateway, self._dream_machine, *agents, self._media):
            app.add_routes(part.routes())
        app.add_routes([web.get("/simulator/ledger", self._show_ledger)])
        self._runner = web.AppRunner(
            app,
            access_log=self._access_log,
            access_log_format=_ACCESS_LINE,
            shutdown_timeout=1.0,
            keepalive_timeout=self._idle_timeout,
        )
        await self._runner.setup()
        try:
            await self._listen()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, cut all connections, and remove the files."""
        self._closing = True
        self.faults.cleared.notify_all()
        await self._callbacks.aclose()
        self._clock.end_sleeps()
        if self._runner is not None:
            await self._stop_accepting()
            await self._runner.cleanup()
        await self._media.aclose()

    def advance(self, seconds: float) -> None:
        """Advance the simulated clock: jobs end and links expire as if the time had passed.

        With durations that are longer than any test, jobs end exactly when the test wants:

        >>> async with Simulator(durations=Fixed(3600)) as sim:      # doctest: +SKIP
        ...     task = await luma.generate("a cat dances")
        ...     assert not task.done()
        ...     sim.advance(3600)
        ...     video = await task
        """
        self._clock.advance(seconds)

    def fail_next(self, reason: str = FAILURE, times: int = 1) -> None:
        """Let the next job that is accepted fail with a reason, once its time is over.

        This and the three methods below may be called from any thread. They apply to extensions as
        well, change nothing else about the jobs, and add up: the next job may fail, take longer,
        and be lost. With `times`, they apply to as many jobs.

        >>> sim.fail_next("moderated")               # doctest: +SKIP
        """
        self._next_jobs.failures.add(reason, times)

    def delay_next(self, seconds: float, times: int = 1) -> None:
        """Let the next job that is accepted take longer, by a number of simulated seconds."""
        self._next_jobs.delays.add(seconds, times)

    def lose_next(self, times: int = 1) -> None:
        """Accept the next job, but cut the connection in place of the answer.

        The client cannot know that the job was accepted: the submission is uncertain.
        """
        self._next_jobs.losses.add(True, times)

    def reject_next(
        self,
        status: int = 402,
        message: str | None = None,
        times: int = 1,
        *,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Reject the next submission with an HTTP status; no job is made.

        The message and the code are the usual ones of the status, unless they are given. A client
        tries again after 429, and a submission is uncertain to it after most errors from 500 on.
        """
        rejection = Rejection.of(status, message, code=code, retry_after=retry_after)
        self._next_jobs.rejections.add(rejection, times)

    @contextlib.asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """Refuse new connections within the context, like a host where no server listens.

        Idle connections are closed first. Requests in flight are answered.
        """
        await self._in_own_loop(self._stop_listening)
        try:
            with _bound(self._host, self._port):
                # A socket that is bound but not listening refuses connections and keeps the port.
                yield
        finally:
            await self._in_own_loop(self._listen)

    async def restart(self) -> None:
        """Cut all connections and listen again, like a server that is restarted.

        Jobs are kept. Submissions in flight may be accepted without an answer.
        """
        await self._in_own_loop(self._restart)

    async def replace_file(self, id: str, name: str, content: bytes) -> None:
        """Replace the content of a job's file, like a media host that renders it again.

        `name` is one of the job's `files`.
        """
        await self._in_own_loop(partial(self._media.replace, id, name, content))

    async def _in_own_loop(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function in the simulator's event loop, from any event loop."""
        assert self._loop is not None  # noqa: S101  an error in a test
        if self._loop is asyncio.get_running_loop():
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self._loop))

    async def _stop_listening(self) -> None:
        assert self._site is not None  # noqa: S101  an error in a test
        await self._site.stop()
        for connection in self._connections_now():
            if connection._current_request is None and connection.transport is not None:  # noqa: SLF001
                connection.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # lets the event loop close them

    async def _restart(self) -> None:
        assert self._site is not None  # noqa: S101  an error in a test
        await self._site.stop()
        for connection in self._connections_now():
            if connection.transport is not None:
                connection.transport.abort()
        await self._listen()

    def _connections_now(self) -> list[web.RequestHandler]:
        server = None if self._runner is None else self._runner.server
        return [] if server is None else server.connections

    async def _stop_accepting(self) -> None:
        """Accept no more connections, before the server is closed.

        Until version 3.12 of Python, a connection that was accepted just before its server is
        closed stays open for ever, with a `ResourceWarning`.
        """
        listening = getattr(self._site, "_server", None)
        for sock in () if listening is None else listening.sockets:
            with contextlib.suppress(NotImplementedError):  # a proactor has no readers
                asyncio.get_running_loop().remove_reader(sock.fileno())
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        assert self._runner is not None  # noqa: S101
        if self._host == "::":  # asyncio would listen on IPv6 only
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
            return await self._without_call(request, handler)
        reused = request.protocol in self._connections
        if not reused:
            self._connections = {each for each in self._connections if each.transport is not None}
            self._connections.add(request.protocol)
            self.ledger.connections += 1
        response = await self._answer(request, handler, call, reused=reused)
        if self._says_idle_timeout is not None:
            response.headers["Keep-Alive"] = f"timeout={self._says_idle_timeout:g}"
        return response

    async def _without_call(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request that is not for one of the calls."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            if not request.path.startswith(official_calls.PATHS):
                raise
            return self._marked(request, official_calls.refusal_of(error))

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
        if call not in STREAMED and (unread := await self._read(request, call)) is not None:
            return unread
        if call not in FILE_CALLS:
            refusal = self._refusal(call)
            refused = self._check_key(request, refusal) or self._rate_limit.refuse(refusal)
            if refused is not None:
                return self._marked(request, refused)
        for fault in self.faults.due(call, after=False, reused=reused):
            if (broken := await self._apply(request, fault)) is not None:
                return broken
        response = self._marked(request, await self._handled(request, handler, call))
        for fault in self.faults.due(call, after=True, reused=reused):
            if (broken := await self._apply(request, fault)) is not None:
                return broken
            if isinstance(response, FileAnswer):
                response.fault = fault
        return response

    async def _read(self, request: web.Request, call: str) -> web.StreamResponse | None:
        """Read the request, like a proxy. Return the answer if that is not possible."""
        try:
            await request.read()
        except ConnectionError:
            return DroppedAnswer(request)
        except web.HTTPRequestEntityTooLarge as error:
            if not _is_official(call):
                raise
            return self._marked(request, official_calls.refusal_of(error))
        return None

    async def _handled(
        self, request: web.Request, handler: Handler, call: str
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except official_calls.RejectedError as error:
            return error.answer()
        except ConnectionError:  # a client that is gone does not send the rest of its request
            if call not in STREAMED:
                raise
            return DroppedAnswer(request)
        except web.HTTPRequestEntityTooLarge as error:
            if not _is_official(call):
                raise
            return official_calls.refusal_of(error)

    def _marked(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Return the answer with the headers of its API."""
        if request.path.startswith("/v1/"):
            agents_routes.mark(request, response)
        return response

    def _refusal(self, call: str) -> Refusal:
        """Return the function that writes the errors of a call's API."""
        return detail_refusal if _is_official(call) else self._answers.refusal

    def _check_key(self, request: web.Request, refusal: Refusal) -> web.Response | None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if key and self._api_key in (None, key):
            return None
        return refusal(401, "invalid_api_key", f"the key {key or '(none)'} is not valid")

    async def _apply(self, request: web.Request, fault: Fault) -> web.Response | None:
        """Apply a fault. Return the answer, or `None` if the call continues."""
        if fault.delay and not self._closing:
            await self.faults.delay(fault)
        if fault.drop:
            return DroppedAnswer(request)
        if fault.closes:
            request.protocol.close()  # after the answer, without a `Connection: close`
        if fault.status is None:
            return None
        response = web.Response(status=fault.status, body=fault.body)
        response.content_type = "application/json"
        response.headers.update(fault.headers)
        return response

    async def _show_ledger(self, request: web.Request) -> web.Response:
        return web.json_response(self.ledger.summary(jobs=request.query.get("jobs") != "none"))


def _is_official(call: str) -> bool:
    """Return `True` for calls of Luma's own APIs: their names begin with the API and a dot."""
    return "." in call


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, with `::` to all IPv4 addresses as well."""
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
