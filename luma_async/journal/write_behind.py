"""Write-behind: ends of jobs, marks of jobs and learned durations.

They are written to the journal in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from luma_async.concurrency import Worker
from luma_async.errors import JournalError, NotFoundError, TaskForgottenError
from luma_async.generation import Generation, State
from luma_async.journal.deliveries import Deliveries
from luma_async.journal.journal import End, Entry, Journal, forgetting
from luma_async.journal.shared_journal import as_shared
from luma_async.schedules import AdaptiveSchedule, PollSchedule
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

LINGER = 0.05
"""Seconds that the first end waits for others, to be written together with them."""

LARGEST_GROUP = 250
"""Maximum number of ends or marks that are written at a time. More would delay the writes of
submissions."""

WARN_EVERY = 60.0
"""Seconds between two warnings that ends cannot be written."""

RETRY_AFTER = 1.0
"""Seconds before ends are written again after an unexpected error of the journal."""

STORE_EVERY = 60.0
"""Seconds between two writes of the learned durations, while jobs end."""


class Ends:
    """Background writer of the ends of jobs, so that awaiting a job does not wait for the journal.

    An end need not be durable at once: if a crash loses it, the next poll of the job reports it
    again. `afterwards` is awaited after each group of ends that was written. `freed` is called with
    the number of jobs that take no place any more.

    Handles that were forgotten are marked in the same way, and so are jobs that have ended and wait
    for their delivery.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        server: str,
        afterwards: Callable[[], Awaitable[None]],
        freed: Callable[[int], None] | None = None,
    ) -> None:
        self._journal = journal
        self._server = server
        self._afterwards = afterwards
        self._ends: list[End] = []
        self._being_written = 0  # at the front of `_ends`
        self._marks = _Marks(journal, server)
        self._freed = freed
        self._held = HeldEnds(journal, server)
        self.deliveries = Deliveries(self.add, self._withdraw)
        self._writer = Worker(
            "luma-async ends",
            self._write,
            lambda: bool(self._ends or self._marks.queued or self._held.queued),
        )
        self._closing = asyncio.Event()
        self._warn_at = 0.0

    def add(self, task: VideoTask) -> None:
        """Queue the end of a job whose handle is done, or the mark that the job is forgotten.

        If only polling has ended, for another reason, nothing is queued.
        """
        end = _end_of(task, self._server)
        if end is not None:
            if self.deliveries.hold(task):
                self._hold(task.id)
                return
            self._held.queued.pop(task.id, None)
            self._ends.append(end)
        elif isinstance(task.error, TaskForgottenError):
            self._marks.queued[task.id] = True
        self._writer.wake()

    def find_video(self, id: str | None) -> Generation | None:
        """Return the generation of a completed job whose end is not written yet, or `None`."""
        end = self._find(id)
        return end.generation if end is not None and _is_completed(end) else None

    def find_failure(self, id: str | None) -> End | None:
        """Return the end of a failed or lost job that is not written yet, or `None`.

        A failed job can be replaced before its failure is delivered. The end of a completed job
        must not be written before, so it is not found.
        """
        end = self._find(id)
        return None if end is None or _is_completed(end) else end

    def has_end_of(self, id: str) -> bool:
        """Return `True` if a job has ended, and its end is not written yet."""
        return self._find(id) is not None

    def _find(self, id: str | None) -> End | None:
        if id is not None and (task := self.deliveries.held(id)) is not None:
            return _end_of(task, self._server)
        return next((end for end in self._ends if end.id == id), None)

    def is_forgotten(self, entry: Entry) -> bool:
        """Return `True` if a job is forgotten, by its entry or by a mark in the queue."""
        return self._marks.queued.get(entry.id or "", entry.forgotten)

    def remember(self, id: str) -> None:
        """Queue the mark that a job is not forgotten any more."""
        self._marks.queued[id] = False
        self._writer.wake()

    async def write_marks(self) -> None:
        """Write the marks now, because the journal is to be read.

        Raises:
            JournalError: they are not written yet; the journal repeats the write.

        """
        if self._marks.queued:
            await self._marks.write()

    async def aclose(self) -> None:
        """Write the remaining ends and marks."""
        self._closing.set()
        self._writer.wake()
        await self._writer.wait()

    async def stop(self) -> None:
        """Stop writing, and log the ends and marks that were not written."""
        await self._writer.stop()
        # The journal itself logs those that it was given.
        for unwritten in (*self._ends[self._being_written :], *self._marks.never_given()):
            logger.error("The journal does not know this: %s.", unwritten)
        self._ends.clear()
        self._marks.queued.clear()
        self._held.queued.clear()

    def _withdraw(self, task: VideoTask) -> bool:
        """Take a job out of the queue, and return `True` if it was there and not being written."""
        for position in range(self._being_written, len(self._ends)):
            if self._ends[position].id == task.id:
                del self._ends[position]
                self._hold(task.id)
                return True
        return False

    def _hold(self, id: str) -> None:
        """Queue the mark that a job has ended, because its end is recorded later."""
        if self._held.is_supported:
            self._held.queued[id] = None
            self._writer.wake()

    async def _write(self) -> None:
        """Write one group. After a `JournalError`, the journal itself repeats the write."""
        await self._linger()
        try:
            if self._ends:
                await self._write_ends()
            self._tell_freed(await self._held.write())
            forgotten = sum(self._marks.queued.values())
            await self.write_marks()
            self._tell_freed(forgotten)
        except JournalError as error:
            self._warn(error)
        except Exception:  # a custom journal may raise anything
            self._being_written = 0
            logger.exception("The ends of jobs could not be written, and are tried again.")
            await asyncio.sleep(RETRY_AFTER)

    async def _write_ends(self) -> None:
        group = self._ends[:LARGEST_GROUP]
        self._being_written = len(group)
        try:
            await self._journal.finish(group)
        except JournalError as error:
            self._warn(error)
        self._being_written = 0
        del self._ends[: len(group)]
        self._tell_freed(len(group))
        await self._afterwards()

    def _tell_freed(self, places: int) -> None:
        if self._freed is not None:
            self._freed(places)

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


class HeldEnds:
    """Marks of jobs that have ended, and whose ends are recorded when they were delivered.

    Without its mark, such a job would take a place of a limit until then. Nothing else is lost if a
    mark is not written. `queued` has the ids of the jobs, in order.
    """

    def __init__(self, journal: Journal, server: str) -> None:
        self.queued: dict[str, None] = {}
        self._journal = as_shared(journal)
        self._server = server

    @property
    def is_supported(self) -> bool:
        """`True` if the journal has such marks."""
        return self._journal is not None

    async def write(self) -> int:
        """Write a group of marks, and return their number.

        Raises:
            JournalError: they are not written, and were dropped.

        """
        group = list(self.queued)[:LARGEST_GROUP]
        for id in group:
            del self.queued[id]
        if group and self._journal is not None:
            await self._journal.mark_ended(self._server, group)
        return len(group)


class _Marks:
    """Marks of jobs as forgotten or as not forgotten any more; the last mark of a job counts.

    `queued` has them by the ids of the jobs, `True` for a forgotten one.
    """

    def __init__(self, journal: Journal, server: str) -> None:
        self.queued: dict[str, bool] = {}
        self._journal = journal
        self._server = server
        self._given: set[str] = set()
        self._one_writer = asyncio.Lock()

    async def write(self) -> None:
        """Write all marks.

        Raises:
            JournalError: they are not written yet; the journal repeats the write.

        """
        async with self._one_writer:  # of many readers, the first writes for all of them
            for forgotten in (True, False):
                ids = [id for id, mark in self.queued.items() if mark is forgotten]
                for start in range(0, len(ids), LARGEST_GROUP):
                    group = ids[start : start + LARGEST_GROUP]
                    await self._write_group(group, forgotten=forgotten)

    async def _write_group(self, ids: list[str], *, forgotten: bool) -> None:
        self._given.update(ids)
        try:
            await self._journal.mark_forgotten(self._server, ids, forgotten=forgotten)
        except JournalError:
            self._written(ids, forgotten=forgotten)
            raise
        except Exception:
            self._given.difference_update(ids)
            raise
        self._written(ids, forgotten=forgotten)

    def _written(self, ids: list[str], *, forgotten: bool) -> None:
        self._given.difference_update(ids)
        for id in ids:
            if self.queued.get(id) is forgotten:  # it may have another mark by now
                del self.queued[id]

    def never_given(self) -> list[str]:
        """Return descriptions of the marks that the journal was never given."""
        return [
            forgetting(id, forgotten=forgotten)
            for id, forgotten in self.queued.items()
            if id not in self._given
        ]


def _end_of(task: VideoTask, server: str) -> End | None:
    """Return the end of a job, or `None` if only polling has ended."""
    error = task.error
    if task.state.terminal:
        return End(server=server, id=task.id, generation=task.generation, key=task.key)
    if isinstance(error, NotFoundError):
        return End(server=server, id=task.id, reason=error.message, key=task.key)
    return None


def _is_completed(end: End) -> bool:
    return end.generation is not None and end.generation.state is State.COMPLETED


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
