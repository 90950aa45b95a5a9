"""PostgreSQL listener: signals by LISTEN, on a connection of its own."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from typing import Any

from luma_async.concurrency import Worker
from luma_async.journal.sql.postgres import PostgresDatabase
from luma_async.journal.sql.queries import CHANNEL
from luma_async.journal.sql.signal_sender import Signal
from luma_async.journal.sql.signals import Outage, Receive, SendProbe, is_probe

logger = logging.getLogger("luma_async")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0
_STEADY_AFTER = 10.0
"""Seconds after which a connection that is lost counts as one that worked, so that the next one is
made after the first, short pause."""

_PROBE_TIMEOUT = 5.0
"""Seconds after which a probe counts as not delivered."""

_PAUSE_WHEN_DEAF = 300.0
"""Seconds until LISTEN is tried again through a pooler that does not deliver."""

_CHECK_EVERY = 30.0
"""Seconds between two checks that the server is still there. A network that is cut ends no
connection."""


class PostgresListener:
    """Listener on one connection; a lost one is made again, after growing pauses.

    A pooler in transaction mode accepts LISTEN and delivers nothing. The probe of each new
    connection detects that. It is sent on another connection: on the same one, a pooler would
    deliver it.
    """

    def __init__(self, place: PostgresDatabase, receive: Receive, send_probe: SendProbe) -> None:
        self._place = place
        self._receive = receive
        self._send_probe = send_probe
        self._outage = Outage(place.shown)
        self._pause = 0.0
        self._ready = asyncio.Event()
        self._is_deaf = False
        # A cancelled listener has nothing to finish. If the program goes on, it starts again.
        self._worker = Worker("luma-async journal listener", self._step, lambda: True, grace=0)

    def start(self) -> None:
        """Begin to listen, now and after each failure."""
        self._worker.wake()

    async def ready(self) -> None:
        """Wait until the first attempt to listen has succeeded or failed."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Stop listening, and close the connection."""
        await self._worker.stop()

    async def _step(self) -> None:
        """Listen on one connection until it is lost, and pause before the next one."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            delivers = await self._listen()
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            self._outage.report(error)
            delivers = True
        finally:
            self._ready.set()
        if now() - began > _STEADY_AFTER and delivers:
            self._pause = 0.0
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        pause = self._pause if delivers else _PAUSE_WHEN_DEAF
        await asyncio.sleep(pause * random.uniform(0.75, 1.25))

    async def _listen(self) -> bool:
        """Receive signals until the connection is lost; return `False` if it delivers none."""
        connection = await self._place.connect()
        session = _Session(self._receive)
        try:
            connection.add_termination_listener(session.end)
            channel = await connection.fetchval(f"SELECT {CHANNEL}")
            await connection.add_listener(channel, session.receive)
            self._ready.set()
            await self._send_probe(session.probe)
            await session.wait_for_news(_PROBE_TIMEOUT)
            if not (session.is_heard or session.is_lost):
                self._report_deafness()
                return False
            self._outage.end()
            while not session.is_lost:
                await session.wait_for_news(_CHECK_EVERY)
                if not session.is_lost:
                    await connection.execute("SELECT")
        finally:
            connection.terminate()
        logger.debug("The journal %s lost its listening connection.", self._place.shown)
        return True

    def _report_deafness(self) -> None:
        if not self._is_deaf:
            self._is_deaf = True
            logger.warning(
                "The journal %s does not receive the signals of other processes, because the "
                "pooler in front of the database server delivers no notifications. Jobs are polled "
                "as usual. To receive signals, connect to the server itself, or set "
                "pool_mode=session there.",
                self._place.shown,
            )


class _Session:
    """State of one connection that listens, with the probe that must come back on it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._news = asyncio.Event()
        self.probe = uuid.uuid4().hex
        self.is_heard = False
        self.is_lost = False

    def receive(self, _connection: Any, _pid: int, _channel: str, text: str) -> None:
        """Pass the signal in a notification on."""
        fields = text.split(" ", 2)
        if len(fields) < 3:
            return  # not one of ours: any user of the database may notify
        signal = Signal(*fields)
        if is_probe(signal, self.probe):
            self.is_heard = True
            self._news.set()
        else:
            self._receive(signal)

    def end(self, _connection: Any) -> None:
        """Record that the connection is lost."""
        self.is_lost = True
        self._news.set()

    async def wait_for_news(self, timeout: float) -> None:
        """Wait for the probe or for the end of the connection, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
