"""Group commit: operations requested at about the same time share one transaction."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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

FIRST_PAUSE = 0.1
"""Seconds before a failed write is repeated for the first time."""

WARN_EVERY = 60.0
"""Seconds between two warnings about failing writes."""

_MAX_FAILURES = 3
"""Number of operations in a row that may fail singly before a round of single tries ends."""


class CommitError(Exception):
    """A group of operations was not committed.

    Attributes:
        reason: the error for the callers of the operations.
        is_database: `True` if the database as a whole failed, `False` if the error may be caused by
            one of the operations.

    """

    def __init__(self, reason: JournalError, *, is_database: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_database = is_database


Commit = Callable[[Sequence[Operation]], Awaitable[Mapping[Operation, Any]]]
"""Callable that runs a group of operations in a transaction, and returns their results.

It raises `CommitError` if the group was not committed.
"""


class GroupCommit:
    """Writer that runs operations through `commit` in groups, in the order in which they arrive.

    One asyncio task does the work, and exists only while there are operations. If the database
    fails, all operations in the queue get the error. Some operations are repeated until they
    succeed, whatever the error, or until the writer is closed (`Operation.is_retried`).

    Any other error is caused by one of the operations. The group is then tried one operation at a
    time, and an operation that fails alone is isolated from then on, so that it does not delay the
    others.

    The pause between two tries doubles up to `longest_pause` seconds.
    """

    def __init__(self, commit: Commit, *, longest_pause: float = 2.0) -> None:
        self._commit = commit
        self._longest_pause = longest_pause
        self._queue: dict[Operation, None] = {}
        self._isolated: dict[Operation, None] = {}
        self._worker = Worker("luma-async journal writer", self._step, self._has_work)
        self.idle = self._worker.wait
        """Coroutine function that waits until no operations are left."""
        self._pause = 0.0
        self._retry_isolated_at = 0.0
        self._last_commit = -math.inf
        self._warn_at = -math.inf
        self._news = asyncio.Event()
        self._closing = self._is_closed = False
        self._failure: JournalError | None = None

    @property
    def is_failing(self) -> bool:
        """`True` if the last commit failed."""
        return self._failure is not None

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        """Queue an operation, and return its future that is done once the operation is durable."""
        operation.done = asyncio.get_running_loop().create_future()
        self._queue[operation] = None
        if self._is_closed:
            self._give_up()
            return operation.done
        if not (operation.is_retried and self._pause):
            self._news.set()
        self._worker.wake()
        return operation.done

    async def aclose(self, *, within: float) -> None:
        """Run the remaining operations for at most `within` seconds, and log those that failed."""
        self._closing = True
        self._pause = self._retry_isolated_at = 0.0
        self._news.set()
        self._worker.wake()
        now = asyncio.get_running_loop().time
        until = now() + within
        while self._has_work() and (left := until - now()) > 0:
            self._worker.wake()
            await self._worker.wait(left)
        await self._worker.stop()
        self._is_closed = True
        self._give_up()

    def _has_work(self) -> bool:
        return bool(self._queue or self._isolated)

    async def _step(self) -> None:
        """Commit one group. An operation leaves the queue only after it has ended."""
        await self._wait_for_more()
        group: list[Operation] = []
        for operation in list(self._queue):
            if operation.done.done() and not operation.is_retried:  # its caller was cancelled
                del self._queue[operation]
            elif len(group) < LARGEST_GROUP:
                group.append(operation)
        if group:
            try:
                results = await self._commit(group)
            except CommitError as error:
                if not error.is_database:
                    await self._try_singly(group)
                else:
                    self._fail(list(self._queue), error)  # including operations beyond this group
                    self._slow_down()
            else:
                self._succeed(group, results)
        if self._isolated and asyncio.get_running_loop().time() >= self._retry_isolated_at:
            await self._try_singly(list(self._isolated))
        self._last_commit = asyncio.get_running_loop().time()

    async def _wait_for_more(self) -> None:
        """Wait for more operations; after a failure, wait until it is time to try again.

        A new operation ends the wait after a failure. After a quiet time a single operation is not
        delayed, and neither are operations that only read.
        """
        self._news.clear()
        now = asyncio.get_running_loop().time()
        is_busy = now - self._last_commit < QUIET_TIME
        if not self._closing:
            writes = is_busy and not all(operation.only_reads for operation in self._queue)
            await asyncio.sleep(LINGER if writes else 0)
        pause = self._pause if self._queue else self._retry_isolated_at - now
        if pause > 0 and all(operation.is_retried for operation in self._queue):
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _try_singly(self, group: list[Operation]) -> None:
        """Try each operation by itself; end the round if the database seems to be unusable."""
        self._retry_isolated_at = asyncio.get_running_loop().time() + self._longest_pause
        failures = 0
        for number, operation in enumerate(group):
            try:
                self._succeed([operation], await self._commit([operation]))
            except CommitError as error:
                if not error.is_database:
                    failures += 1
                    # From now on it is tried by itself, after those that are isolated already.
                    self._remove(operation)
                    self._isolated[operation] = None
                if error.is_database or failures == _MAX_FAILURES:
                    self._fail(group[number:], error)
                    self._slow_down()
                    return
                self._fail([operation], error)
            else:
                failures = 0

    def _succeed(self, group: Iterable[Operation], results: Mapping[Operation, Any]) -> None:
        self._pause = 0.0
        self._failure = None
        for operation in group:
            self._queue.pop(operation, None)
            self._isolated.pop(operation, None)
            if not operation.done.done():  # its caller may have been cancelled
                operation.done.set_result(results.get(operation))

    def _fail(self, group: Iterable[Operation], error: CommitError) -> None:
        self._failure = error.reason
        for operation in group:
            _set_error(operation, error.reason)
            if not operation.is_retried or (self._closing and operation.is_cleanup):
                self._remove(operation)
        pending = sum(not operation.is_cleanup for operation in (*self._queue, *self._isolated))
        now = asyncio.get_running_loop().time()
        if pending and now >= self._warn_at and not self._closing:
            self._warn_at = now + WARN_EVERY
            logger.warning("%s %d writes are pending and will be repeated.", error.reason, pending)

    def _slow_down(self) -> None:
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), self._longest_pause)

    def _remove(self, operation: Operation) -> None:
        self._queue.pop(operation, None)
        self._isolated.pop(operation, None)

    def _give_up(self) -> None:
        """Report the operations that were not written, to their callers and in the log."""
        reason = self._failure or JournalError("The journal was closed before this was written.")
        for operation in (*self._queue, *self._isolated):
            _set_error(operation, reason)
            if operation.is_retried:
                for job in operation.jobs():
                    logger.error("%s The journal does not know this: %s.", reason, job)
        self._queue.clear()
        self._isolated.clear()


def _set_error(operation: Operation, error: JournalError) -> None:
    if not operation.done.done():
        operation.done.set_exception(error)
        operation.done.exception()  # counts as retrieved, even if no caller waits
