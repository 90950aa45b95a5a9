"""Videos out: whole under their own name, or not there."""

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
from luma_async.media.fetch import Fetch, Fetched, Limits, Progress, Road
from luma_async.media.file_types import suffixes_of
from luma_async.media.filenames import Destination
from luma_async.media.links import FAMILIES, Links, What
from luma_async.media.requester import Requester

logger = logging.getLogger("luma_async")
T = TypeVar("T")

LOWEST_SPEED = 1024.0
"""Bytes a second that a download must bring."""

LARGEST_DOWNLOAD = 2**30
"""Bytes that a file may have."""


class _Place:
    """One of the places for downloads, given back while its download waits for another try."""

    def __init__(self, places: anyio.Semaphore) -> None:
        self._places = places
        self._is_held = False

    async def __aenter__(self) -> Self:
        await self._places.acquire()
        self._is_held = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_held:
            self._places.release()

    async def pause(self, seconds: float) -> None:
        """Wait, and let others have the place meanwhile."""
        self._places.release()
        self._is_held = False
        await anyio.sleep(seconds)
        await self._places.acquire()
        self._is_held = True


class Downloader:
    """Fetches files, so many at once. Links are relative to `base_url`."""

    def __init__(
        self, requester: Requester, limits: Limits, *, base_url: str, max_downloads: int
    ) -> None:
        self.max_downloads = max_downloads
        self._requester = requester
        self._limits = limits
        self._base = URL(f"{base_url}/")
        self._threads = anyio.CapacityLimiter(max_downloads)
        self._places = anyio.Semaphore(max_downloads, fast_acquire=True)
        self._writers: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[anyio.CancelScope] = set()
        self._is_closed = False

    async def destination(self, path: str | os.PathLike[str], id: str, what: What) -> Destination:
        """Return where a file goes."""
        suffixes = suffixes_of(FAMILIES[what])
        return await self._look(partial(Destination.of, path, id, what, suffixes=suffixes))

    async def existing(self, destination: Destination) -> Path | None:
        """Return the file that is there already."""
        return await self._look(destination.existing)

    def alone(self, destination: Destination) -> asyncio.Lock:
        """Return what keeps two downloads of this client from writing one file."""
        path = os.path.abspath(destination.path)  # noqa: PTH100  links are not followed
        return self._writers.setdefault(path, asyncio.Lock())

    async def fetch(
        self,
        links: Links,
        destination: Destination,
        *,
        overwrite: bool,
        progress: Progress | None = None,
    ) -> Fetched:
        """Bring a file here when there is a place for it.

        Raises:
            DownloadError: it did not arrive whole, or cannot be written.
            ClientClosedError: the client was closed first.

        """
        async with _Place(self._places) as place:
            if self._is_closed:
                raise _closed()
            road = Road(self._requester, self._threads, self._limits, self._base, place.pause)
            fetch = Fetch(road, links, destination, overwrite=overwrite, progress=progress)
            fetched = await fetch.run()
        _say_what_it_is(fetched, links)
        return fetched

    @contextmanager
    def ended_by_closing(self) -> Iterator[None]:
        """End what is awaited in here with `ClientClosedError` when the client is closed."""
        if self._is_closed:
            raise _closed()
        with anyio.CancelScope() as scope:
            self._under_way.add(scope)
            try:
                yield
            except Exception:
                if self._is_closed:  # whatever it was, that is why
                    raise _closed() from None
                raise
            finally:
                self._under_way.remove(scope)
        if scope.cancelled_caught:
            raise _closed()

    def stop(self) -> None:
        """End every download; each can be taken up again."""
        self._is_closed = True
        for scope in self._under_way:  # closing its session does not wake who reads from it
            scope.cancel()

    async def _look(self, work: Callable[[], T]) -> T:
        """Look at the disk, without waiting for it longer than the caller does."""
        return await anyio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)

    async def aclose(self) -> None:
        """End what is under way, and close the sessions that were opened here."""
        self.stop()
        await self._requester.aclose()


def _closed() -> ClientClosedError:
    return ClientClosedError("The client is closed; the download can be taken up again.")


def _say_what_it_is(fetched: Fetched, links: Links) -> None:
    if fetched.watermark_free is None:
        return
    if links.wants_clean and not fetched.watermark_free:
        why = f": {links.problem}" if links.problem else ""
        logger.warning("%s has a watermark, for there was no link without one%s", fetched.path, why)
    else:
        logger.info("%s has %s watermark.", fetched.path, "no" if fetched.watermark_free else "a")
