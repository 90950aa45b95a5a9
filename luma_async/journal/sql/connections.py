"""Database connections: transactions that end in bounded time, on connections in a known state."""

from __future__ import annotations

import asyncio
import gc
import math
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from luma_async.journal.sql.driver_errors import (
    TransactionCancelledError,
    is_conflict,
    is_locked,
    is_lost_connection,
)

T = TypeVar("T")

_MAX_REPEATS = 3
"""Number of times that a transaction is repeated if another one interferes."""


class Connections:
    """Transactions on one engine: one connection kept open for writing, and others on demand.

    No transaction takes longer than `transaction_timeout` seconds, because drivers wait forever for
    a frozen server, even when they are cancelled. A connection is discarded after any error,
    because statements may still be running on it.

    `check` is called before each transaction, and raises an error if the database is no longer the
    one that was opened. While another program keeps a SQLite file locked, a transaction is repeated
    for `lock_timeout` seconds.

    An abandoned transaction has `end_timeout` seconds to end before it is cancelled: a SQLite
    connection that is cancelled while it is being closed stays open, and locked. Once cancelled, it
    has `cancel_timeout` seconds to end.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        check: Callable[[], None],
        *,
        lock_timeout: float,
        transaction_timeout: float = math.inf,
        end_timeout: float = 0.7,
        cancel_timeout: float = 0.3,
    ) -> None:
        self._engine = engine
        self._check = check
        self._lock_timeout = lock_timeout
        self._transaction_timeout = None if transaction_timeout == math.inf else transaction_timeout
        self._end_timeout = end_timeout
        self._cancel_timeout = cancel_timeout
        self._writer: AsyncConnection | None = None
        self._drivers: WeakSet[Any] = WeakSet()
        self._running: dict[asyncio.Task[Any], AsyncConnection | None] = {}
        self._discarding: set[asyncio.Task[None]] = set()
        self._has_discarded = False
        self._is_closing = False
        event.listen(engine.sync_engine, "connect", self._add_driver)

    async def run(
        self, work: Callable[..., Awaitable[T]], *arguments: Any, as_writer: bool = False
    ) -> T:
        """Run `work(connection, *arguments)` in a transaction, and return its result.

        The transaction is repeated while a SQLite file is locked, and a few times if another
        transaction interfered. Writes of a failed try that were made after all must not affect the
        next try. Of transactions `as_writer`, which keep their connection open, only one may run at
        a time.
        """
        now = asyncio.get_running_loop().time
        until = now() + self._lock_timeout
        # A connection that was kept open may have been lost since; a new one cannot be.
        may_be_lost = as_writer and self._writer is not None
        repeats = 0
        while True:
            try:
                self._check()
                return await self._bounded(
                    self._transaction(work, arguments, as_writer), self._transaction_timeout
                )
            except Exception as error:
                if is_locked(error):
                    if now() >= until or self._is_closing:  # or a connection would be left open
                        raise
                elif repeats < _MAX_REPEATS and (
                    is_conflict(error) or (may_be_lost and is_lost_connection(error))
                ):
                    repeats += 1
                    may_be_lost = False
                else:
                    raise
            if self._has_discarded:
                # SQLite keeps a closed connection, with its lock on the file, until the last cursor
                # of the connection is collected, and an exception may hold a reference to a cursor.
                self._has_discarded = False
                gc.collect()

    async def aclose(self, *, is_sound: bool) -> None:
        """Close all connections, and cut off those that do not answer.

        Unless the database `is_sound`, all of them are cut off at once.
        """
        self._is_closing = True
        if not is_sound:
            self._cut_off_all()
        for task in list(self._running):
            await self._abandon(task)
        with suppress(Exception):  # the rest is cut off below
            await self._bounded(self._close(), self._end_timeout)
        self._cut_off_all()
        if self._discarding:
            await asyncio.wait(self._discarding, timeout=self._cancel_timeout)

    async def _transaction(
        self, work: Callable[..., Awaitable[T]], arguments: tuple[Any, ...], as_writer: bool
    ) -> T:
        connection = None
        if as_writer:
            connection, self._writer = self._writer, None
        if connection is None:
            connection = await self._engine.connect()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._running[task] = connection
        try:
            async with connection.begin():
                result = await work(connection, *arguments)
        except BaseException as error:
            self._has_discarded = True
            _release_cursors(error)
            # In a task of its own, which is not cancelled with this one.
            discarding = asyncio.create_task(_discard(connection), name="luma-async discarding")
            self._discarding.add(discarding)
            discarding.add_done_callback(self._discarding.discard)
            await asyncio.wait([discarding])
            raise
        if as_writer:
            self._writer = connection
        else:
            await connection.close()
        return result

    async def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
        await self._engine.dispose()

    async def _bounded(self, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """Run a coroutine in a task of its own, and end the task when its time is up."""
        task = asyncio.create_task(work, name="luma-async journal transaction")
        self._running[task] = None
        task.add_done_callback(self._running.pop)
        try:
            await asyncio.wait([task], timeout=timeout)
        except asyncio.CancelledError:
            await self._abandon(task)
            raise
        if not task.done():
            _cut_off(_driver(self._running.get(task)))
            await self._abandon(task)
            raise TimeoutError
        if task.cancelled():
            raise TransactionCancelledError
        return task.result()

    async def _abandon(self, task: asyncio.Task[Any]) -> None:
        """Wait for a transaction to end; then close its socket and cancel it."""
        task.add_done_callback(_retrieve_error)
        await asyncio.wait([task], timeout=self._end_timeout)
        for _ in range(2):
            if not task.done():
                _cut_off(_driver(self._running.get(task)))
                task.cancel()
                await asyncio.wait([task], timeout=self._cancel_timeout)

    def _add_driver(self, connection: Any, _: object) -> None:
        self._drivers.add(connection.driver_connection)

    def _cut_off_all(self) -> None:
        for driver in list(self._drivers):
            _cut_off(driver)


def _release_cursors(error: BaseException) -> None:
    """Clear the variables of the frames that an error has left, such as cursors.

    SQLite keeps a closed connection, with its lock on the file, as long as there is a cursor of it.
    The error of a cancelled transaction may live long: `asyncio.run()` keeps all tasks that it
    cancels until the last of them has ended.
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    """Retrieve the error of a task that nothing awaits, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


def _driver(connection: AsyncConnection | None) -> Any:
    """Return the driver's own connection, or `None` if it no longer exists."""
    with suppress(Exception):
        pooled = connection.sync_connection if connection is not None else None
        if pooled is not None and not pooled.invalidated:  # or this would reconnect
            return pooled.connection.driver_connection
    return None


async def _discard(connection: AsyncConnection) -> None:
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
