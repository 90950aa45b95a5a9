"""The aiohttp sessions that requests travel on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import aiohttp
from yarl import URL

from luma_async.errors import ConfigurationError
from luma_async.transport.connection_reuse import LONGEST_IDLE, Reuse, Ride, is_known
from luma_async.transport.proxies import environment_proxy

_CLOSING = {"Connection": "close"}
READS_KEPT = 15.0
"""Seconds that a connection for reads is kept."""

_PLAIN = {"Accept-Encoding": "identity"}


class Sessions:
    """One session for reads and one for submissions, which both keep their connections.

    A submission travels on a connection that was used just now, or on a new one (`Reuse`). Both
    use the environment's proxy for the URL `proxied`, if it is given.

    A session of the caller's serves both, and is never closed here. Should its release of aiohttp
    keep connections in a way that is not known here, requests on it ask the server to close their
    connection, so that none of them is left idle.
    """

    def __init__(
        self,
        given: aiohttp.ClientSession | None,
        headers: Mapping[str, str],
        *,
        proxied: URL | None = None,
    ) -> None:
        self.given = given
        self._proxied = proxied
        self.reuse = Reuse()
        self._headers = headers
        self._chooses = given is None or is_known(given)
        own = {} if given is None else {**headers}
        if not self._chooses:
            own |= _CLOSING
        if given is not None and not given.auto_decompress:
            own |= _PLAIN
        self.request_headers = own or None
        """What is to be said with a request, beside what the session says with each."""
        self.request_headers_with_body = {**own, "Content-Type": "application/json"}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own: dict[bool, aiohttp.ClientSession] = {}

    def now(self) -> float:
        """Return the time of the event loop that the sessions belong to."""
        # To ask for the running one costs a call of the system; `open()` does so anyway.
        loop = self._loop or asyncio.get_running_loop()
        return loop.time()

    def open(self, *, submits: bool) -> aiohttp.ClientSession:
        """Return the session for a request, opened at the first one.

        Raises:
            ConfigurationError: it was opened in another event loop, or the caller's is closed.

        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise ConfigurationError(
                "This client belongs to another event loop. "
                "Make one LumaClient for each asyncio.run()."
            )
        if self.given is not None:
            if self.given.closed:
                raise ConfigurationError("The aiohttp session given to this client is closed.")
            return self.given
        if submits not in self._own:
            self._own[submits] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=LONGEST_IDLE if submits else READS_KEPT
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                proxy=None if self._proxied is None else environment_proxy(self._proxied),
            )
        return self._own[submits]

    def ride(
        self, session: aiohttp.ClientSession
    ) -> tuple[Ride, tuple[aiohttp.ClientMiddlewareType, ...] | None]:
        """Return what chooses a submission's connection, and the middlewares that it is one of."""
        ride = Ride(self.reuse, session)
        if not self._chooses:
            return ride, None
        given: Iterable[aiohttp.ClientMiddlewareType] = session._middlewares  # noqa: SLF001
        return ride, (*given, ride)

    async def aclose(self, *, submits: bool) -> None:
        """Close what was opened here for such requests; those that are under way fail."""
        session = self._own.pop(submits, None)
        if session is not None:
            await session.close()
