"""Sessions: the aiohttp sessions for reads and for submissions."""

from __future__ import annotations

import asyncio
import netrc
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import aiohttp
from yarl import URL

from luma_async.concurrency import another_loop_error, running_loop
from luma_async.errors import ConfigurationError
from luma_async.transport.connection_reuse import (
    MAX_IDLE,
    ConnectionChoice,
    ReusePolicy,
    idle_connections,
    is_supported,
)
from luma_async.transport.proxies import environment_proxy

_CLOSE = {"Connection": "close"}

READS_KEEP_ALIVE = 15.0
"""Seconds that an idle connection for reads is kept."""

_UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Header for a session that does not decompress answers."""


class Sessions:
    """One session for reads and one for submissions, both with connections that are kept alive.

    A submission is sent on a connection that was used just now, or on a new one (`ReusePolicy`).
    With `trust_env`, both sessions use the environment's proxy for `base_url`.

    A session of the caller is used for both, and is never closed here. If its version of aiohttp
    keeps connections in an unknown way, each request asks the server to close the connection
    afterwards, so that no idle connection can be reused.

    `on_first_use` is called before the first request.
    """

    def __init__(
        self,
        given: aiohttp.ClientSession | None,
        headers: Mapping[str, str],
        *,
        base_url: URL,
        trust_env: bool = False,
        on_first_use: Callable[[], None] | None = None,
    ) -> None:
        self.given = given
        self._base_url = base_url
        self._trust_env = trust_env
        self._on_first_use = on_first_use
        self.reuse = ReusePolicy()
        self._headers = headers
        self._can_choose = given is None or is_supported(given)
        own = {} if given is None else {**headers}
        if not self._can_choose:
            own |= _CLOSE
        if given is not None and not given.auto_decompress:
            own |= _UNCOMPRESSED
        self.request_headers = own or None
        """Headers of each request, in addition to the headers of the session."""
        self.request_headers_with_body = {**own, "Content-Type": "application/json"}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.now: Callable[[], float] = _time_of_running_loop
        """Function that returns the time of the event loop that the sessions belong to."""
        self._own: dict[bool, aiohttp.ClientSession] = {}

    def open(self, *, submits: bool) -> aiohttp.ClientSession:
        """Return the session for a request. It is opened for the first request.

        Raises:
            ConfigurationError: the session was opened in another event loop, is closed, or would
                send a login from `.netrc` instead of the API key.

        """
        loop = running_loop()
        if self._loop is None:
            self._check_netrc()
            if self._on_first_use is not None:
                self._on_first_use()
            self._loop = loop
            self.now = loop.time  # get_running_loop() costs a system call
        if self._loop is not loop:
            raise another_loop_error(self._loop, "This client")
        if self.given is not None:
            if self.given.closed:
                raise ConfigurationError("The aiohttp session given to this client is closed.")
            return self.given
        if submits not in self._own:
            self._own[submits] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=MAX_IDLE if submits else READS_KEEP_ALIVE
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                proxy=environment_proxy(self._base_url) if self._trust_env else None,
            )
        return self._own[submits]

    def choose_connection(
        self, session: aiohttp.ClientSession
    ) -> tuple[ConnectionChoice, tuple[aiohttp.ClientMiddlewareType, ...] | None]:
        """Return a `ConnectionChoice` for one submission, and the middlewares that include it.

        The middlewares are `None`, for those of the session, if connections cannot be chosen.
        """
        choice = ConnectionChoice(self.reuse, session)
        if not self._can_choose:
            return choice, None
        given: Iterable[aiohttp.ClientMiddlewareType] = session._middlewares  # noqa: SLF001
        return choice, (*given, choice)

    def count_connections(self) -> tuple[int, int]:
        """Return the number of open connections of the sessions, and of the idle ones among these.

        Connections that a version of aiohttp keeps in an unknown way are not counted. Any thread
        may call this.
        """
        sessions = tuple(self._own.values()) if self.given is None else (self.given,)
        used = idle = 0
        for session in sessions:
            used += len(getattr(session.connector, "_acquired", ()))
            idle += sum(map(len, tuple((idle_connections(session.connector) or {}).values())))
        return used + idle, idle

    def _check_netrc(self) -> None:
        """Raise an error if the caller's session would replace the API key by a login.

        aiohttp 3.12 does this without an error: it sends the login of `.netrc` to the server, in
        place of the `Authorization` header of the request. Later versions raise a `ValueError`.
        """
        host = self._base_url.host
        if self.given is None or host is None or not self.given.trust_env:
            return
        if _has_netrc_login(host):
            raise ConfigurationError(
                "The session given to this client has trust_env=True, and .netrc has a login for "
                f"{host}: it would be sent instead of the API key. Remove the login, or use a "
                "session without trust_env."
            )

    async def aclose(self, *, submits: bool) -> None:
        """Close the own session for submissions or for reads. Its requests in flight fail."""
        session = self._own.pop(submits, None)
        if session is not None:
            await session.close()


def _time_of_running_loop() -> float:
    return asyncio.get_running_loop().time()


def _has_netrc_login(host: str) -> bool:
    """Return `True` if `.netrc` has a login for a host, or a default login."""
    name = "_netrc" if sys.platform == "win32" else ".netrc"
    try:
        file = os.environ.get("NETRC") or Path.home() / name
        return netrc.netrc(str(file)).authenticators(host) is not None
    except (OSError, RuntimeError, ValueError, netrc.NetrcParseError):
        return False  # as for aiohttp, an invalid or missing file contains no logins
