"""Ends: how jobs ended, on the way to the journal."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from luma_async.errors import JournalError, NotFoundError
from luma_async.journal.entry import End
from luma_async.journal.journal import Journal
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

LINGER = 0.05
"""Seconds that the first end waits for others to be written with it."""

LARGEST_GROUP = 250
"""Ends that are written at a time."""

QUIET = 60.0
"""Seconds between two warnings that ends cannot be written."""


class Ends:
    """Writes ends down behind the back of those who await the jobs.

    An end that a crash keeps from the journal is seen again by the next look at the job, so nobody
    waits for it to be durable. `afterwards` is awaited after each time that some were written.
    """

    def __init__(
        self, journal: Journal, *, server: str, afterwards: Callable[[], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._server = server
        self._afterwards = afterwards
        self._ends: deque[End] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._quiet_until = 0.0

    def add(self, task: VideoTask) -> None:
        """Note that a handle is done; whether its job is, too, is seen here."""
        end = _end_of(task, self._server)
        if end is None:
            return
        self._ends.append(end)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="luma-async ends")
            self._writer.add_done_callback(self._writer_ended)

    async def aclose(self) -> None:
        """Write what is left."""
        self._closing.set()
        while self._writer is not None:
            await asyncio.wait([self._writer])

    def _writer_ended(self, writer: asyncio.Task[None]) -> None:
        if self._writer is not writer:
            return  # it ended well, and maybe another has begun
        self._writer = None
        if not writer.cancelled() and (error := writer.exception()) is not None:
            logger.error("The ends of jobs could not be written.", exc_info=error)

    async def _write(self) -> None:
        while self._ends:
            try:
                async with asyncio.timeout(LINGER):
                    await self._closing.wait()
            except TimeoutError:
                pass
            size = min(len(self._ends), LARGEST_GROUP)
            group = [self._ends.popleft() for _ in range(size)]
            try:
                await self._journal.finish(group)
            except JournalError as error:
                self._complain(error)
            await self._afterwards()
        self._writer = None  # now, for what is added next needs another

    def _complain(self, error: JournalError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            logger.warning("%s Jobs that end stay running in the journal meanwhile.", error)


def _end_of(task: VideoTask, server: str) -> End | None:
    """Return how a job ended; `None` if only the watch did."""
    error = task.error
    if task.state.terminal:
        return End(server=server, id=task.id, generation=task.generation)
    if isinstance(error, NotFoundError):
        return End(server=server, id=task.id, reason=error.message)
    return None
