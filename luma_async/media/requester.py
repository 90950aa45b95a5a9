"""Requester: download and upload files without the API key, and follow redirects safely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from aiohttp.resolver import DefaultResolver
from yarl import URL

from luma_async.errors import ConfigurationError
from luma_async.media.addresses import AddressPolicy, CheckingResolver
from luma_async.media.link_urls import link_url
from luma_async.telemetry.observer import RequestKind
from luma_async.telemetry.recorder import Recorder
from luma_async.transport.proxies import environment_proxy
from luma_async.transport.request_log import log_request, logs_requests
from luma_async.transport.transport import HEADER_LIMIT
from luma_async.transport.upload import time_to_send
from luma_async.version import __version__

MAX_REDIRECTS = 10
"""Maximum number of requests for one file, including the first."""

READ_BUFFER = 2**20
"""Size of aiohttp's read buffer, in bytes. A smaller one would be full after a few reads from the
socket, and the connection would be paused most of the time."""

_PLAIN: dict[str, Any] = {
    "allow_redirects": False,
    "raise_for_status": False,
    "auto_decompress": False,
    "read_bufsize": READ_BUFFER,
    "max_line_size": HEADER_LIMIT,
    "max_field_size": HEADER_LIMIT,
}
"""Options of each request. Answers are read as they are."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class RedirectError(Exception):
    """Signal that a redirect is not followed."""


class Requester:
    """Send requests for files over sessions that do not have the API key.

    The caller's `media_session` is used as it is. Without one, the requester opens its own
    sessions. If the caller gave an `api_session`, its connections, proxy and tracing are used, but
    neither its headers nor its cookies, because they belong to the server of the jobs.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        timeout: float,
        trust_env: bool,
        media_session: aiohttp.ClientSession | None,
        api_session: aiohttp.ClientSession | None,
        recorder: Recorder | None = None,
    ) -> None:
        self._policy = policy
        self._recorder = recorder or Recorder()
        self._timeout = timeout
        self._trust_env = trust_env
        self._media_session = media_session
        self._api_session = api_session
        self._own_sessions: dict[bool, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, follow redirects, and return a context with the response.

        Raises:
            PrivateAddressError: the link leads into a private network.
            RedirectError: a redirect leads to an invalid URL, or there are too many.
            aiohttp.ClientError: there was no response.
            TimeoutError: the headers of the response took too long.

        """
        for _ in range(MAX_REDIRECTS):
            with self._observed("GET", url, "download") as statuses:
                response = await self._send(url, headers)
                statuses.append(response.status)
                async with response:
                    if response.status not in _REDIRECTS or not response.headers.get("Location"):
                        yield response
                        return
                target = link_url(response.headers["Location"], response.url)
                if logs_requests():
                    where = None if target is None else target.host
                    log_request("GET %s: %d, redirected to %s", url.host, response.status, where)
            if target is None:
                raise RedirectError("redirects to an invalid http(s) URL")
            url = target
        raise RedirectError("redirects too many times")

    async def put(self, url: URL, headers: Mapping[str, str], content: aiohttp.Payload) -> int:
        """Send a file to a URL, and return the status of the answer. Redirects are not followed.

        The time to send the file is the matter of `content`. Then the answer has to come in time,
        however often the server says before that it is at work.

        Raises:
            PrivateAddressError: the link leads into a private network.
            aiohttp.ClientError: there was no answer, or the file was not sent whole.
            TimeoutError: the answer took too long.

        """
        async with asyncio.timeout(self._timeout):
            session, proxy = await self._checked_session(url)
        wait = time_to_send(content.size or 0, aiohttp.ClientTimeout(total=self._timeout))
        longest = self._timeout + (wait.total or 0.0) + (wait.sock_read or 0.0)
        with self._observed("PUT", url, "upload") as statuses:
            async with session.put(
                url,
                data=content,
                headers=headers,
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(
                    total=longest, connect=self._timeout, sock_read=wait.sock_read
                ),
                **_PLAIN,
            ) as response:
                statuses.append(response.status)
                return response.status

    @contextmanager
    def _observed(self, method: str, url: URL, kind: RequestKind) -> Iterator[list[int]]:
        """Report a request to the observer, with the status that the block appends to the list."""
        statuses: list[int] = []
        observer = self._recorder.observer
        if observer is None:
            yield statuses
            return
        trace = observer.file_request(method, url, kind)
        try:
            yield statuses
        except BaseException as error:
            trace.end(statuses[0] if statuses else None, error)
            raise
        trace.end(statuses[0], None)

    async def aclose(self) -> None:
        """Close the sessions that the requester opened."""
        sessions, self._own_sessions = list(self._own_sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _send(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        async with asyncio.timeout(2 * self._timeout):  # for the connection, and for the headers
            session, proxy = await self._checked_session(url)
            return await session.get(
                url,
                headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._timeout, sock_read=self._timeout
                ),
                **_PLAIN,
            )

    async def _checked_session(self, url: URL) -> tuple[aiohttp.ClientSession, URL | None]:
        """Return the session for a URL and its proxy, once the addresses of its host are checked.

        Raises:
            PrivateAddressError: the link leads into a private network.
            ConfigurationError: the caller's session is closed.

        """
        must_check = await self._policy.check_host(url.raw_host or "")
        session, proxy = self._session(url)
        if must_check and proxy is None and session is not self._own_sessions.get(False):
            await self._check_addresses(session, url)
        return session, proxy

    def _session(self, url: URL) -> tuple[aiohttp.ClientSession, URL | None]:
        """Return the session for a URL, and its proxy.

        Raises:
            ConfigurationError: the caller's session is closed.

        """
        given = self._media_session or self._api_session
        proxy = _proxy_of(given) if given is not None else None
        if proxy is None and (given.trust_env if given is not None else self._trust_env):
            proxy = environment_proxy(url)
        if given is None:
            return self._own_session(resolver=None if proxy else self._resolver), proxy
        if given.closed:
            raise ConfigurationError("The aiohttp session given to this client is closed.")
        return (self._media_session or self._session_on(given)), proxy

    def _own_session(self, *, resolver: Any) -> aiohttp.ClientSession:
        """Return the requester's session for direct connections, or the one for a proxy."""
        is_proxied = resolver is None
        if is_proxied not in self._own_sessions:
            self._own_sessions[is_proxied] = _without_cookies(
                aiohttp.TCPConnector(limit=0, resolver=resolver() if resolver else None)
            )
        return self._own_sessions[is_proxied]

    def _resolver(self) -> CheckingResolver:
        return CheckingResolver(self._policy, DefaultResolver)

    def _session_on(self, session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Return a session that uses the connector of the caller's session."""
        if True not in self._own_sessions:
            self._own_sessions[True] = _without_cookies(
                session.connector, connector_owner=False, trace_configs=session.trace_configs
            )
        return self._own_sessions[True]

    async def _check_addresses(self, session: aiohttp.ClientSession, url: URL) -> None:
        """Check the addresses that the connector of the caller's session will connect to.

        This calls the connector's own lookup, because it caches the addresses and uses the same
        ones for the connection that follows.
        """
        look_up = getattr(session.connector, "_resolve_host", None)
        if look_up is None:  # the connector does not resolve names
            return
        try:
            addresses = await look_up(url.raw_host, url.port)
        except OSError:  # the request will fail with a better error
            return
        await self._policy.allowed(url.raw_host or "", addresses)


def _proxy_of(session: aiohttp.ClientSession) -> URL | None:
    """Return the default proxy of a session, `None` if it has none."""
    default = getattr(session, "_default_proxy", None)
    if default is None:
        return None
    login = getattr(session, "_default_proxy_auth", None)
    proxy = URL(default)
    return proxy if login is None else proxy.with_user(login.login).with_password(login.password)


def _without_cookies(
    connector: aiohttp.BaseConnector | None, **settings: Any
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": f"luma-async/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        requote_redirect_url=False,
        **settings,
    )
