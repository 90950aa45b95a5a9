"""Videos out: whole under their own name, or not there."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import aiohttp
import anyio
import anyio.to_thread

from luma_async.errors import ClientClosedError
from luma_async.media.fetch import Fetch, Fetched, Progress, Road
from luma_async.media.links import FAMILIES, Links, What
from luma_async.media.names import Destination
from luma_async.media.signatures import suffixes_of
from luma_async.transport.transport import HEADER_LIMIT
from luma_async.version import __version__

logger = logging.getLogger("luma_async")
T = TypeVar("T")

MAX_REDIRECTS = 10
READ_BUFFER = 2**20
"""Bytes; with less than a few of the system's reads, reading is paused more often than not."""


class Downloader:
    """Fetches files, so many at once, over a session of its own that never sees the API key."""

    def __init__(self, *, max_downloads: int, timeout: float, max_tries: int) -> None:
        self.max_downloads = max_downloads
        self._max_tries = max_tries
        self._threads = anyio.CapacityLimiter(max_downloads)
        self._places = anyio.Semaphore(max_downloads, fast_acquire=True)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
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
        async with self._places:
            road = Road(self._opened_session(), self._threads, self._max_tries)
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

    def _opened_session(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise _closed()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=self._timeout, sock_read=self._timeout
                ),
                headers={
                    "User-Agent": f"luma-async/{__version__}",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                requote_redirect_url=False,
            )
        return self._session

    async def aclose(self) -> None:
        """End what is under way, and close the session."""
        self.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()


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
