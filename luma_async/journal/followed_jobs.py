"""FollowedJobs: jobs that another process watches, and whose ends the journal tells."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection

from luma_async.concurrency import Worker
from luma_async.errors import JournalError, NotFoundError, TaskForgottenError
from luma_async.journal.journal import Entry, EntryState, lost_error
from luma_async.journal.shared_journal import Change, SharedJournal, digest_of
from luma_async.tasks import TaskManager, VideoTask
from luma_async.tasks.job_log import counted

logger = logging.getLogger("luma_async")

LOOK_EVERY = 5.0
"""Seconds between two looks at the entries of all followed jobs. Signals are faster than that."""

LOOKING_SHARE = 0.02
"""Maximum fraction of the time that such looks take: those at very many entries are fewer."""

LONGEST_PAUSE = 60.0
"""Maximum seconds between two such looks, however long they take."""

SHORTEST_REST = 0.1
"""Minimum seconds between two such looks because other processes have released jobs."""

LINGER = 0.02
"""Seconds that the first news wait for others, to be read together with them."""

POLL_AFTER = 60.0
"""Seconds after which followed jobs are polled because the journal cannot be read."""

PAGE = 500
"""Maximum number of entries to read in one transaction."""


class FollowedJobs:
    """Followed jobs, each until its end, or until this client may watch it itself.

    Args:
        journal: the journal.
        manager: the task manager, which follows the jobs as well.
        server: the URL of the API of all jobs.
        on_free: called with the entry of a job that no process watches any more.
        record: records the end of a job.

    """

    def __init__(
        self,
        journal: SharedJournal,
        manager: TaskManager,
        *,
        server: str,
        on_free: Callable[[Entry], None],
        record: Callable[[VideoTask], None],
    ) -> None:
        self._journal = journal
        self._manager = manager
        self._server = server
        self._on_free = on_free
        self._record = record
        self._tasks: dict[str, VideoTask] = {}
        self._ids: dict[str, str] = {}
        """Ids by digest."""
        self._seen_ends: dict[str, VideoTask] = {}
        """Jobs whose ends this client has seen, and their watchers have not recorded yet."""
        self._told: set[str] = set()
        """Jobs that have probably ended."""
        self._new: set[str] = set()
        """Jobs that may have ended before this process listened."""
        self._ending = ""
        self._news = asyncio.Event()
        self._look_at = math.inf
        self._rests_until = -math.inf
        self._unread_since: float | None = None
        self._is_outage = False
        self._polled: set[str] = set()
        """Jobs that are polled because of the outage."""
        self._worker = Worker("luma-async followed jobs", self._step, self.__bool__, grace=0.0)

    def __bool__(self) -> bool:
        return bool(self._tasks or self._seen_ends)

    def __contains__(self, id: str) -> bool:
        return id in self._tasks

    def add(self, task: VideoTask) -> None:
        """Follow a job. The task manager must follow it already."""
        if not self:
            self._look_at = asyncio.get_running_loop().time() + LOOK_EVERY
        self._tasks[task.id] = task
        self._ids[digest_of(task.id)] = task.id
        self._new.add(task.id)
        self._news.set()
        self._worker.wake()
        if self._is_outage:
            self._poll_in_outage(task.id)

    def discard(self, id: str) -> bool:
        """Follow a job no longer, and return `True` if it was followed."""
        self._seen_ends.pop(id, None)
        self._polled.discard(id)
        if self._tasks.pop(id, None) is None:
            return False
        self._ids.pop(digest_of(id), None)
        return True

    def ended(self, task: VideoTask) -> bool:
        """Return `True` if the end of a job is not to be recorded, because the job is followed."""
        if self._tasks.get(task.id) is not task or isinstance(task.error, TaskForgottenError):
            self.discard(task.id)
            return False
        self.discard(task.id)
        has_ended = task.state.terminal or isinstance(task.error, NotFoundError)
        if has_ended and task.id != self._ending:
            # The watcher may have to deliver it. If that process dies, this one records the end.
            self._seen_ends[task.id] = task
            self._worker.wake()
        return True

    def heard(self, change: Change) -> None:
        """Process a change of another process."""
        ended = [self._ids[digest] for digest in change.ended if digest in self._ids]
        if ended:
            self._told.update(ended)
            self._news.set()
        if change.is_released:
            self.look_soon()

    def look_soon(self) -> None:
        """Look at the entries of all followed jobs, because some may have changed."""
        if self:
            now = asyncio.get_running_loop().time()
            self._look_at = min(self._look_at, max(now, self._rests_until))
            self._news.set()

    async def stop(self) -> None:
        """Read the journal no more."""
        await self._worker.stop()

    async def _step(self) -> None:
        """Wait for news, or for the next look at all jobs, and read the entries."""
        await self._wait()
        clock = asyncio.get_running_loop().time
        began = clock()
        is_look_at_all = began >= self._look_at
        told, self._told = self._told, set()
        new, self._new = self._new, set()
        try:
            await self._read(told)
            await self._check({*self._tasks, *self._seen_ends} if is_look_at_all else new - told)
        except JournalError as error:
            self._could_not_read(error, began)
        except Exception:  # a custom journal may raise anything
            logger.exception("Followed jobs could not be read, and are read again.")
            self._could_not_read(None, began)
        else:
            self._unread_since = None
            if is_look_at_all:
                self._is_outage = False
        if is_look_at_all:
            ended = clock()
            pause = min((ended - began) / LOOKING_SHARE, LONGEST_PAUSE)
            self._look_at = ended + max(LOOK_EVERY, pause)
            self._rests_until = ended + max(SHORTEST_REST, pause / 5)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout_at(self._look_at):
                await self._news.wait()
                await asyncio.sleep(LINGER)
        except TimeoutError:
            pass
        self._news.clear()

    def _could_not_read(self, error: JournalError | None, now: float) -> None:
        """Poll the jobs after a while. The next look at all of them reads what was missed."""
        if self._unread_since is None:
            self._unread_since = now
        if now - self._unread_since >= POLL_AFTER and not self._is_outage:
            self._is_outage = True
            logger.warning(
                "The journal has not told for %g s how jobs of other processes are. They are "
                "polled meanwhile: %s. %s",
                *(POLL_AFTER, counted(len(self._tasks)), error or ""),
            )
            for id in self._tasks:
                self._poll_in_outage(id)

    def _poll_in_outage(self, id: str) -> None:
        if not self._manager.is_polled(id):
            self._polled.add(id)
            self._manager.poll(id)

    async def _check(self, ids: Collection[str]) -> None:
        """Read the entries of those jobs that other processes do not watch until their ends."""
        ordered = sorted(ids)
        for start in range(0, len(ordered), PAGE):
            page = ordered[start : start + PAGE]
            watched = await self._journal.watched_elsewhere(self._server, page)
            for id in self._polled & watched:
                self._polled.discard(id)
                self._manager.unpoll(id)
            await self._read([id for id in page if id not in watched])

    async def _read(self, ids: Collection[str]) -> None:
        """Read the entries of jobs that are probably not watched, or have ended."""
        if not ids:
            return
        entries = {
            entry.id: entry for entry in await self._journal.find_jobs(self._server, list(ids))
        }
        for id in ids:
            entry = entries.get(id)
            if (task := self._tasks.get(id)) is not None:
                self._process(task, entry)
            elif (task := self._seen_ends.get(id)) is not None:
                self._settle(task, entry)

    def _process(self, task: VideoTask, entry: Entry | None) -> None:
        """Report the end of a job, or let this client watch it if no other process does."""
        if entry is None:  # it was purged, or its job key has another job
            self.discard(task.id)
            self._manager.poll(task.id)
        elif entry.state is EntryState.RUNNING:
            if entry.forgotten or not entry.is_watched_elsewhere:
                self._on_free(entry)
            elif entry.has_ended:  # and its watcher is delivering the result
                self._manager.poll(task.id)
        elif entry.generation is None and entry.state is not EntryState.LOST:
            self.discard(task.id)
            self._manager.poll(task.id)
        else:
            self._end(task, entry)

    def _end(self, task: VideoTask, entry: Entry) -> None:
        self._ending = task.id
        try:
            if entry.generation is not None:
                task.observe(entry.generation)
            else:
                task.abandon(lost_error(entry))
        finally:
            self._ending = ""

    def _settle(self, task: VideoTask, entry: Entry | None) -> None:
        """Record an end that this client has seen, if no process is left that will do it."""
        is_running = entry is not None and entry.state is EntryState.RUNNING
        if entry is not None and is_running and entry.is_watched_elsewhere:
            return
        del self._seen_ends[task.id]
        if is_running:
            self._record(task)
