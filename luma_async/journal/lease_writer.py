"""LeaseWriter: leases running jobs for a client, and releases them, in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from luma_async.concurrency import Worker
from luma_async.errors import JournalError
from luma_async.journal.journal import Entry
from luma_async.journal.shared_journal import SharedJournal

logger = logging.getLogger("luma_async")

PAGE = 250
"""Maximum number of jobs to lease or release in one transaction. More would delay submissions."""

PATIENCE = 1.0
"""Seconds after which a job is looked at although its lease is not written yet."""

RETRY_AFTER = 5.0
"""Seconds before leases are written again, after they could not be written."""


class LeaseWriter:
    """Background writer of leases and releases. A job has one or the other in the queue.

    A lease that cannot be written is tried again. Meanwhile the job is looked at: looks of two
    processes do no harm.

    Args:
        journal: the journal.
        server: the URL of the API of all jobs.
        on_lease: called with an entry, and with `True` if this process may watch its job.
        on_delay: called with the entries whose leases take long.

    """

    def __init__(
        self,
        journal: SharedJournal,
        *,
        server: str,
        on_lease: Callable[[Entry, bool], None],
        on_delay: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._journal = journal
        self._server = server
        self._on_lease = on_lease
        self._on_delay = on_delay
        self._asked: dict[str, Entry] = {}
        self._released: dict[str, None] = {}
        self._worker = Worker(
            "luma-async leases", self._step, lambda: bool(self._asked or self._released)
        )
        self._closing = asyncio.Event()
        self._leaves_all = False
        self._writing: asyncio.Task[None] | None = None
        self._is_late = False
        """`True` if jobs are looked at before their leases are written."""

    def lease(self, entry: Entry) -> None:
        """Ask for the lease of a running job."""
        assert entry.id is not None  # noqa: S101  a running job has an id
        self._released.pop(entry.id, None)
        self._asked[entry.id] = entry
        if self._is_late:
            self._on_delay([entry])
        self._worker.wake()

    def is_asked(self, id: str) -> bool:
        """Return `True` if the lease of a job is being asked for."""
        return id in self._asked

    def drop(self, id: str) -> None:
        """Ask for the lease of a job no longer, because the job has ended."""
        self._asked.pop(id, None)

    def release(self, ids: Iterable[str]) -> None:
        """Release jobs, so that another process may watch them. Jobs of others are ignored."""
        if not self._leaves_all:
            for id in ids:
                self._asked.pop(id, None)
                self._released[id] = None
            self._worker.wake()

    def leave_all(self) -> None:
        """Ask for no more leases, and release no jobs: closing the journal releases them all."""
        self._leaves_all = True
        self._asked.clear()
        self._released.clear()

    async def aclose(self) -> None:
        """Ask for no more leases, and write the releases."""
        self._asked.clear()
        self._closing.set()
        self._worker.wake()
        await self._worker.wait()

    async def stop(self) -> None:
        """Stop writing. What is left in the queue is not written."""
        self._asked.clear()
        self._released.clear()
        await self._worker.stop()
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    async def _step(self) -> None:
        """Write a page of leases and one of releases. They leave the queue when written."""
        writing = self._writing
        if writing is None:
            writing = asyncio.create_task(self._write(), name="luma-async lease page")
            writing.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._writing = writing
        await asyncio.wait([writing], timeout=PATIENCE)
        if not writing.done():
            await self._look_at_all()
            await asyncio.wait([writing])
        self._writing = None
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            if isinstance(error, JournalError):
                logger.debug("Leases could not be written, and are tried again: %s", error)
            else:  # a custom journal may raise anything
                logger.error("Leases could not be written, and are tried again.", exc_info=error)
            await self._look_at_all()
            await self._pause()
        elif not self._asked:
            self._is_late = False

    async def _look_at_all(self) -> None:
        """Let all jobs be looked at whose leases are asked for, now and for a while."""
        if self._is_late:
            return
        asked = list(self._asked.values())
        for start in range(0, len(asked), PAGE):
            page = asked[start : start + PAGE]
            self._on_delay([entry for entry in page if entry.id in self._asked])
            await asyncio.sleep(0)
        self._is_late = True

    async def _write(self) -> None:
        page = list(islice(self._asked.values(), PAGE))
        if page:
            # If this is cancelled after all is written, the next try finds that they are held.
            won = await self._journal.lease(page)
            for entry in page:
                id = entry.id or ""
                if self._asked.get(id) is entry:  # or it was released, or has ended, meanwhile
                    del self._asked[id]
                    self._on_lease(entry, entry.claim in won)
        ids = list(islice(self._released, PAGE))
        if ids:
            await self._journal.release(self._server, ids)
            for id in ids:
                self._released.pop(id, None)

    async def _pause(self) -> None:
        if self._closing.is_set():
            self._released.clear()  # the heartbeat of this process ends as well
            return
        try:
            async with asyncio.timeout(RETRY_AFTER):
                await self._closing.wait()
        except TimeoutError:
            pass
