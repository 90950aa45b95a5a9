"""Downloader: fetch files with a limited number of concurrent downloads.

A file appears under its name only when it is complete.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from yarl import URL

from luma_async.errors import ClientClosedError
from luma_async.media.fetch import Fetch, FetchedFile
from luma_async.media.filenames import Destination
from luma_async.media.job_files import JobFile
from luma_async.media.links import Links
from luma_async.media.progress_reports import ProgressCallback
from luma_async.media.requester import Requester
from luma_async.media.transfer import FetchContext, FetchLimits
from luma_async.telemetry.recorder import Recorder

logger = logging.getLogger("luma_async")
T = TypeVar("T")

LOWEST_SPEED = 1024.0
"""Default minimum speed of a download, in bytes per second."""

LARGEST_DOWNLOAD = 2**30
"""Default maximum size of a downloaded file, in bytes."""


class _Slot:
    """Slot of the concurrency limit, released while its download waits before a retry."""

    def __init__(self, slots: anyio.Semaphore) -> None:
        self._slots = slots
        self._is_held = False

    async def __aenter__(self) -> Self:
        await self._slots.acquire()
        self._is_held = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_held:  # not if the download was cancelled in `pause`
            self._slots.release()

    async def pause(self, seconds: float) -> None:
        """Release the slot, sleep, and acquire a slot again."""
        self._slots.release()
        self._is_held = False
        await anyio.sleep(seconds)
        await self._slots.acquire()
        self._is_held = True


class Downloader:
    """Fetch files, at most `max_downloads` at a time. Relative links are resolved by `base_url`."""

    def __init__(
        self,
        requester: Requester,
        limits: FetchLimits,
        *,
        base_url: str,
        max_downloads: int,
        recorder: Recorder | None = None,
    ) -> None:
        self.max_downloads = max_downloads
        self._requester = requester
        self._recorder = recorder or Recorder()
        self._limits = limits
        self._base = URL(f"{base_url}/")
        self._threads = anyio.CapacityLimiter(max_downloads)
        self._slots = anyio.Semaphore(max_downloads, fast_acquire=True)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._scopes: set[anyio.CancelScope] = set()
        self._is_closed = False

    async def destination(self, path: str | os.PathLike[str], file: JobFile) -> Destination:
        """Return the destination of a file: `path`, or a file in the folder `path`."""
        return await self._in_thread(
            partial(Destination.of, path, file.name, suffixes=file.suffixes)
        )

    async def existing(self, destination: Destination) -> Path | None:
        """Return the path of a destination's file if it already exists, `None` otherwise."""
        return await self._in_thread(destination.existing)

    async def obstacle(self, destination: Destination) -> str | None:
        """Return the reason that no file can be written at a destination, `None` if none is known.

        Raises:
            OSError: its path cannot be looked up.

        """
        return await self._in_thread(destination.obstacle)

    async def check_is_replaceable(self, destination: Destination) -> None:
        """Check that the path of a destination is free or that of a file."""
        await self._in_thread(destination.check_is_replaceable)

    def lock_for(self, destination: Destination) -> asyncio.Lock:
        """Return the lock that allows one download of this client at a time to write a file."""
        path = os.path.abspath(destination.path)  # noqa: PTH100  symbolic links are not followed
        return self._locks.setdefault(path, asyncio.Lock())

    async def fetch(
        self,
        links: Links,
        destination: Destination,
        *,
        overwrite: bool,
        progress: ProgressCallback | None = None,
        max_bytes: int | None = None,
    ) -> FetchedFile:
        """Fetch a file as soon as the concurrency limit allows.

        Raises:
            DownloadError: the file did not arrive whole, or cannot be written.
            ClientClosedError: the client was closed first.

        """
        async with _Slot(self._slots) as slot:
            if self._is_closed:
                raise _closed_error()
            limits = self._limits.at_most(max_bytes)
            context = FetchContext(self._requester, self._threads, limits, self._base, slot.pause)
            fetch = Fetch(context, links, destination, overwrite=overwrite, progress=progress)
            try:
                fetched = await fetch.run()
            except BaseException:
                self._recorder.failed_downloads += 1
                raise
        self._recorder.downloads += 1
        self._recorder.downloaded_bytes += fetched.size
        _log_fetched(fetched, links)
        return fetched

    @contextmanager
    def cancelled_on_close(self) -> Iterator[None]:
        """Cancel the block when the client is closed, and raise `ClientClosedError` instead."""
        if self._is_closed:
            raise _closed_error()
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            except Exception:
                if self._is_closed:  # closing its connections caused the error, whatever it says
                    raise _closed_error() from None
                raise
            finally:
                self._scopes.remove(scope)
        if scope.cancelled_caught:
            raise _closed_error()

    def stop(self) -> None:
        """Cancel all downloads. Their part files stay, so that they can be resumed."""
        self._is_closed = True
        for scope in self._scopes:  # closing a session does not wake its readers
            scope.cancel()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run a file system call in a thread, and abandon it on cancellation."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """Cancel all downloads, and close the sessions that the requester opened."""
        self.stop()
        await self._requester.aclose()


def _closed_error() -> ClientClosedError:
    return ClientClosedError("The client is closed; the download can be resumed.")


def _log_fetched(fetched: FetchedFile, links: Links) -> None:
    path, size, about = fetched.path, fetched.size, links.log_attributes
    if fetched.watermark_free is None:
        logger.info("%s was downloaded (%d bytes).", path, size, extra=about)
    elif links.wants_watermark_free and not fetched.watermark_free:
        why = f": {links.problem}" if links.problem else "."
        text = "%s has a watermark because there was no link without one%s"
        logger.warning(text, path, why, extra=about)
    else:
        mark = "no" if fetched.watermark_free else "a"
        text = "%s was downloaded (%d bytes); it has %s watermark."
        logger.info(text, path, size, mark, extra=about)
