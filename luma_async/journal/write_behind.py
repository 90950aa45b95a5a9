"""Job ends: the outcomes of finished jobs, written to the journal in the background."""

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
"""Maximum number of ends that are written at a time."""

QUIET = 60.0
"""Seconds between two warnings that ends cannot be written."""

PAUSE = 1.0
"""Seconds before ends are written again after an unexpected error of the journal."""


class Ends:
    """Background writer of job ends, so that awaiting a job does not wait for the journal.

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
        self._handed_over = 0
        self._writer = Worker("luma-async ends", self._write, lambda: bool(self._ends))
        self._closing = asyncio.Event()
        self._quiet_until = 0.0

    def add(self, task: VideoTask) -> None:
        """Record that a handle is done. Its end is queued only if the job has ended as well."""
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
        for end in self._ends[self._handed_over :]:
            logger.error("The journal does not know this: %s.", end)
        self._ends.clear()

    async def _write(self) -> None:
        """Write one group. After a `JournalError` the journal itself continues to try."""
        await self._wait(LINGER)
        group = self._ends[:LARGEST_GROUP]
        self._handed_over = len(group)
        try:
            await self._journal.finish(group)
        except JournalError as error:
            self._complain(error)
        except Exception:  # a custom journal may raise anything
            self._handed_over = 0
            logger.exception("The ends of jobs could not be written, and are tried again.")
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
            logger.warning("%s Until then, jobs that end remain `running` in the journal.", error)


def _end_of(task: VideoTask, server: str) -> End | None:
    """Return the end of a job, or `None` if only polling has ended."""
    error = task.error
    if task.state.terminal:
        return End(server=server, id=task.id, generation=task.generation, key=task.key)
    if isinstance(error, NotFoundError):
        return End(server=server, id=task.id, reason=error.message, key=task.key)
    return None


KEEP_EVERY = 60.0
"""Seconds between two writes of the learned durations, while jobs end."""


class Learned:
    """Exchange of learned durations between a schedule and the journal.

    Failures are only logged: without stored durations the schedule learns anew.
    """

    def __init__(self, journal: Journal, schedule: PollSchedule, *, server: str) -> None:
        self._journal = journal
        self._schedule = schedule if isinstance(schedule, AdaptiveSchedule) else None
        self._server = server
        self._kept: object = None
        self._keep_at = 0.0

    async def recall(self) -> None:
        """Load the stored durations of a server into the schedule."""
        if self._schedule is None:
            return
        try:
            self._schedule.recall(await self._journal.learned(self._server))
        except JournalError as error:
            logger.warning("%s The durations of jobs are learned anew.", error)
        self._kept = self._schedule.learned()

    async def keep(self, *, now: bool = False) -> None:
        """Store the durations that the schedule has learned, if it is time or `now` is set."""
        if self._schedule is None:
            return
        moment = asyncio.get_running_loop().time()
        learned = self._schedule.learned()
        if learned == self._kept or (moment < self._keep_at and not now):
            return
        self._keep_at = moment + KEEP_EVERY
        self._kept = learned
        try:
            await self._journal.keep_learned(self._server, learned)
        except JournalError as error:
            logger.warning("%s The learned durations of jobs are not stored.", error)
