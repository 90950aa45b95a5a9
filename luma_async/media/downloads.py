"""Downloads: wait for a job, find the links to its file, and save the file."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from luma_async.concurrency import HomeLoop, to_completion
from luma_async.dialects import Dialect
from luma_async.errors import (
    ClientClosedError,
    DownloadError,
    InvalidRequestError,
    LumaError,
    UnsupportedError,
)
from luma_async.generation import Generation
from luma_async.media.downloader import Downloader
from luma_async.media.fetch import already_exists_error
from luma_async.media.filenames import Destination
from luma_async.media.job_files import (
    JobFile,
    What,
    check_what,
    early_file,
    file_of,
    files_of,
    has_early_name,
)
from luma_async.media.links import Links
from luma_async.media.progress_reports import ProgressCallback
from luma_async.tasks import Looks, TaskManager, VideoTask
from luma_async.tasks.arguments import check_source
from luma_async.tasks.run_many import MYPY, Outcome, lazily
from luma_async.transport import Transport

JobLike = VideoTask | Generation | str
"""A job: its handle, one of its generations, or its id."""

Source = JobLike | Outcome
Sources = Iterable[Source] | AsyncIterable[Source]

READ_AHEAD = 100
"""Maximum number of sources that `download_all` reads ahead of its consumer."""


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """Options of a download: the kind of file, and how to treat watermarks and existing files.

    `max_bytes` is the maximum size of the file, if it is less than that of the client.
    """

    what: What
    watermark_free: bool
    overwrite: bool
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        check_what(self.what)
        if self.max_bytes is not None and not self.max_bytes > 0:
            raise InvalidRequestError.of("max_bytes", f"must be more than 0, got {self.max_bytes}")


@dataclass(frozen=True, slots=True)
class _EndedDownload:
    source: Source
    id: str | None


@final
@dataclass(frozen=True, slots=True)
class CompletedDownload(_EndedDownload):
    """Download of a file that was saved, or already existed: `path`."""

    path: Path
    watermark_free: bool | None = None
    if MYPY:
        error: None = field(default=None, init=False, repr=False)
    else:
        error: Any = field(default=None, init=False, repr=False)

    @property
    def ok(self) -> Literal[True]:
        """`True`: there is a file."""
        return True


@final
@dataclass(frozen=True, slots=True)
class FailedDownload(_EndedDownload):
    """Download without a file. `error` says why."""

    error: LumaError
    if MYPY:
        path: None = field(default=None, init=False, repr=False)
    else:
        path: Any = field(default=None, init=False, repr=False)

    @property
    def ok(self) -> Literal[False]:
        """`False`: there is an error."""
        return False

    @property
    def watermark_free(self) -> None:
        """`None`: there is no file."""
        return


Download = CompletedDownload | FailedDownload
"""The result of one download: with a `path`, or with an `error`, and `None` for the other.

`ok` is `True` if there is a file, and type checkers know it. `source` is the item that was passed
to `download_all()`, and `id` is the id of its job, if there is one. `watermark_free` is `None` for
images, raw videos, and files that already existed.
"""


@dataclass(frozen=True, slots=True)
class _SavedFile:
    path: Path
    watermark_free: bool | None
    already_existed: bool = False


class Downloads:
    """Download the files of jobs, including jobs that are still running."""

    def __init__(
        self,
        downloader: Downloader,
        *,
        manager: TaskManager,
        looks: Looks,
        transport: Transport,
        dialect: Dialect,
    ) -> None:
        self._downloader = downloader
        self._manager = manager
        self._looks = looks
        self._transport = transport
        self._dialect = dialect

    @property
    def max_downloads(self) -> int:
        """Maximum number of downloads at a time."""
        return self._downloader.max_downloads

    async def to_path(
        self,
        path: str | os.PathLike[str],
        source: Source,
        options: DownloadOptions,
        *,
        progress: ProgressCallback | None = None,
        keep_existing: bool = False,
    ) -> Path:
        """Save a file under a path, or in a folder, and return its path.

        With `keep_existing`, a file that already exists is the file of this job.

        Raises:
            DownloadError: the file does not exist or did not arrive whole, or another has its name.
            LumaError: the job failed, or could not be awaited.

        """
        saved = await self._save(path, source, options, progress)
        if saved.already_existed and not keep_existing:
            raise already_exists_error(saved.path, _id(source))
        return saved.path

    async def check_is_free(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool,
        unless: Callable[[], Awaitable[bool]],
    ) -> None:
        """Check that a path can have a file, before a job is submitted whose file will be there.

        A file that exists is allowed with `overwrite`, or if `unless()` returns `True`: the job
        exists, and the file is its own. In a folder, the name of the file depends on the id of the
        job, so there is none.

        Raises:
            DownloadError: there is a file, the path is not a valid file name, or nothing can be
                written there.

        """
        destination = await self._downloader.destination(path, early_file("", "output"))
        if overwrite:
            await self._downloader.check_is_replaceable(destination)
        elif destination.is_complete:
            existing = await self._downloader.existing(destination)
            if existing is not None:
                if await unless():
                    return
                raise DownloadError(
                    f"{existing} already exists, so nothing was submitted; "
                    "overwrite=True replaces it."
                )
        try:
            obstacle = await self._downloader.obstacle(destination)
        except OSError as error:
            obstacle = f"{os.fspath(path)} cannot be used: {error.strerror}"
        if obstacle is not None and not await unless():
            raise DownloadError(f"{obstacle}, so nothing was submitted. Choose another path.")

    async def to_folder(
        self, folder: str | os.PathLike[str], source: Source, options: DownloadOptions
    ) -> Download:
        """Save a file in a folder unless it already exists, and return the result.

        Errors are part of the result.
        """
        id: str | None = None
        try:
            check_source(source, outcomes=True)
            id = _id(source)
            saved = await self._save(_in_folder(folder), source, options, None)
        except LumaError as error:
            return FailedDownload(source, id, error)
        return CompletedDownload(source, id, saved.path, saved.watermark_free)

    async def outputs_to_folder(
        self,
        folder: str | os.PathLike[str],
        source: Source,
        options: DownloadOptions,
        *,
        name: str | None = None,
    ) -> tuple[Path, ...]:
        """Save all outputs of a job in a folder, and return the paths in the order of the outputs.

        The files are named after the job, or have the given name. If a file cannot be downloaded,
        the others are downloaded all the same.

        Raises:
            DownloadError: a file did not arrive whole, or the folder is an empty text.
            LumaError: the job failed, or could not be awaited.

        """
        check_folder(folder)
        place = _in_folder(folder)
        with self._downloader.cancelled_on_close():
            generation = await self._manager.finished(_job(source))
            saved = await asyncio.gather(
                *(
                    self._save_file(place, generation, file, options, key=_key(source))
                    for file in files_of(generation, name)
                ),
                return_exceptions=True,
            )
        try:
            for each in saved:
                if isinstance(each, BaseException):
                    raise each
            return tuple(each.path for each in saved if not isinstance(each, BaseException))
        finally:
            del saved, each  # the traceback of an error would refer to it: a reference cycle

    async def _save(
        self,
        path: str | os.PathLike[str],
        source: Source,
        options: DownloadOptions,
        progress: ProgressCallback | None,
    ) -> _SavedFile:
        job = _job(source)
        with self._downloader.cancelled_on_close():
            file = early_file(_id(job) or "", options.what)
            destination = await self._downloader.destination(path, file)
            is_certain = destination.is_complete or has_early_name(options.what)
            if is_certain and (existing := await self._existing(destination, options)) is not None:
                return existing
            generation = await self._manager.finished(job)
            file = file_of(generation, options.what)
            return await self._save_file(
                path, generation, file, options, progress, key=_key(source)
            )

    async def _save_file(
        self,
        path: str | os.PathLike[str],
        generation: Generation,
        file: JobFile,
        options: DownloadOptions,
        progress: ProgressCallback | None = None,
        *,
        key: str | None = None,
    ) -> _SavedFile:
        """Save a file of a completed job, unless it already exists."""
        destination = await self._downloader.destination(path, file)
        async with self._downloader.lock_for(destination):
            # Another download of this client may have saved the file in the meantime.
            if (existing := await self._existing(destination, options)) is not None:
                return existing
            links = Links(
                generation,
                file,
                watermark_free=options.watermark_free,
                get=self._looks.one,
                watermark_free_url=self._watermark_call(generation.id),
                key=key,
            )
            fetched = await self._downloader.fetch(
                links,
                destination,
                overwrite=options.overwrite,
                progress=progress,
                max_bytes=options.max_bytes,
            )
        return _SavedFile(fetched.path, fetched.watermark_free)

    def _watermark_call(self, id: str) -> Callable[[str], Awaitable[str]] | None:
        """Return the function that requests a link without a watermark, if the server has one."""
        try:
            self._dialect.watermark_free_url(id)
        except UnsupportedError:
            return None
        except InvalidRequestError:  # the links that are known may do for an id that no path holds
            pass
        return self._watermark_free_url

    async def _watermark_free_url(self, id: str) -> str:
        return await self._transport.call(self._dialect.watermark_free_url(id))

    async def _existing(
        self, destination: Destination, options: DownloadOptions
    ) -> _SavedFile | None:
        if options.overwrite:
            await self._downloader.check_is_replaceable(destination)
            return None
        path = await self._downloader.existing(destination)
        return _SavedFile(path, watermark_free=None, already_existed=True) if path else None


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Check that the name of a folder is not empty. With a slash, it would be the root.

    Raises:
        DownloadError: it is empty.

    """
    if not os.fspath(folder):
        raise DownloadError("The folder of a download must not be empty.")


def _in_folder(folder: str | os.PathLike[str]) -> str:
    """Return a folder as `Downloader.destination` takes it: with a slash."""
    return f"{os.fspath(folder)}{os.sep}"


def _id(source: Source) -> str | None:
    return source if isinstance(source, str) else source.id


def _key(source: Source) -> str | None:
    return source.key if isinstance(source, VideoTask | Outcome) else None


def _job(source: Source) -> JobLike:
    """Return the job of a source.

    Raises:
        LumaError: the source is an outcome with this error.

    """
    if not isinstance(source, Outcome):
        return source
    if not source.ok:
        raise source.error
    return source.generation


DownloadOne = Callable[[Source], Awaitable[Download]]
"""Function that downloads the file of one source, such as `Downloads.to_folder`."""


async def download_all(
    sources: Sources, download_one: DownloadOne, *, home: HomeLoop | None = None
) -> AsyncGenerator[Download, None]:
    """Download the file of each source, and yield the results in the order in which they end.

    `download_one` limits the number of concurrent downloads. If the iterator of the sources raises
    an error, it is raised here after the results of the sources before it.

    Raises:
        ConfigurationError: the event loop is not that of the client.

    """
    (home or HomeLoop()).enter()
    run = _DownloadRun(download_one)
    reading = asyncio.create_task(run.read(sources), name="luma-async download_all")
    try:
        while (download := await run.next_result()) is not None:
            yield download
    finally:
        reading.cancel()
        run.cancel()
        await to_completion(run.wait_closed, reading)


class _DownloadRun:
    """State of one `download_all()`: running downloads, and results not yet yielded."""

    def __init__(self, download_one: DownloadOne) -> None:
        self._download_one = download_one
        self._running: set[asyncio.Task[None]] = set()
        self._results: deque[Download] = deque()
        self._all_read = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._has_room = asyncio.Event()
        self._has_news = asyncio.Event()

    async def read(self, sources: Sources) -> None:
        """Start a download for each source, at most `READ_AHEAD` ahead of the consumer."""
        items = lazily(sources)
        try:
            async for source in items:
                task = asyncio.create_task(self._run(source), name="luma-async download")
                self._running.add(task)
                task.add_done_callback(self._on_done)
                while len(self._running) + len(self._results) >= READ_AHEAD:
                    self._has_room.clear()
                    await self._has_room.wait()
                if self._is_closed:
                    break
        except BaseException as error:
            self._error = self._error or error  # `next_result` raises it
            raise
        finally:
            self._all_read = True
            self._has_news.set()
            await items.aclose()

    async def next_result(self) -> Download | None:
        """Return the result of the next download that ends, `None` after the last one."""
        while not self._results:
            if self._all_read and not self._running:
                if self._error is not None:
                    raise self._error
                return None
            self._has_news.clear()
            await self._has_news.wait()
        self._has_room.set()
        return self._results.popleft()

    def cancel(self) -> None:
        """Cancel the running downloads."""
        for task in self._running:
            task.cancel()

    async def wait_closed(self, reading: asyncio.Task[None]) -> None:
        """Wait until the reading task and all downloads have ended."""
        await asyncio.wait([reading, *self._running])
        if not reading.cancelled():
            reading.exception()  # counts as retrieved; `next_result` raises it

    async def _run(self, source: Source) -> None:
        download = await self._download_one(source)
        self._is_closed = self._is_closed or isinstance(download.error, ClientClosedError)
        self._results.append(download)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._error = self._error or task.exception()
        self._has_room.set()
        self._has_news.set()
