"""ServedJobs: the iterator over the jobs of other processes that this one takes over."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from luma_async.errors import JournalError
from luma_async.journal.journal import Entry
from luma_async.journal.shared_journal import SharedJournal
from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")

LOOK_EVERY = 5.0
"""Seconds between two looks for jobs that no process watches."""

MOST_LEASED = 250
"""Maximum number of jobs to lease at a time."""

SOON = 1.0
"""Seconds until which a reader must take the jobs that were leased, or it gets fewer at a time."""

RETURN_AFTER = 5.0
"""Seconds after which leased jobs that a reader has not taken are released."""


class Takeover(Protocol):
    """The client that takes jobs over, as their iterator sees it."""

    journal: SharedJournal
    server: str

    async def open(self) -> None:
        """Open the journal."""

    def may_take(self, entry: Entry) -> bool:
        """Return `True` if this client has not given a job up before."""

    def begin(self, entry: Entry) -> bool:
        """Return `True` if no other iterator of this client has taken a job, or is about to."""

    def lost(self, entry: Entry) -> None:
        """Record that another process has got the lease of a job."""

    def take(self, entry: Entry) -> VideoTask:
        """Watch a job whose lease this process has, and return its handle."""

    def take_offer(self, only: Callable[[Entry], bool] | None) -> VideoTask | None:
        """Return a job that this client has taken over with a handle on it; `None` without one."""

    def give_back(self, entry: Entry) -> None:
        """Release a job whose lease this process may have."""

    def left(self, served: ServedJobs) -> None:
        """Forget an iterator that has ended."""


class ServedJobs(AsyncIterator[VideoTask]):
    """Iterator over the jobs that this process takes over from processes that have ended.

    >>> async with luma.serve() as jobs:                  # doctest: +SKIP
    ...     async for task in jobs:
    ...         tasks.add(asyncio.create_task(answer(task)))

    It goes on until the client is closed, or until the iterator is closed, with `aclose()` or
    `async with`. Waiting for the next job may time out or be cancelled without any loss. Several
    tasks may read from it: each job goes to one of them. An outage of the journal does not end it.
    `LumaClient.serve()` creates it.
    """

    def __init__(self, takeover: Takeover, only: Callable[[Entry], bool] | None) -> None:
        self._takeover = takeover
        self._only = only
        self._found: deque[Entry] = deque()
        self._asked: list[Entry] = []
        self._leased: deque[Entry] = deque()
        self._most = 1
        self._leased_at = self._found_at = -math.inf
        self._reading = asyncio.Lock()
        self._news = asyncio.Event()
        self._returning: asyncio.TimerHandle | None = None
        self._is_closed = self._is_failing = False

    def __repr__(self) -> str:
        return f"<ServedJobs{' (closed)' if self._is_closed else ''}>"

    async def __anext__(self) -> VideoTask:
        if not self._is_closed:
            await self._takeover.open()
        async with self._reading:
            while not self._is_closed:
                if (task := self._takeover.take_offer(self._only)) is not None:
                    return task
                if self._leased:
                    return self._takeover.take(self._leased.popleft())
                await self._lease_or_wait()
        raise StopAsyncIteration

    def look_at_offers(self) -> None:
        """Look if one of the jobs on offer is for this iterator."""
        self._news.set()

    def look_soon(self) -> None:
        """Look for jobs at once, because other processes may have released some."""
        self._found_at = -math.inf
        self._news.set()

    def close(self) -> None:
        """End the iterator, also for a reader that is waiting for the next job."""
        self._is_closed = True
        self._return_rest()
        self._news.set()
        self._takeover.left(self)

    async def aclose(self) -> None:
        """Take over no more jobs. Those that were taken over are still watched."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _lease_or_wait(self) -> None:
        try:
            if self._asked or self._found:
                await self._lease()
            elif self._clock() - self._found_at >= LOOK_EVERY:
                await self._find()
            else:
                await self._wait()
        except JournalError as error:
            if not self._is_failing:
                self._is_failing = True
                logger.warning("%s Jobs of other processes are not taken over until then.", error)
            self._found.clear()
            self._found_at = self._clock()
            await self._wait()

    async def _find(self) -> None:
        self._news.clear()
        now = self._clock()
        entries = await self._takeover.journal.unwatched(self._takeover.server)
        self._is_failing = False
        if not self._news.is_set():  # or jobs may have been released since they were read
            self._found_at = now
        self._found.extend(
            entry
            for entry in entries
            if self._takeover.may_take(entry) and (self._only is None or self._only(entry))
        )

    async def _lease(self) -> None:
        """Lease as many jobs as the reader takes soon. A cancelled try is continued by the next."""
        now = self._clock()
        if not self._asked:
            self._most = min(2 * self._most, MOST_LEASED) if now - self._leased_at < SOON else 1
            while self._found and len(self._asked) < self._most:
                entry = self._found.popleft()
                if self._takeover.begin(entry):
                    self._asked.append(entry)
            if not self._asked:
                return
        # Also if this iterator is dropped in the middle.
        self._return_later()
        asked = self._asked
        won = await self._takeover.journal.lease(asked)
        if self._asked is not asked:  # it took so long that they were released
            self._give_back(asked)
            return
        self._leased_at = self._clock()
        self._leased.extend(entry for entry in asked if entry.claim in won)
        for entry in asked:
            if entry.claim not in won:
                self._takeover.lost(entry)
        self._asked = []
        self._return_later()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout_at(self._found_at + LOOK_EVERY):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _return_later(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
        loop = asyncio.get_running_loop()
        self._returning = loop.call_later(RETURN_AFTER, self._return_rest)

    def _return_rest(self) -> None:
        """Release the jobs that the reader has not taken."""
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        self._give_back((*self._asked, *self._leased))
        self._asked = []
        self._leased.clear()
        self._found.clear()

    def _give_back(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._takeover.give_back(entry)

    def _clock(self) -> float:
        return asyncio.get_running_loop().time()
