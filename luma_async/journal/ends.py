"""Ends: how jobs ended, on the way to the journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from luma_async.errors import JournalError, NotFoundError
from luma_async.journal.entry import End
from luma_async.journal.journal import Journal
from luma_async.journal.worker import Worker
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

LINGER = 0.05
"""Seconds that the first end waits for others to be written with it."""

LARGEST_GROUP = 250
"""Ends that are written at a time."""

QUIET = 60.0
"""Seconds between two warnings that ends cannot be written."""

PAUSE = 1.0
"""Seconds until ends are tried again that a journal did not even take."""


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
        self._ends: list[End] = []
        self._handed_over = 0
        self._writer = Worker("luma-async ends", self._write, lambda: bool(self._ends))
        self._closing = asyncio.Event()
        self._quiet_until = 0.0

    def add(self, task: VideoTask) -> None:
        """Note that a handle is done; whether its job is, too, is seen here."""
        end = _end_of(task, self._server)
        if end is not None:
            self._ends.append(end)
            self._writer.wake()

    async def aclose(self) -> None:
        """Write what is left."""
        self._closing.set()
        self._writer.wake()
        await self._writer.wait()

    async def stop(self) -> None:
        """Write no more, and log what was not written."""
        await self._writer.stop()
        for end in self._ends[self._handed_over :]:
            logger.error("The journal does not know this: %s.", end)
        self._ends.clear()

    async def _write(self) -> None:
        """Write one group. What a `JournalError` is raised for, the journal tries on by itself."""
        await self._wait(LINGER)
        group = self._ends[:LARGEST_GROUP]
        self._handed_over = len(group)
        try:
            await self._journal.finish(group)
        except JournalError as error:
            self._complain(error)
        except Exception:  # a journal of the user's may raise anything
            self._handed_over = 0
            logger.exception("The ends of jobs could not be written.")
            await asyncio.sleep(PAUSE)
            return
        self._handed_over = 0
        del self._ends[: len(group)]
        await self._afterwards()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            pass

    def _complain(self, error: JournalError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            logger.warning("%s Jobs that end stay running in the journal meanwhile.", error)


def _end_of(task: VideoTask, server: str) -> End | None:
    """Return how a job ended; `None` if only the watch did."""
    error = task.error
    if task.state.terminal:
        return End(server=server, id=task.id, generation=task.generation, key=task.key)
    if isinstance(error, NotFoundError):
        return End(server=server, id=task.id, reason=error.message, key=task.key)
    return None
