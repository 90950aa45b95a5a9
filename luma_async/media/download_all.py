"""download_all: many files, each as soon as its job has ended, yielded as they are here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable

from luma_async.errors import ClientClosedError
from luma_async.media.completion import to_completion
from luma_async.media.downloads import Download, Source
from luma_async.tasks.run_many import lazily

READ_AHEAD = 100
"""Sources that are under way or wait to be taken, before no more are read."""

Sources = Iterable[Source] | AsyncIterable[Source]
Deliver = Callable[[Source], Awaitable[Download]]


async def download_all(sources: Sources, deliver: Deliver) -> AsyncGenerator[Download, None]:
    """Deliver the file of each source, and yield what became of it.

    How many are fetched at once is the business of who delivers them. An error of the sources' own
    iterator is raised after what it gave before.
    """
    run = _Run(deliver)
    reading = asyncio.create_task(run.read(sources), name="luma-async download_all")
    try:
        while (download := await run.next_download()) is not None:
            yield download
    finally:
        reading.cancel()
        run.cancel()
        await to_completion(run.ended(reading))


class _Run:
    """The state of one `download_all`: what is under way, and what has ended."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended: deque[Download] = deque()
        self._all_read = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    async def read(self, sources: Sources) -> None:
        """Take in one source after another until there are no more."""
        items = lazily(sources)
        try:
            async for source in items:
                task = asyncio.create_task(self._bring(source), name="luma-async download")
                self._under_way.add(task)
                task.add_done_callback(self._is_done)
                while len(self._under_way) + len(self._ended) >= READ_AHEAD:
                    self._room.clear()
                    await self._room.wait()
                if self._is_closed:
                    break
        except BaseException as error:
            self._error = self._error or error  # whoever reads the downloads gets it
            raise
        finally:
            self._all_read = True
            self._news.set()
            await items.aclose()

    async def next_download(self) -> Download | None:
        """Return the next file that has ended, `None` after the last."""
        while not self._ended:
            if self._all_read and not self._under_way:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._ended.popleft()

    def cancel(self) -> None:
        """Let nothing go on that is under way."""
        for task in self._under_way:
            task.cancel()

    async def ended(self, reading: asyncio.Task[None]) -> None:
        """Wait until all of it has ended."""
        await asyncio.wait([reading, *self._under_way])
        if not reading.cancelled():
            reading.exception()  # `next_download` raises it

    async def _bring(self, source: Source) -> None:
        download = await self._deliver(source)
        self._is_closed = self._is_closed or isinstance(download.error, ClientClosedError)
        self._ended.append(download)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()
        self._room.set()
        self._news.set()
