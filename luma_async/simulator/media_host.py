"""Media host: serves the files of jobs, rendered when they are first requested.

The name of a file says how it is rendered:

- `video.mp4`: the video with a watermark; any other `.mp4`: the video
- `last.jpg`: the last frame; any other `.jpg` or `.png`: the first frame
- `layer-0.png` and so on: a layer of the first frame, with transparency
- `.exr`: the first frame in linear light
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from aiohttp import web

from luma_async.simulator.answers import SignedLinks
from luma_async.simulator.clock import Clock
from luma_async.simulator.file_answer import FileAnswer
from luma_async.simulator.ledger import Ledger
from luma_async.simulator.simulated_jobs import SimulatedJob


class MediaHost:
    """Server of the files behind `SignedLinks`, with a temporary folder of rendered files."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        links: SignedLinks,
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
        self._rendering: dict[Path, asyncio.Task[None]] = {}
        self._renderers = asyncio.Semaphore(2)  # more would starve the event loop of the test

    def routes(self) -> list[web.RouteDef]:
        """Return the route of the files."""
        return [web.get("/media/{id}/{name}", self._get, name="media")]

    async def open(self) -> None:
        """Create the temporary folder."""
        self._folder = await asyncio.to_thread(
            tempfile.TemporaryDirectory, prefix="luma-simulator-"
        )

    @property
    def folder(self) -> Path:
        """Temporary folder, also for the files that clients upload."""
        assert self._folder is not None  # noqa: S101  routes are served between open and aclose
        return Path(self._folder.name)

    async def aclose(self) -> None:
        """Wait for files that are being rendered, and remove the folder."""
        await asyncio.gather(*self._rendering.values(), return_exceptions=True)
        self._rendering.clear()
        if self._folder is not None:
            await asyncio.to_thread(self._folder.cleanup)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self._ledger.keys_seen_by_media.append(request.headers["Authorization"])
        job = self._ledger.find(request.match_info["id"])
        name = request.match_info["name"]
        if job is None or job.phase(self._clock.now()) != "completed" or name not in job.files:
            return web.Response(status=404, text="no such file")
        if not self._links.is_valid(request.query.get("until", "")):
            return web.Response(status=403, text="the link has expired")
        path = await self._rendered(job, name)
        sent = self._ledger.sent.setdefault(f"{job.id}/{name}", [])
        return FileAnswer(path, lambda start, end: sent.append((start, end)))

    async def replace(self, id: str, name: str, content: bytes) -> None:
        """Replace the content of a file."""
        job = self._ledger.find(id)
        assert job is not None  # noqa: S101  an error in a test
        path = await self._rendered(job, name)
        await asyncio.to_thread(path.write_bytes, content)

    async def _rendered(self, job: SimulatedJob, name: str) -> Path:
        path = Path(self.folder, name if self._same_films else f"{job.id}-{name}")
        if path not in self._rendering:
            self._rendering[path] = asyncio.create_task(self._render(job, name, path))
        await asyncio.shield(self._rendering[path])
        return path

    async def _render(self, job: SimulatedJob, name: str, path: Path) -> None:
        async with self._renderers:
            await asyncio.to_thread(_render_file, job, name, path, self._video_bytes)


def _render_file(job: SimulatedJob, name: str, path: Path, video_bytes: int) -> None:
    """Render a file of a job."""
    from luma_async.simulator import exr, film  # noqa: PLC0415  load PyAV and Pillow

    if name.endswith(".mp4"):
        film.save_video(job, path, watermark=name == "video.mp4", least_bytes=video_bytes)
    elif name.startswith("layer-"):
        film.save_layer(job, path, int(path.stem.rpartition("-")[2]))
    elif name.endswith(".exr"):
        exr.save_exr(film.frame(job, last=False), path)
    else:
        film.save_frame(job, path, last=name == "last.jpg")
