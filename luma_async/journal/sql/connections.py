"""Database connections: transactions that end in bounded time, on connections in a known state."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_TO_END = 0.7
"""Seconds that an abandoned transaction has to end before it is cancelled. A SQLite connection that
is cancelled while it is being closed stays open, and locked."""

_BREAK_OFF = 0.3
"""Seconds that a transaction has to end after it was cancelled."""


class Connections:
    """Transactions on one engine: one connection kept open for writing, and others on demand.

    No transaction takes longer than `limit` seconds, because drivers wait forever for a frozen
    server, even when they are cancelled. A connection is discarded after any error, because
    statements may still be running on it.
    """

    def __init__(self, engine: AsyncEngine, *, limit: float = math.inf) -> None:
        self._engine = engine
        self._limit = None if limit == math.inf else limit
        self._writer: AsyncConnection | None = None
        self._drivers: WeakSet[Any] = WeakSet()
        self._under_way: dict[asyncio.Task[Any], AsyncConnection | None] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._threw_away = False
        event.listen(engine.sync_engine, "connect", self._connected)

    def forget_thrown_away(self) -> None:
        """Free the remains of discarded connections.

        SQLite keeps a closed connection, with its lock on the file, until the last cursor of the
        connection is garbage-collected, and an exception may hold a reference to a cursor.
        """
        if self._threw_away:
            self._threw_away = False
            gc.collect()

    @property
    def has_writer(self) -> bool:
        """`True` if the connection for writing is open."""
        return self._writer is not None

    async def write(self, work: Work[T]) -> T:
        """Run a transaction on the connection for writing; only one may run at a time."""
        return await self._bounded(self._write(work))

    async def run(self, work: Work[T]) -> T:
        """Run a transaction on a connection of its own."""
        return await self._bounded(self._run(work))

    async def aclose(self, *, is_sound: bool) -> None:
        """Close all connections, and cut off those that do not answer.

        Unless the database `is_sound`, all of them are cut off at once.
        """
        if not is_sound:
            self._cut_off_all()
        for task in list(self._under_way):
            await self._break_off(task)
        with suppress(Exception):  # the rest is cut off below
            await self._bounded(self._close(), limit=_TO_END)
        self._cut_off_all()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_BREAK_OFF)

    async def _write(self, work: Work[T]) -> T:
        writer, self._writer = self._writer, None
        if writer is None:
            writer = await self._engine.connect()
        result = await self._on(writer, work)
        self._writer = writer
        return result

    async def _run(self, work: Work[T]) -> T:
        connection = await self._engine.connect()
        result = await self._on(connection, work)
        await connection.close()
        return result

    async def _on(self, connection: AsyncConnection, work: Work[T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._under_way[task] = connection
        try:
            async with connection.begin():
                return await work(connection)
        except BaseException:
            self._threw_away = True
            leaving = asyncio.create_task(
                _throw_away(connection), name="luma-async journal leaving"
            )
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.wait([leaving])
            raise

    async def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
        await self._engine.dispose()

    async def _bounded(self, work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
        """Run a coroutine in a task of its own, and end the task when its time is up."""
        task = asyncio.create_task(work, name="luma-async journal transaction")
        self._under_way[task] = None
        task.add_done_callback(lambda done: self._under_way.pop(done, None))
        try:
            await asyncio.wait([task], timeout=limit or self._limit)
        except asyncio.CancelledError:
            await self._break_off(task)
            raise
        if not task.done():
            _cut_off(_driver(self._under_way.get(task)))
            await self._break_off(task)
            raise TimeoutError
        if task.cancelled():
            raise BrokenOffError
        return task.result()

    async def _break_off(self, task: asyncio.Task[Any]) -> None:
        """Wait for a transaction to end; then close its socket and cancel it."""
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([task], timeout=_TO_END)
        for _ in range(2):
            if not task.done():
                _cut_off(_driver(self._under_way.get(task)))
                task.cancel()
                await asyncio.wait([task], timeout=_BREAK_OFF)

    def _connected(self, connection: Any, _: object) -> None:
        self._drivers.add(connection.driver_connection)

    def _cut_off_all(self) -> None:
        for driver in list(self._drivers):
            _cut_off(driver)


class BrokenOffError(Exception):
    """The transaction was cancelled together with all other tasks of the event loop."""


def _driver(connection: AsyncConnection | None) -> Any:
    """Return the driver's own connection, or `None` if it no longer exists."""
    with suppress(Exception):
        pooled = connection.sync_connection if connection is not None else None
        if pooled is not None and not pooled.invalidated:  # or this would reconnect
            return pooled.connection.driver_connection
    return None


async def _throw_away(connection: AsyncConnection) -> None:
    with suppress(Exception):  # the connection is broken anyway
        await connection.invalidate()
    with suppress(Exception):
        await connection.close()


def _cut_off(driver: Any) -> None:
    """Close the socket of a connection, so that calls waiting for an answer end.

    A SQLite file has no socket.
    """
    terminate = getattr(driver, "terminate", None)
    if terminate is not None:
        with suppress(Exception):  # already closed
            terminate()
