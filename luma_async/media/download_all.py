"""download_all: many files, so many at a time, yielded as they are here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable

from luma_async.media.delivery import Download, Source
from luma_async.tasks import VideoTask
from luma_async.tasks.run import lazily

Sources = Iterable[Source] | AsyncIterable[Source]
Fetch = Callable[[Source], Awaitable[Download]]


async def download_all(
    sources: Sources, fetch: Fetch, *, at_once: int
) -> AsyncGenerator[Download, None]:
    """Fetch each file as soon as its job has ended, and yield what became of it.

    Sources are read lazily. Jobs that run keep no place; of those that have ended as many are read
    ahead, and as many files wait to be taken, as are fetched at once.
    """
    run = _Run(fetch, at_once)
    tasks = [
        asyncio.create_task(work, name="luma-async download_all")
        for work in (run.read(sources), *(run.work() for _ in range(at_once)))
    ]
    try:
        while (download := await run.next_download()) is not None:
            yield download
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Run:
    """The state of one `download_all`: what has been read, what is ready, what has ended."""

    def __init__(self, fetch: Fetch, at_once: int) -> None:
        self._fetch = fetch
        self._at_once = at_once
        self._ready: deque[Source] = deque()
        self._ended: deque[Download] = deque()
        self._unfinished = 0
        self._all_read = False
        self._error: BaseException | None = None
        self._moved = asyncio.Event()

    async def read(self, sources: Sources) -> None:
        """Take in the sources."""
        items = lazily(sources)
        try:
            async for source in items:
                self._unfinished += 1
                if isinstance(source, VideoTask) and not source.done:
                    source.add_done_callback(self._is_ready)
                    continue
                self._is_ready(source)
                while len(self._ready) >= self._at_once:
                    await self._move()
        except Exception as error:  # noqa: BLE001  the reader of downloads gets it
            self._error = error
        finally:
            self._all_read = True
            self._tell()
            await items.aclose()

    async def work(self) -> None:
        """Fetch one file after another."""
        while True:
            while not self._ready or len(self._ended) >= self._at_once:
                await self._move()
            source = self._ready.popleft()
            self._tell()
            try:
                self._ended.append(await self._fetch(source))
            except Exception as error:  # noqa: BLE001  the reader of downloads gets it
                self._error = self._error or error
            self._unfinished -= 1
            self._tell()

    async def next_download(self) -> Download | None:
        """Return the next file that has ended, `None` after the last."""
        while not self._ended:
            if self._all_read and not self._unfinished:
                if self._error is not None:
                    raise self._error
                return None
            await self._move()
        self._tell()
        return self._ended.popleft()

    def _is_ready(self, source: Source) -> None:
        self._ready.append(source)
        self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _move(self) -> None:
        """Wait until something is somewhere else."""
        await self._moved.wait()
