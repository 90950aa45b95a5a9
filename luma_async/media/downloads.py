"""Delivery: from a job to its file."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from luma_async.concurrency import to_completion
from luma_async.errors import ClientClosedError, DownloadError, InvalidRequestError, LumaError
from luma_async.generation import Generation
from luma_async.media.downloader import Downloader
from luma_async.media.fetch import Progress, exists_already
from luma_async.media.filenames import Destination
from luma_async.media.links import FAMILIES, Links, What
from luma_async.tasks import VideoTask
from luma_async.tasks.arguments import check_source
from luma_async.tasks.run_many import Outcome, lazily

Job = VideoTask | Generation | str
Source = Job | Outcome


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a job."""

    what: What
    watermark_free: bool
    overwrite: bool

    def __post_init__(self) -> None:
        if self.what not in FAMILIES:
            raise InvalidRequestError.of(
                "what", f"{self.what!r} is not known; allowed: {', '.join(FAMILIES)}"
            )


@dataclass(frozen=True, slots=True)
class Download:
    """The result of one download: a path or an error, exactly one of the two.

    `source` is what was given, `id` the job's if there is one. `watermark_free` is told of videos
    that were downloaded now.
    """

    source: Source
    id: str | None
    path: Path | None = None
    error: LumaError | None = None
    watermark_free: bool | None = None

    @property
    def ok(self) -> bool:
        """Whether the file is here."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class _Brought:
    path: Path
    watermark_free: bool | None
    was_here: bool = False


class Delivery:
    """Waits for a job, finds its links, and has them fetched."""

    def __init__(
        self,
        downloader: Downloader,
        *,
        finished: Callable[[Job], Awaitable[Generation]],
        get: Callable[[str], Awaitable[Generation]],
        watermark_free_url: Callable[[str], Awaitable[str]],
    ) -> None:
        self._downloader = downloader
        self._finished = finished
        self._get = get
        self._watermark_free_url = watermark_free_url

    async def to(
        self,
        path: str | os.PathLike[str],
        source: Source,
        order: Order,
        progress: Progress | None,
    ) -> Path:
        """Bring a file to a place where there is none yet, and return its path.

        Raises:
            LumaError: it does not exist, did not arrive, or there is one already.

        """
        brought = await self._bring(path, source, order, progress)
        if brought.was_here:
            raise exists_already(brought.path, _id(source))
        return brought.path

    async def into(self, folder: str | os.PathLike[str], source: Source, order: Order) -> Download:
        """Bring a file into a folder unless it is there, and return what became of it."""
        id: str | None = None
        try:
            check_source(source, outcomes=True)
            id = _id(source)
            brought = await self._bring(f"{os.fspath(folder)}{os.sep}", source, order, None)
        except LumaError as error:
            return Download(source, id, error=error)
        return Download(source, id, brought.path, watermark_free=brought.watermark_free)

    async def _bring(
        self,
        path: str | os.PathLike[str],
        source: Source,
        order: Order,
        progress: Progress | None,
    ) -> _Brought:
        job = _job(source)
        with self._downloader.ended_by_closing():
            place = await self._downloader.destination(path, _id(job) or "", order.what)
            if (here := await self._here(place, order)) is not None:
                return here
            generation = await self._finished(job)
            async with self._downloader.alone(place):
                if (here := await self._here(place, order)) is not None:
                    return here
                links = Links(
                    generation,
                    order.what,
                    watermark_free=order.watermark_free,
                    get=self._get,
                    watermark_free_url=self._watermark_free_url,
                )
                fetched = await self._downloader.fetch(
                    links, place, overwrite=order.overwrite, progress=progress
                )
        return _Brought(fetched.path, fetched.watermark_free)

    async def _here(self, place: Destination, order: Order) -> _Brought | None:
        path = None if order.overwrite else await self._downloader.existing(place)
        return _Brought(path, watermark_free=None, was_here=True) if path else None


def _id(source: Source) -> str | None:
    return source if isinstance(source, str) else source.id


def _job(source: Source) -> Job:
    """Return what can be waited for.

    Raises:
        LumaError: of an outcome that is one.

    """
    if not isinstance(source, Outcome):
        return source
    if source.error is not None:
        raise source.error
    if source.generation is None:
        raise DownloadError("There is no job to download from.")
    return source.generation


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
