"""Write-behind: ends of jobs and learned durations, written to the journal in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from luma_async.concurrency import Worker
from luma_async.errors import JournalError, NotFoundError
from luma_async.journal.journal import End, Journal
from luma_async.schedules import AdaptiveSchedule, PollSchedule
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

LINGER = 0.05
"""Seconds that the first end waits for others, to be written together with them."""

LARGEST_GROUP = 250
"""Maximum number of ends that are written at a time. More would delay the writes of submissions."""

WARN_EVERY = 60.0
"""Seconds between two warnings that ends cannot be written."""

RETRY_AFTER = 1.0
"""Seconds before ends are written again after an unexpected error of the journal."""

STORE_EVERY = 60.0
"""Seconds between two writes of the learned durations, while jobs end."""


class Ends:
    """Background writer of the ends of jobs, so that awaiting a job does not wait for the journal.

    An end need not be durable at once: if a crash loses it, the next poll of the job reports it
    again. `afterwards` is awaited after each group of ends that was written.
    """

    def __init__(
        self, journal: Journal, *, server: str, afterwards: Callable[[], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._server = server
        self._afterwards = afterwards
        self._ends: list[End] = []
        self._being_written = 0  # at the front of `_ends`
        self._writer = Worker("luma-async ends", self._write, lambda: bool(self._ends))
        self._closing = asyncio.Event()
        self._warn_at = 0.0

    def add(self, task: VideoTask) -> None:
        """Queue the end of a job whose handle is done.

        If only polling has ended, and not the job, nothing is queued.
        """
        end = _end_of(task, self._server)
        if end is not None:
            self._ends.append(end)
            self._writer.wake()

    async def aclose(self) -> None:
        """Write the remaining ends."""
        self._closing.set()
        self._writer.wake()
        await self._writer.wait()

    async def stop(self) -> None:
        """Stop writing, and log the ends that were not written."""
        await self._writer.stop()
        # The journal itself logs those that it was given.
        for end in self._ends[self._being_written :]:
            logger.error("The journal does not know this: %s.", end)
        self._ends.clear()

    async def _write(self) -> None:
        """Write one group. After a `JournalError`, the journal itself repeats the write."""
        await self._linger()
        group = self._ends[:LARGEST_GROUP]
        self._being_written = len(group)
        try:
            await self._journal.finish(group)
        except JournalError as error:
            self._warn(error)
        except Exception:  # a custom journal may raise anything
            self._being_written = 0
            logger.exception("The ends of jobs could not be written, and are tried again.")
            await asyncio.sleep(RETRY_AFTER)
            return
        self._being_written = 0
        del self._ends[: len(group)]
        await self._afterwards()

    async def _linger(self) -> None:
        """Wait for more ends, unless the writer is being closed."""
        try:
            async with asyncio.timeout(LINGER):
                await self._closing.wait()
        except TimeoutError:
            pass

    def _warn(self, error: JournalError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._warn_at:
            self._warn_at = now + WARN_EVERY
            logger.warning("%s Until then, jobs that end remain `running` in the journal.", error)


def _end_of(task: VideoTask, server: str) -> End | None:
    """Return the end of a job, or `None` if only polling has ended."""
    error = task.error
    if task.state.terminal:
        return End(server=server, id=task.id, generation=task.generation, key=task.key)
    if isinstance(error, NotFoundError):
        return End(server=server, id=task.id, reason=error.message, key=task.key)
    return None


class Learned:
    """Learned durations of jobs, exchanged between a schedule and the journal.

    Failures are only logged: without stored durations the schedule learns anew.
    """

    def __init__(self, journal: Journal, schedule: PollSchedule, *, server: str) -> None:
        self._journal = journal
        self._schedule = schedule if isinstance(schedule, AdaptiveSchedule) else None
        self._server = server
        self._stored: object = None
        self._store_at = 0.0

    async def recall(self) -> None:
        """Load the stored durations of the server into the schedule."""
        if self._schedule is None:
            return
        try:
            self._schedule.recall(await self._journal.learned(self._server))
        except JournalError as error:
            logger.warning("%s The durations of jobs are learned anew.", error)
        self._stored = self._schedule.learned()

    async def keep(self, *, now: bool = False) -> None:
        """Store the learned durations, at most every `STORE_EVERY` seconds unless `now` is set."""
        if self._schedule is None:
            return
        moment = asyncio.get_running_loop().time()
        learned = self._schedule.learned()
        if learned == self._stored or (moment < self._store_at and not now):
            return
        self._store_at = moment + STORE_EVERY
        self._stored = learned
        try:
            await self._journal.keep_learned(self._server, learned)
        except JournalError as error:
            logger.warning("%s The learned durations of jobs are not stored.", error)
