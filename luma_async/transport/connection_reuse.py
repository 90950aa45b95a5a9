"""Connection reuse: choose a connection for a submission that the server is not about to close.

A server may close an idle connection at the moment when a submission is sent on it. The submission
is uncertain then. So a submission is sent only on a connection that was used just now, or on a new
one, and never on one that is known to be closed.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ConnectionKey

KEEP_ALIVE = "Keep-Alive"
"""Header with the seconds that the server keeps an idle connection."""

MAX_IDLE = 0.9
"""Maximum seconds that a connection may have been idle. No known server closes an idle connection
sooner, unless it says so in a `Keep-Alive` header."""

TRAVEL_TIME = 0.5
"""Seconds that an answer and the next request may take on the network. The server counts them as
idle time, so they are subtracted from its `Keep-Alive` timeout."""

NO_REUSE_TIME = 60.0
"""Seconds without reuse after the server closed a connection that was used just now."""

SETTLING_TIME = 0.01
"""Seconds to wait for the server to close a connection after its answer, as some servers do without
announcing it."""


class ReusePolicy:
    """Limit of the time that a connection to one server may have been idle before a submission."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_idle = MAX_IDLE
        self._reuse_from = -math.inf
        self.is_proved = False
        """`True` if the server has answered on a connection that was used before."""

    def update(self, keep_alive: str) -> None:
        """Apply the `Keep-Alive` header of an answer. The smallest value of all answers counts."""
        self._max_idle = min(self._max_idle, max_idle(keep_alive))

    def forbid_reuse(self) -> None:
        """Allow no reuse for `NO_REUSE_TIME` seconds: the server closes connections unannounced."""
        self._reuse_from = self._clock() + NO_REUSE_TIME
        self.is_proved = False

    def allows(self, idle_since: float) -> bool:
        """Return `True` if a connection that has been idle since that time may be reused."""
        now = self._clock()
        return now >= self._reuse_from and now - idle_since < self._max_idle

    def is_recent(self, idle_since: float) -> bool:
        """Return `True` if a connection has been idle for less than the limit."""
        return self._clock() - idle_since < self._max_idle


def max_idle(keep_alive: str) -> float:
    """Return the seconds that a connection may be idle according to a `Keep-Alive` header."""
    least = math.inf
    for part in keep_alive.split(","):
        name, _, text = part.partition("=")
        try:
            number = float(text.strip().strip('"'))
        except ValueError:
            continue
        if name.strip().lower() == "timeout" and number >= 0:
            least = min(least, max(number - TRAVEL_TIME, 0.0))
        elif name.strip().lower() == "max" and number <= 0:
            least = 0.0
    return least


class ConnectionChoice:
    """Choice of the connection for one try of a submission, and a last check before it is sent.

    The choice is an aiohttp middleware. As the innermost one it runs just before aiohttp takes a
    connection from its pool, and moves the connection that was used last to the front. If even this
    connection has been idle for too long, all of them are hidden for a moment, so that aiohttp
    opens a new one. Reads may use the hidden ones later.
    """

    __slots__ = ("_connector", "_idle_since", "_reuse", "is_reused")

    def __init__(self, reuse: ReusePolicy, session: aiohttp.ClientSession) -> None:
        self._reuse = reuse
        self._connector = session.connector
        self._idle_since: dict[Any, float] = {}
        self.is_reused = False
        """`True` if the connection has carried an answer before."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Choose a connection and call the next handler, as aiohttp middleware must."""
        self._choose(request.connection_key)
        return await handler(request)

    async def settle(self, writer: AbstractStreamWriter) -> None:
        """Wait for `SETTLING_TIME` before the first reuse of a connection to this server."""
        protocol = getattr(writer, "protocol", None)
        if not self._reuse.is_proved and (protocol in self._idle_since or _has_answered(protocol)):
            await asyncio.sleep(SETTLING_TIME)

    def is_usable(self, writer: AbstractStreamWriter) -> bool:
        """Return `True` if the connection is new, or was used just now and is still open."""
        protocol = getattr(writer, "protocol", None)
        idle_since = self._idle_since.get(protocol)
        # A connection that was not idle during the choice is new, or was released after it.
        self.is_reused = idle_since is not None or _has_answered(protocol)
        if not self.is_reused:
            return True
        if idle_since is not None and not self._reuse.allows(idle_since):
            return False
        if has_ended(getattr(writer, "transport", None)):
            self._reuse.forbid_reuse()
            return False
        return True

    def answer_received(self) -> None:
        """Record that an answer arrived on the connection."""
        self._reuse.is_proved |= self.is_reused

    def connection_lost(self) -> None:
        """Record that the connection was lost before an answer arrived."""
        if self.is_reused:
            self._reuse.forbid_reuse()

    def _choose(self, key: ConnectionKey) -> None:
        idle = idle_connections(self._connector)
        kept = None if idle is None else idle.get(key)
        if idle is None or not kept:
            return
        try:
            self._idle_since = dict(kept)
            newest = self._newest(kept)
            if newest is not None and self._reuse.allows(newest[1]):
                kept.remove(newest)
                kept.appendleft(newest)
                return
        except (AttributeError, TypeError, ValueError):
            idle.pop(key)  # this version of aiohttp stores connections in another way
            return
        del idle[key]
        asyncio.get_running_loop().call_soon(self._put_back, key, kept)

    def _newest(self, kept: deque[tuple[Any, float]]) -> tuple[Any, float] | None:
        """Return the open connection that was used last, and the time when it became idle."""
        for protocol, idle_since in reversed(kept):
            if protocol.is_connected():
                return protocol, idle_since
            if self._reuse.is_recent(idle_since):
                self._reuse.forbid_reuse()
        return None

    def _put_back(self, key: ConnectionKey, kept: deque[tuple[Any, float]]) -> None:
        idle = idle_connections(self._connector)
        if idle is None or self._connector is None or self._connector.closed:
            for protocol, _ in kept:
                protocol.close()
        else:
            idle.setdefault(key, deque()).extendleft(reversed(kept))


def is_supported(session: aiohttp.ClientSession) -> bool:
    """Return `True` if the pool of connections of a session can be reordered.

    This depends on private attributes, which other versions of aiohttp may not have.
    """
    return idle_connections(session.connector) is not None and isinstance(
        getattr(session, "_middlewares", None), tuple | list
    )


def _has_answered(protocol: Any) -> bool:
    return getattr(protocol, "_payload", None) is not None


def has_ended(transport: Any) -> bool:
    """Return `True` if an idle connection was closed by the server, or has unexpected data.

    The socket is polled, because the event loop may not have read from it yet. If polling is not
    possible, the connection counts as open.
    """
    if transport is None or transport.is_closing():
        return True
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):
            return bool(select.select([descriptor], [], [], 0)[0])
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(0))
    except (AttributeError, OSError, TypeError, ValueError):
        return False


def idle_connections(connector: Any) -> dict[ConnectionKey, deque[tuple[Any, float]]] | None:
    """Return the idle connections of a connector, oldest first, with the time each became idle."""
    kept = getattr(connector, "_conns", None)
    return kept if isinstance(kept, dict) else None
