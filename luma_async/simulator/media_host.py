"""The media host: files that are made when they are first asked for."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from aiohttp import web

from luma_async.simulator.answers import Links
from luma_async.simulator.clock import Clock
from luma_async.simulator.file_answer import FileAnswer
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.simulated_jobs import Job

NAMES = ("video.mp4", "clean.mp4", "thumbnail.jpg", "last.jpg")
"""The files of a job: the video with and without a watermark, its first and its last frame."""


class Media:
    """Serves what `Links` points to, from a folder that fills as files are asked for."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        links: Links,
        *,
        video_bytes: int = 0,
        same_films: bool = False,
    ) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._clock = clock
        self._ledger = ledger
        self._links = links
        self._video_bytes = video_bytes
        self._same_films = same_films
        self._making: dict[Path, asyncio.Task[None]] = {}
        self._cameras = asyncio.Semaphore(2)

    def routes(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.get("/media/{id}/{name}", self._get, name="media")]

    async def open(self) -> None:
        """Make the folder."""
        self._folder = await asyncio.to_thread(
            tempfile.TemporaryDirectory, prefix="luma-simulator-"
        )

    async def aclose(self) -> None:
        """Let films that are being made come to their end, and remove the folder."""
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        self._making.clear()
        if self._folder is not None:
            await asyncio.to_thread(self._folder.cleanup)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self._ledger.keys_seen_by_media.append(request.headers["Authorization"])
        job = self._ledger.find(request.match_info["id"])
        name = request.match_info["name"]
        if job is None or job.phase(self._clock.now()) != "completed" or name not in NAMES:
            return web.Response(status=404, text="no such file")
        if not self._links.is_good(request.query.get("until", "")):
            return web.Response(status=403, text="the link has expired")
        path = await self._made(job, name)
        sent = self._ledger.sent.setdefault(f"{job.id}/{name}", [])
        return FileAnswer(path, lambda start, end: sent.append((start, end)))

    async def replace(self, id: str, name: str, content: bytes) -> None:
        """Put other content behind the links to a file."""
        job = self._ledger.find(id)
        assert job is not None  # noqa: S101  a slip of the test's
        path = await self._made(job, name)
        await asyncio.to_thread(path.write_bytes, content)

    async def _made(self, job: Job, name: str) -> Path:
        assert self._folder is not None  # noqa: S101  routes are served between open and aclose
        path = Path(self._folder.name, name if self._same_films else f"{job.id}-{name}")
        if path not in self._making:
            self._making[path] = asyncio.create_task(self._make(job, name, path))
        await asyncio.shield(self._making[path])
        return path

    async def _make(self, job: Job, name: str, path: Path) -> None:
        async with self._cameras:
            await asyncio.to_thread(_make, job, name, path, self._video_bytes)


def _make(job: Job, name: str, path: Path, video_bytes: int) -> None:
    """Render a file.

    Raises:
        ModuleNotFoundError: PyAV or Pillow is missing; the text says how to install them.

    """
    try:
        from luma_async.simulator import film  # noqa: PLC0415  only films need the extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The simulator's videos need PyAV and Pillow: pip install 'luma-async[simulator]'"
        ) from error
    if name.endswith(".mp4"):
        film.save_video(job, path, watermark=name == "video.mp4", least_bytes=video_bytes)
    else:
        film.save_frame(job, path, last=name == "last.jpg")
