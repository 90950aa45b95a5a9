"""Links: find the links to a file of a job, the best ones first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import NamedTuple

from luma_async.errors import ClientClosedError, LumaError
from luma_async.generation import (
    Asset,
    Generation,
    url_with_watermark,
    urls_in,
    urls_without_watermark,
)
from luma_async.media.job_files import JobFile
from luma_async.telemetry.semantic_names import log_attributes


class Link(NamedTuple):
    """Link to a file. `watermark_free` is `None` for raw videos and images."""

    url: str
    watermark_free: bool | None = None


class Links:
    """Asynchronous iterable of the links to one file of a job.

    The links in the generation come first. They may have expired, so the server is asked next: for
    a link without a watermark (`watermark_free_url`), then for the job itself (`get`). If a video
    without a watermark is wanted, links with a watermark come last. A numbered output keeps its
    number in each answer.

    Without `watermark_free_url` the server has no such call, and nothing is known about watermarks.

    `log_attributes` are those of records about the job, whose job key is `key`.
    `problem` is the server's last error, which explains why there are no further links.
    """

    def __init__(
        self,
        generation: Generation,
        file: JobFile,
        *,
        watermark_free: bool,
        get: Callable[[str], Awaitable[Generation]],
        watermark_free_url: Callable[[str], Awaitable[str]] | None,
        key: str | None = None,
    ) -> None:
        self.generation = generation
        self.file = file
        self.log_attributes = log_attributes(generation.id, key)
        self._has_marks = file.part == "video" and watermark_free_url is not None
        self.wants_watermark_free = self._has_marks and watermark_free
        self._get = get
        self._watermark_free_url = watermark_free_url
        self.problem: LumaError | None = None

    async def __aiter__(self) -> AsyncGenerator[Link, None]:
        """Yield the links. The server is asked only when the consumer needs further links."""
        for link in self._links_in(self.generation, watermark_free=self.wants_watermark_free):
            yield link
        if self.wants_watermark_free and (url := await self._requested_url()) is not None:
            yield Link(url, watermark_free=True)
        fresh = await self._refreshed()
        for link in self._links_in(fresh, watermark_free=self.wants_watermark_free):
            yield link
        if self._has_marks:
            for link in self._links_in(fresh, watermark_free=not self.wants_watermark_free):
                yield link
            if not self.wants_watermark_free and (url := await self._requested_url()) is not None:
                yield Link(url, watermark_free=True)

    def _links_in(self, generation: Generation, *, watermark_free: bool) -> Iterator[Link]:
        """Yield the links in a generation; for a video, only those with or without a watermark.

        A link that also is the raw video's leads to a video without a watermark.
        """
        if not self._has_marks:
            yield from (Link(url) for url in urls_in(self._asset_in(generation)))
            return
        without_watermark = urls_without_watermark(generation)
        if watermark_free:
            yield from (Link(url, watermark_free=True) for url in without_watermark)
        elif (url := url_with_watermark(generation)) is not None:
            yield Link(url, watermark_free=url in without_watermark)

    def _asset_in(self, generation: Generation) -> Asset | None:
        match self.file.part:
            case int() as number:
                return generation.outputs[number] if number < len(generation.outputs) else None
            case "video":
                return generation.video
            case "raw":
                return generation.video_raw
            case "thumbnail":
                return generation.thumbnail
            case "last_frame":
                return generation.last_frame

    async def _requested_url(self) -> str | None:
        if self._watermark_free_url is None:
            return None
        try:
            return await self._watermark_free_url(self.generation.id)
        except ClientClosedError:
            raise
        except LumaError as error:  # many servers do not offer this call
            self.problem = error
            return None

    async def _refreshed(self) -> Generation:
        try:
            return await self._get(self.generation.id)
        except ClientClosedError:
            raise
        except LumaError as error:
            self.problem = error
            return self.generation
