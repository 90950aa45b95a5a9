"""Requests for files: the sessions that they travel on, redirects, and where these may lead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.resolver import DefaultResolver
from yarl import URL

from luma_async.errors import ConfigurationError
from luma_async.media.addresses import AddressPolicy, CheckingResolver
from luma_async.media.link_urls import link_url
from luma_async.transport.proxies import environment_proxy
from luma_async.transport.transport import HEADER_LIMIT
from luma_async.version import __version__

MAX_REDIRECTS = 10
READ_BUFFER = 2**20
"""Bytes; with less than a few of the system's reads, reading is paused more often than not."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class RedirectError(Exception):
    """A redirect that is not followed; a signal within downloads."""


class Requester:
    """Sends requests for files, over sessions that never see the API key.

    They are the client's own, or the caller's `media_session`, used as it is. If there is only a
    session of the caller's for the API, its connections, proxy and tracing serve files, too,
    without its headers and cookies, as those are the gateway's.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        timeout: float,
        trust_env: bool,
        media_session: aiohttp.ClientSession | None,
        api_session: aiohttp.ClientSession | None,
    ) -> None:
        self._policy = policy
        self._timeout = timeout
        self._trust_env = trust_env
        self._media_session = media_session
        self._api_session = api_session
        self._own: dict[bool, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def get(
        self, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, follow redirects, and give the answer.

        Raises:
            PrivateAddressError: the link leads into a network that is not public.
            RedirectError: it leads to no http(s) link, or in a circle.
            aiohttp.ClientError: there was no answer.
            TimeoutError: the answer took too long to begin.

        """
        for _ in range(MAX_REDIRECTS):
            response = await self._answer(url, headers)
            async with response:
                if response.status not in _REDIRECTS or not response.headers.get("Location"):
                    yield response
                    return
                target = link_url(response.headers["Location"], response.url)
            if target is None:
                raise RedirectError("leads to what is no http(s) link")
            url = target
        raise RedirectError("leads round in a circle")

    async def aclose(self) -> None:
        """Close the sessions that were opened here."""
        sessions, self._own = list(self._own.values()), {}
        for session in sessions:
            await session.close()

    async def _answer(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        checks_answers = await self._policy.check_host(url.raw_host or "")
        session, proxy = self._session(url)
        async with asyncio.timeout(2 * self._timeout):  # to connect, and for all of the headers
            if checks_answers and proxy is None and session is not self._own.get(False):
                await self._check_answers(session, url)
            return await session.get(
                url,
                headers={"Accept": "*/*", "Accept-Encoding": "identity", **headers},
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._timeout, sock_read=self._timeout
                ),
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
            )

    def _session(self, url: URL) -> tuple[aiohttp.ClientSession, URL | None]:
        """Return the session for a link, and its proxy.

        Raises:
            ConfigurationError: the caller's session is closed.

        """
        given = self._media_session or self._api_session
        proxy = _proxy_of(given) if given is not None else None
        if proxy is None and (given.trust_env if given is not None else self._trust_env):
            proxy = environment_proxy(url)
        if given is None:
            return self._opened(resolver=None if proxy else self._resolver), proxy
        if given.closed:
            raise ConfigurationError("The aiohttp session given to this client is closed.")
        return (self._media_session or self._borrowing(given)), proxy

    def _opened(self, *, resolver: Any) -> aiohttp.ClientSession:
        """Return the own session for direct connections, or the one for those through a proxy."""
        is_proxied = resolver is None
        if is_proxied not in self._own:
            self._own[is_proxied] = _without_cookies(
                aiohttp.TCPConnector(limit=0, resolver=resolver() if resolver else None)
            )
        return self._own[is_proxied]

    def _resolver(self) -> CheckingResolver:
        return CheckingResolver(self._policy, DefaultResolver)

    def _borrowing(self, session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Return a session on the connections of the caller's."""
        if True not in self._own:
            self._own[True] = _without_cookies(
                session.connector, connector_owner=False, trace_configs=session.trace_configs
            )
        return self._own[True]

    async def _check_answers(self, session: aiohttp.ClientSession, url: URL) -> None:
        """Check the addresses that the connector of a caller's session connects to.

        Its own lookup is asked, as it remembers the answers for the connection that follows.
        """
        look_up = getattr(session.connector, "_resolve_host", None)
        if look_up is None:  # not a connector that connects to names
            return
        try:
            answers = await look_up(url.raw_host, url.port)
        except OSError:  # the request fails for the same reason, and says so better
            return
        await self._policy.allowed(url.raw_host or "", answers)


def _proxy_of(session: aiohttp.ClientSession) -> URL | None:
    """Return the proxy that a session of the caller's uses for every request."""
    said = getattr(session, "_default_proxy", None)
    if said is None:
        return None
    login = getattr(session, "_default_proxy_auth", None)
    proxy = URL(said)
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
