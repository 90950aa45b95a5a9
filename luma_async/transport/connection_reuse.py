"""Reuse: the kept connections that a submission may travel on.

A server may close an idle connection at the moment when a submission leaves on it, and nobody can
tell whether it was read. So a submission travels on a connection that was used just now, or on a
new one, and never on one that the server has closed as far as this machine knows.
"""

from __future__ import annotations

import asyncio
import math
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ConnectionKey

LONGEST_IDLE = 0.9
"""Seconds: no server in the field closes a connection sooner without a `Keep-Alive` header."""

ON_THE_WIRE = 0.5
"""Seconds that an answer and the next request travel: a server counts them as idle, too."""

DISTRUST = 60.0
"""Seconds without reuse after a server closed a connection that it had used just now."""


TO_SETTLE = 0.01
"""Seconds in which a server that closes connections after its answers shows that it does."""


class Reuse:
    """How long a connection to one server may have been idle when a submission leaves on it."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest_idle = LONGEST_IDLE
        self._trusted_from = -math.inf
        self.is_proved = False
        """Whether the server has answered on a connection that was used before."""

    def heed(self, headers: Mapping[str, str]) -> None:
        """Take in an answer's `Keep-Alive`; the least that was ever said counts."""
        said = headers.get("Keep-Alive")
        if said is not None:
            self._longest_idle = min(self._longest_idle, longest_idle(said))

    def distrust(self) -> None:
        """Reuse nothing for a while: the server closes connections unasked."""
        self._trusted_from = self._clock() + DISTRUST
        self.is_proved = False

    def allows(self, idle_since: float) -> bool:
        """Return whether a connection may be used that has been idle since then."""
        return self._clock() >= self._trusted_from and self.is_recent(idle_since)

    def is_recent(self, idle_since: float) -> bool:
        """Return whether a server would have kept a connection that has been idle since then."""
        return self._clock() - idle_since < self._longest_idle


def longest_idle(keep_alive: str) -> float:
    """Return the seconds for which a `Keep-Alive` header lets a connection be idle."""
    least = math.inf
    for part in keep_alive.split(","):
        name, _, text = part.partition("=")
        try:
            number = float(text.strip().strip('"'))
        except ValueError:
            continue
        if name.strip().lower() == "timeout" and number >= 0:
            least = min(least, max(number - ON_THE_WIRE, 0.0))
        elif name.strip().lower() == "max" and number <= 0:
            least = 0.0
    return least


class Ride:
    """One try of a submission on a connection: middleware that chooses it, and a last look at it.

    As the innermost middleware it runs just before aiohttp takes a connection, and puts the newest
    one where it is taken first. If that has been idle for too long, it hides them all for that
    moment, so that a new one is made; reads may use them later.
    """

    __slots__ = ("_connector", "_idle_since", "_reuse", "is_reused")

    def __init__(self, reuse: Reuse, session: aiohttp.ClientSession) -> None:
        self._reuse = reuse
        self._connector = session.connector
        self._idle_since: dict[Any, float] = {}
        self.is_reused = False
        """Whether the connection has carried an answer before."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Choose a connection and go on, as middleware of aiohttp's does."""
        self._choose(request.connection_key)
        return await handler(request)

    async def settle(self, writer: AbstractStreamWriter) -> None:
        """Wait for a moment, if no connection of this server's has ever been used again."""
        protocol = getattr(writer, "protocol", None)
        if not self._reuse.is_proved and (protocol in self._idle_since or _has_answered(protocol)):
            await asyncio.sleep(TO_SETTLE)

    def may_leave_on(self, writer: AbstractStreamWriter) -> bool:
        """Return whether the connection is new, or was used just now and is still open."""
        protocol = getattr(writer, "protocol", None)
        idle_since = self._idle_since.get(protocol)
        # What was not idle when the choice was made is new, or was given back while this waited.
        self.is_reused = idle_since is not None or _has_answered(protocol)
        if not self.is_reused:
            return True
        if idle_since is not None and not self._reuse.allows(idle_since):
            return False
        if has_ended(getattr(writer, "transport", None)):
            self._reuse.distrust()
            return False
        return True

    def was_answered(self) -> None:
        """Take note that an answer came."""
        self._reuse.is_proved |= self.is_reused

    def was_cut_off(self) -> None:
        """Take note that no answer came because the connection was lost."""
        if self.is_reused:
            self._reuse.distrust()

    def _choose(self, key: ConnectionKey) -> None:
        idle = _idle_connections(self._connector)
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
            idle.pop(key)  # kept in a way that is not known here
            return
        del idle[key]
        asyncio.get_running_loop().call_soon(self._put_back, key, kept)

    def _newest(self, kept: deque[tuple[Any, float]]) -> tuple[Any, float] | None:
        """Return the connection that was used last of those that are open."""
        for protocol, idle_since in reversed(kept):
            if protocol.is_connected():
                return protocol, idle_since
            if self._reuse.is_recent(idle_since):
                self._reuse.distrust()
        return None

    def _put_back(self, key: ConnectionKey, kept: deque[tuple[Any, float]]) -> None:
        idle = _idle_connections(self._connector)
        if idle is None or self._connector is None or self._connector.closed:
            for protocol, _ in kept:
                protocol.close()
        else:
            idle.setdefault(key, deque()).extendleft(reversed(kept))


def is_known(session: aiohttp.ClientSession) -> bool:
    """Return whether this release of aiohttp keeps its connections as is known here."""
    return _idle_connections(session.connector) is not None and isinstance(
        getattr(session, "_middlewares", None), tuple | list
    )


def _has_answered(protocol: Any) -> bool:
    return getattr(protocol, "_payload", None) is not None


def has_ended(transport: Any) -> bool:
    """Return whether the peer of an idle connection has closed it, or said anything unasked.

    The event loop may not have come to read it yet. Where the system cannot tell, it is open.
    """
    if transport is None or transport.is_closing():
        return True
    try:
        place = transport.get_extra_info("socket").fileno()
        if not hasattr(select, "poll"):
            return bool(select.select([place], [], [], 0)[0])
        poller = select.poll()
        poller.register(place, select.POLLIN)
        return bool(poller.poll(0))
    except (AttributeError, OSError, TypeError, ValueError):
        return False


def _idle_connections(connector: Any) -> dict[ConnectionKey, deque[tuple[Any, float]]] | None:
    """Return the connections that a connector keeps, and since when each is idle, oldest first."""
    kept = getattr(connector, "_conns", None)
    return kept if isinstance(kept, dict) else None
