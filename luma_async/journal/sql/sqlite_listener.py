"""SQLite listener: signals by new rows of a table, on a connection and a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from threading import Event, Thread

from luma_async.journal.sql.driver_errors import is_locked
from luma_async.journal.sql.signal_sender import Signal
from luma_async.journal.sql.signals import Outage, Receive
from luma_async.journal.sql.sqlite_file import SQLiteFile

LOOK_EVERY = 0.05
"""Seconds between two looks for changes of the file. Each takes some microseconds, in a thread."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0

_STOP_TIMEOUT = 1.0
"""Seconds to wait for the end of the thread. A disk may hold it up."""

_BATCH = 250
"""Maximum number of rows to pass on in one turn of the event loop."""

_NEWEST = "SELECT coalesce(max(id), 0) FROM luma_signals"
_LATER = "SELECT id, sender, topic, payload FROM luma_signals WHERE id > ? ORDER BY id LIMIT ?"


class SQLiteListener:
    """Listener that reads the new rows whenever another connection has changed the file.

    `PRAGMA data_version` detects changes without reading the database. Neither it nor the reading
    of rows keeps a writer waiting.
    """

    def __init__(self, place: SQLiteFile, receive: Receive) -> None:
        self._place = place
        self._receive = receive
        self._outage = Outage(place.shown)
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        self._stopping = Event()
        self._has_tried = False
        self._last: int | None = None
        self._pause = 0.0

    def start(self) -> None:
        """Begin to listen, now and after each failure."""
        # A thread of the default executor would keep the program from exiting.
        Thread(target=self._run, name="luma-async journal listener", daemon=True).start()

    async def ready(self) -> None:
        """Wait until the first attempt to listen has succeeded or failed."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Stop listening, and wait until the connection is closed."""
        self._stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._ended.wait()

    def _run(self) -> None:
        while not self._is_over(self._pause):
            try:
                with closing(self._connect()) as connection:
                    self._listen(connection)
            except (sqlite3.Error, OSError) as error:
                self._outage.report(error)
                self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._tell_ready()
        self._call(self._ended.set)

    def _connect(self) -> sqlite3.Connection:
        self._place.check()
        connection = sqlite3.connect(
            f"{self._place.path.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None
        )
        # Text that is not valid must not make the row unreadable forever.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        return connection

    def _listen(self, connection: sqlite3.Connection) -> None:
        """Pass new rows on until it is time to stop."""
        version: object = None
        while not self._is_over(LOOK_EVERY if version is not None else 0):
            try:
                # The version comes first: a change during the reading changes it once more.
                found = connection.execute("PRAGMA data_version").fetchone()
                if found != version:
                    self._read(connection)
                version = found
            except sqlite3.OperationalError as error:
                if not is_locked(error):
                    raise
                version = version or 0  # and try again, after the usual time
                continue
            self._tell_ready()
            self._outage.end()
            self._pause = 0.0

    def _read(self, connection: sqlite3.Connection) -> None:
        if self._last is None:
            [self._last] = connection.execute(_NEWEST).fetchone()
            return
        while rows := connection.execute(_LATER, (self._last, _BATCH)).fetchall():
            self._last = rows[-1][0]
            self._call(self._pass_on, [Signal(*map(str, row[1:])) for row in rows])

    def _pass_on(self, signals: Sequence[Signal]) -> None:
        if not self._stopping.is_set():
            for signal in signals:
                self._receive(signal)

    def _tell_ready(self) -> None:
        if not self._has_tried:
            self._has_tried = True
            self._call(self._ready.set)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)

    def _is_over(self, seconds: float) -> bool:
        """Wait, and return `True` if it is time to stop."""
        return self._stopping.wait(seconds) or self._loop.is_closed()
