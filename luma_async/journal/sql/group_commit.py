"""Group commit: operations requested at about the same time share one transaction."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from luma_async.concurrency import Worker
from luma_async.errors import JournalError
from luma_async.journal.sql.operations import Operation

logger = logging.getLogger("luma_async")

LINGER = 0.01
"""Seconds that the first operation of a group waits for others. A commit costs about as much for
one operation as for a hundred, and a job takes minutes."""

QUIET_TIME = 0.05
"""Seconds since the last commit after which no further operations are expected."""

LARGEST_GROUP = 250
"""Maximum number of operations in one transaction. More would block the event loop, and other
writers, for too long."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds before a failed write is repeated: the first pause, and the longest."""

QUIET = 60.0
"""Seconds between two warnings about failing writes."""

_MISSES = 3
"""Number of operations in a row that may fail singly before a round of single tries ends."""

Commit = Callable[[Sequence[Operation]], Awaitable[Mapping[Operation, Any]]]


class GroupCommit:
    """Writer that runs operations through `commit` in groups, in the order in which they arrive.

    One asyncio task does the work, and exists only while there are operations. If the database
    fails (`is_trouble`), all operations in the queue are told `explain(error)`. Operations that
    must land are repeated until they succeed, whatever the error, or until the writer is closed.

    Any other error is caused by one of the operations. The group is then tried one operation at a
    time, and an operation that fails alone is kept apart from then on, so that it does not delay
    the others.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        is_trouble: Callable[[Exception], bool],
        explain: Callable[[Exception], JournalError],
    ) -> None:
        self._commit = commit
        self._is_trouble = is_trouble
        self._explain = explain
        self._open: dict[Operation, None] = {}
        self._apart: dict[Operation, None] = {}
        self._worker = Worker("luma-async journal writer", self._step, self._has_work)
        self._pause = 0.0
        self._apart_from = 0.0
        self._ended_at = -math.inf
        self._quiet_until = -math.inf
        self._news = asyncio.Event()
        self._closing = False
        self._why: JournalError | None = None

    @property
    def is_failing(self) -> bool:
        """`True` if the last commit failed."""
        return self._why is not None

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        """Queue an operation, and return its future that is done once the operation is durable."""
        self._open[operation] = None
        if not (operation.must_land and self._pause):
            self._news.set()
        self._worker.wake()
        return operation.done

    async def idle(self) -> None:
        """Wait until no operations are left."""
        await self._worker.wait()

    async def aclose(self, *, within: float) -> None:
        """Run the remaining operations for at most `within` seconds, and log those that failed."""
        self._closing = True
        self._pause = self._apart_from = 0.0
        self._news.set()
        self._worker.wake()
        now = asyncio.get_running_loop().time
        until = now() + within
        while self._has_work() and (left := until - now()) > 0:
            self._worker.wake()
            await self._worker.wait(left)
        await self._worker.stop()
        self._give_up()

    def _has_work(self) -> bool:
        return bool(self._open or self._apart)

    async def _step(self) -> None:
        """Commit one group. An operation leaves the queue only after it has ended."""
        await self._gather()
        for operation in [each for each in self._open if not _is_wanted(each)]:
            del self._open[operation]
        if group := list(islice(self._open, LARGEST_GROUP)):
            await self._run(group)
        if self._apart and asyncio.get_running_loop().time() >= self._apart_from:
            await self._singly(list(self._apart))
        self._ended_at = asyncio.get_running_loop().time()

    async def _gather(self) -> None:
        """Wait for more operations; after a failure, wait until it is time to try again.

        A new operation ends the wait after a failure. After a quiet time a single operation is not
        delayed, and neither are operations that only read.
        """
        self._news.clear()
        now = asyncio.get_running_loop().time()
        is_busy = now - self._ended_at < QUIET_TIME
        is_cheap = all(operation.only_reads for operation in self._open)
        if not self._closing:
            await asyncio.sleep(LINGER if is_busy and not is_cheap else 0)
        pause = self._pause if self._open else self._apart_from - now
        if pause > 0 and all(operation.must_land for operation in self._open):
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _run(self, group: list[Operation]) -> None:
        try:
            results = await self._commit(group)
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            if not self._is_trouble(error):
                await self._singly(group)
                return
            self._fail(list(self._open), error)  # including operations beyond this group
            self._slow_down()
        else:
            self._end(group, results)

    async def _singly(self, group: list[Operation]) -> None:
        """Try each operation by itself; end the round if the database seems to be unusable."""
        self._apart_from = asyncio.get_running_loop().time() + LONGEST_PAUSE
        misses = 0
        for number, operation in enumerate(group):
            try:
                self._end([operation], await self._commit([operation]))
            except Exception as error:  # noqa: BLE001  a driver may raise anything
                is_trouble = self._is_trouble(error)
                if not is_trouble:
                    misses += 1
                    self._keep_apart(operation)
                if is_trouble or misses == _MISSES:
                    self._fail(group[number:], error)
                    self._slow_down()
                    return
                self._fail([operation], error)
            else:
                misses = 0

    def _end(self, group: Sequence[Operation], results: Mapping[Operation, Any]) -> None:
        self._pause = 0.0
        self._why = None
        for operation in group:
            self._forget(operation)
            operation.end(results.get(operation))

    def _fail(self, group: Sequence[Operation], error: Exception) -> None:
        self._why = self._explain(error)
        for operation in group:
            operation.fail(self._why)
            if not operation.must_land or (self._closing and operation.is_tidying):
                self._forget(operation)
        left = sum(not operation.is_tidying for operation in (*self._open, *self._apart))
        now = asyncio.get_running_loop().time()
        if left and now >= self._quiet_until and not self._closing:
            self._quiet_until = now + QUIET
            logger.warning("%s %d writes are pending and will be repeated.", self._why, left)

    def _slow_down(self) -> None:
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)

    def _keep_apart(self, operation: Operation) -> None:
        """Try an operation by itself from now on, after those that are already apart."""
        self._forget(operation)
        self._apart[operation] = None

    def _forget(self, operation: Operation) -> None:
        self._open.pop(operation, None)
        self._apart.pop(operation, None)

    def _give_up(self) -> None:
        """Report the operations that were not written, to their callers and in the log."""
        why = self._why or JournalError("The journal was closed before this was written.")
        for operation in (*self._open, *self._apart):
            operation.fail(why)
            if operation.must_land and not operation.is_tidying:
                for job in operation.jobs():
                    logger.error("%s The journal does not know this: %s.", why, job)
        self._open.clear()
        self._apart.clear()


def _is_wanted(operation: Operation) -> bool:
    return operation.must_land or not operation.done.done()
