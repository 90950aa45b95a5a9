"""Links to one file of a job, the best first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Literal, NamedTuple

from luma_async.errors import ClientClosedError, LumaError
from luma_async.generation import Asset, Generation

What = Literal["video", "raw", "thumbnail", "last_frame"]


FAMILIES: dict[What, Literal["video", "image"]] = {
    "video": "video",
    "raw": "video",
    "thumbnail": "image",
    "last_frame": "image",
}
"""The media types that each file may be of."""


class Link(NamedTuple):
    """A link; whether what it leads to has no watermark is told of videos only."""

    url: str
    watermark_free: bool | None = None


class Links:
    """The links to one file of a job.

    Those that the generation names come first; then, as they may have expired, a link is asked
    for (`watermark_free_url`), and then the job itself (`get`). Where a video without a watermark
    is wanted, it may be at `video.download_url`, `video_raw`, or the link that is asked for; the
    one with a watermark comes last.
    """

    def __init__(
        self,
        generation: Generation,
        what: What,
        *,
        watermark_free: bool,
        get: Callable[[str], Awaitable[Generation]],
        watermark_free_url: Callable[[str], Awaitable[str]],
    ) -> None:
        self.generation = generation
        self.what = what
        self.wants_clean = what == "video" and watermark_free
        self._get = get
        self._watermark_free_url = watermark_free_url
        self.problem: LumaError | None = None
        """Why the server did not give a new link, the last time that it did not."""

    async def __aiter__(self) -> AsyncIterator[Link]:
        """Yield them; the server is asked when those before were of no use."""
        for link in self._named(self.generation, clean=self.wants_clean):
            yield link
        if self.wants_clean and (url := await self._asked_for()) is not None:
            yield Link(url, watermark_free=True)
        fresh = await self._fresh()
        for link in self._named(fresh, clean=self.wants_clean):
            yield link
        if self.what == "video":
            for link in self._named(fresh, clean=not self.wants_clean):
                yield link
            if not self.wants_clean and (url := await self._asked_for()) is not None:
                yield Link(url, watermark_free=True)

    def _named(self, generation: Generation, *, clean: bool) -> Iterator[Link]:
        """Yield the links that a generation names: of a video, those with a watermark or without.

        A video that is the raw one has none, wherever it stands.
        """
        if self.what != "video":
            asset = {
                "raw": generation.video_raw,
                "thumbnail": generation.thumbnail,
                "last_frame": generation.last_frame,
            }[self.what]
            yield from (Link(url) for url in _urls(asset))
            return
        raw = _urls(generation.video_raw)
        video = generation.video
        if clean:
            urls = [video.download_url] if video and video.download_url else []
            yield from (Link(url, watermark_free=True) for url in dict.fromkeys([*urls, *raw]))
        elif video and video.url and video.url not in raw:
            yield Link(video.url, watermark_free=video.url == video.download_url)

    async def _asked_for(self) -> str | None:
        try:
            return await self._watermark_free_url(self.generation.id)
        except ClientClosedError:
            raise
        except LumaError as error:  # many gateways do not offer it
            self.problem = error
            return None

    async def _fresh(self) -> Generation:
        try:
            return await self._get(self.generation.id)
        except ClientClosedError:
            raise
        except LumaError as error:
            self.problem = error
            return self.generation


def _urls(asset: Asset | None) -> list[str]:
    return [url for url in (asset.url, asset.download_url) if url] if asset else []
