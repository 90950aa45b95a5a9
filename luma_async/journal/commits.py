"""Group commit: what is asked at about the same time becomes durable together."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from luma_async.errors import JournalError
from luma_async.journal.operations import Operation

logger = logging.getLogger("luma_async")

LINGER = 0.01
"""Seconds that the first operation of a group waits for others. A commit costs about as much for
one as for a hundred, and a job takes minutes."""

QUIET_TIME = 0.05
"""Seconds since the last commit after which others are not to be expected."""

LARGEST_GROUP = 250
"""Operations in one transaction: more would hold the event loop, and others' writes, for long."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds until what must be written is tried again."""

Commit = Callable[[Sequence[Operation]], Awaitable[Mapping[Operation, Any]]]


class GroupCommit:
    """Runs operations through `commit`, one group after another, in the order they were put.

    One asyncio task does it, alive only while there is something to do. Where a commit fails, all
    in the group are told so, with `explain(error)`, and what must land is tried on until it does.
    Trouble that will not pass (`may_pass`) lies in one of them; they are tried singly then.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        may_pass: Callable[[Exception], bool],
        explain: Callable[[Exception], JournalError],
    ) -> None:
        self._commit = commit
        self._may_pass = may_pass
        self._explain = explain
        self._queue: deque[Operation] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._pause = 0.0
        self._ended_at = -math.inf
        self._news = asyncio.Event()
        self._closing = False
        self.is_failing = False

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        """Have an operation done; the future tells when it is durable."""
        self._queue.append(operation)
        if not operation.must_land:
            self._news.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="luma-async journal")
            self._worker.add_done_callback(self._worker_ended)
        return operation.done

    async def aclose(self) -> None:
        """Do what is left, or try to, once more."""
        self._closing = True
        self._news.set()
        while self._worker is not None:
            await asyncio.wait([self._worker])

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        if self._worker is not worker:
            return  # it ended well, and maybe another has begun
        self._worker = None
        if not worker.cancelled() and (error := worker.exception()) is not None:
            logger.error("The journal's writer broke off.", exc_info=error)
        left, self._queue = self._queue, deque()
        for operation in left:
            operation.fail(JournalError("The journal was cut off before this was written."))

    async def _work(self) -> None:
        while self._queue:
            await self._gather()
            size = min(len(self._queue), LARGEST_GROUP)
            await self._run([self._queue.popleft() for _ in range(size)])
            self._ended_at = asyncio.get_running_loop().time()
        self._worker = None  # now, for what is put next needs another

    async def _gather(self) -> None:
        """Wait for more to come; after a failure for a while, or for something new.

        What comes by itself after a quiet time is not kept waiting, nor are mere questions.
        """
        if self._closing:
            return
        self._news.clear()
        now = asyncio.get_running_loop().time()
        is_busy = now - self._ended_at < QUIET_TIME
        is_cheap = all(operation.only_reads for operation in self._queue)
        await asyncio.sleep(LINGER if is_busy and not is_cheap else 0)
        if self._pause and all(operation.must_land for operation in self._queue):
            try:
                async with asyncio.timeout(self._pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _run(self, group: list[Operation]) -> None:
        group = [each for each in group if each.must_land or not each.done.cancelled()]
        try:
            results = await self._commit(group) if group else {}
        except Exception as error:  # noqa: BLE001  a driver may raise anything
            await self._recover(group, error)
            return
        self._pause = 0.0
        self.is_failing = False
        for operation in group:
            operation.end(results.get(operation))

    async def _recover(self, group: list[Operation], error: Exception) -> None:
        self.is_failing = True
        if not self._may_pass(error) and len(group) > 1:
            for operation in group:
                await self._run([operation])
            return
        for operation in group:
            operation.fail(self._explain(error))
        again = [operation for operation in group if operation.must_land]
        if self._closing or not self._may_pass(error):
            for operation in again:
                if not operation.is_tidying:
                    logger.error("%s This is not in it: %s.", self._explain(error), operation)
        elif again:
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
            self._queue.extendleft(reversed(again))
