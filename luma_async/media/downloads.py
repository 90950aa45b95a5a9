"""Videos out: to `name.part` first, and under their own name once they are whole."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

import aiohttp
import anyio
import anyio.to_thread

from luma_async.errors import ClientClosedError, DownloadError
from luma_async.models import Asset, Generation

What = Literal["video", "raw", "thumbnail", "last_frame"]
Progress = Callable[[int, int | None], object]
"""Called with the bytes so far, and the bytes in all where the server says."""

_CHUNK = 256 * 1024
_ENDINGS = {"video": ".mp4", "raw": ".mp4", "thumbnail": ".jpg", "last_frame": ".jpg"}


def chosen_asset(generation: Generation, what: What) -> Asset:
    """Return the asset of a generation that `what` names.

    Raises:
        DownloadError: the generation has none.

    """
    assets = {
        "video": generation.video,
        "raw": generation.video_raw,
        "thumbnail": generation.thumbnail,
        "last_frame": generation.last_frame,
    }
    asset = assets[what]
    if asset is None:
        raise DownloadError(f"Generation {generation.id} ({generation.state}) has no {what}.")
    return asset


def target_path(path: str | os.PathLike[str], generation: Generation, what: What) -> Path:
    """Return the file to write: `path` itself, or in the folder `path` one named after the job."""
    target = Path(path)
    if target.is_dir() or str(path).endswith(("/", os.sep)):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", generation.id).lstrip(".")[:100] or "video"
        suffix = "" if what == "video" else f"-{what}"
        target = target / f"{name}{suffix}{_ENDINGS[what]}"
    return target


class Downloader:
    """Fetches files over a session of its own, which never sees the API key."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._busy: set[Path] = set()
        self._closed = False

    async def fetch(self, url: str, target: Path, *, progress: Progress | None = None) -> Path:
        """Write the file behind `url` to `target`, replacing what is there.

        Raises:
            DownloadError: it did not arrive whole; `target` is as it was.

        """
        if self._closed:
            raise ClientClosedError(f"Cannot download {target.name}: the client is closed.")
        _check_link(url)
        if target in self._busy:
            raise DownloadError(f"{target} is being downloaded already.")
        self._busy.add(target)
        try:
            return await self._fetch(url, target, progress)
        finally:
            self._busy.discard(target)

    async def _fetch(self, url: str, target: Path, progress: Progress | None) -> Path:
        part = _Part(target)
        problem = ""
        try:
            async with self._open().get(url) as response:
                _check_answer(response)
                await _write(response, part, progress)
            await anyio.to_thread.run_sync(part.finish)
        except (aiohttp.ClientError, OSError) as error:
            problem = str(error) or type(error).__name__
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(part.discard)
        if problem:
            raise DownloadError(f"{target.name} did not arrive from {_place(url)}: {problem}")
        return target

    async def aclose(self) -> None:
        """Close the session; downloads under way fail with `DownloadError`."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=30.0, sock_read=60.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class _Part:
    """The file `name.part`, written in threads.

    A cancelled asyncio task does not wait for the thread that it started, so every step holds the
    lock, and none does anything once the file is discarded.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f"{target.name}.part")
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._is_over = False

    def write(self, data: bytes) -> None:
        """Append to the file, made at the first write."""
        with self._lock:
            if self._is_over:
                return
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("wb")
            self._file.write(data)

    def finish(self) -> None:
        """Give the file its name."""
        with self._lock:
            if self._file is not None and not self._is_over:
                self._file.close()
                self._path.replace(self._target)
            self._is_over = True

    def discard(self) -> None:
        """Leave nothing, unless the file has its name already."""
        with self._lock:
            if self._file is not None and not self._is_over:
                self._file.close()
                with contextlib.suppress(OSError):
                    self._path.unlink()
            self._is_over = True


async def _write(response: aiohttp.ClientResponse, part: _Part, progress: Progress | None) -> None:
    done = 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        await anyio.to_thread.run_sync(part.write, chunk)
        done += len(chunk)
        if progress is not None:
            progress(done, response.content_length)
    if not done:
        raise DownloadError(f"{_place(str(response.url))} answered with an empty file.")


def _check_link(url: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url[:80]!r} is not a link to download from.")


def _check_answer(response: aiohttp.ClientResponse) -> None:
    place = _place(str(response.url))
    if response.status != 200:
        raise DownloadError(f"{place} answered HTTP {response.status}; the link may have expired.")
    if response.content_type in ("text/html", "application/json", "text/plain"):
        raise DownloadError(f"{place} answered with {response.content_type} instead of a file.")


def _place(url: str) -> str:
    """Return host and path of a link: what it is signed with belongs in no message."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"
