"""Transfer: request a file from one link, and append the content to its part file."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import aiohttp
import anyio
import anyio.to_thread
from yarl import URL

from luma_async.concurrency import to_completion
from luma_async.errors import DownloadError
from luma_async.file_types import is_text, is_truncated, media_type
from luma_async.media.content_encoding import DECODABLE, content_encodings, decoder_for
from luma_async.media.fetch_errors import (
    EXPLAINED,
    PermanentLinkError,
    TemporaryLinkError,
    check_status,
    explain,
)
from luma_async.media.link_urls import link_url
from luma_async.media.links import Link
from luma_async.media.part_file import PartFile, PartWriter
from luma_async.media.progress_reports import ProgressReports
from luma_async.media.ranges import (
    FileVersion,
    RangeResult,
    place_of,
    range_headers,
    read_range_response,
)
from luma_async.media.requester import Requester
from luma_async.media.response_stream import ResponseStream
from luma_async.media.speed import MinimumSpeed
from luma_async.text_values import shown_link
from luma_async.transport.request_log import log_request, logs_requests

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits of a download.

    `max_tries` is the number of requests in a row without progress. `lowest_speed` is in bytes per
    second over `within` seconds; 0 disables it. `largest` is in bytes; `None` disables it, and
    `argument` is the name by which the caller gave it.
    """

    max_tries: int
    lowest_speed: float
    within: float
    largest: int | None
    argument: str = "max_download_bytes"

    def at_most(self, max_bytes: int | None) -> FetchLimits:
        """Return the limits of one download of at most `max_bytes`, if that is less."""
        if max_bytes is None or (self.largest is not None and self.largest <= max_bytes):
            return self
        return replace(self, largest=max_bytes, argument="max_bytes")


@dataclass(frozen=True, slots=True)
class FetchContext:
    """Connections, threads and limits that downloads share.

    Relative links are resolved by `base`. `pause` waits before a retry, in seconds.
    """

    requester: Requester
    threads: anyio.CapacityLimiter
    limits: FetchLimits
    base: URL
    pause: Callable[[float], Awaitable[None]]


class Disk:
    """Access to a part file in threads. `name` is the file in words, for errors."""

    def __init__(self, part: PartFile, threads: anyio.CapacityLimiter, name: str) -> None:
        self._part = part
        self._threads = threads
        self._name = name

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function in a thread.

        Raises:
            DownloadError: it raised an `OSError`.

        """
        with self.explained():
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._threads)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise `DownloadError` instead of `OSError` in the block."""
        try:
            yield
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise DownloadError(
                f"{self._name} cannot be written to {self._part.path}: {why}."
            ) from None

    def writer(self) -> PartWriter:
        """Return a new writer to the part file."""
        return PartWriter(self._part, self._threads)


class Transfer:
    """Transfer of a file from one link.

    `types` are the beginnings of the allowed media types. `media_type` is the type of the content,
    once it has begun to arrive.
    """

    def __init__(
        self,
        context: FetchContext,
        link: Link,
        types: tuple[str, ...],
        *,
        part: PartFile,
        disk: Disk,
        progress: ProgressReports | None,
    ) -> None:
        self.link = link
        self.media_type: str | None = None
        self._requester = context.requester
        self._base = context.base
        self._limits = context.limits
        self._types = types
        self._part = part
        self._disk = disk
        self._progress = progress
        self._place = ""
        self._tries = 0
        self._outcome = ""  # of the latest request, for the log
        self._received = 0
        self._needs_whole_file = False

    async def attempt(self) -> bool:
        """Request the missing bytes once, and return `True` if the file is complete.

        Raises:
            TemporaryLinkError: the request failed, and may succeed later.
            PermanentLinkError: the link does not lead to the file.
            CallbackError: the progress callback raised an exception.
            DownloadError: the part file cannot be written.

        """
        url = link_url(self.link.url, self._base)
        if url is None:
            raise PermanentLinkError(f"{shown_link(self.link.url)!r} is not a valid http(s) URL")
        self._place = place_of(str(url))
        self._tries, self._outcome, self._received = self._tries + 1, "no answer", 0
        began = time.perf_counter()
        try:
            if not await self._request(url):
                return False
        except EXPLAINED as error:
            raise explain(error, self._place) from None
        finally:
            if logs_requests():
                self._log_request(url.host, time.perf_counter() - began)
        await self._check_not_truncated()
        return True

    async def _request(self, url: URL) -> bool:
        """Send one request; return `False` if the whole file must be requested instead."""
        part, range_asked = self._part, {}
        if not self._needs_whole_file:
            range_asked = range_headers(
                part.version, part.size, self._place, watermark_free=self.link.watermark_free
            )
        have = part.size if range_asked else 0
        async with self._requester.get(url, range_asked) as response:
            self._outcome = str(response.status)
            check_status(response, self._place, is_range=bool(range_asked))
            result, length = read_range_response(
                response.status, response.headers, part.version, have
            )
            if range_asked and result is not RangeResult.WHOLE and _is_encoded(response):
                # A range of the encoded bytes does not fit a part file of decoded ones.
                result = RangeResult.UNUSABLE
            if result is RangeResult.UNUSABLE:
                if not range_asked:
                    raise PermanentLinkError(
                        f"{self._place} answered with a range that was not requested"
                    )
                self._needs_whole_file = True
                return False
            if result is RangeResult.CONTRADICTION:
                await self._disk.run(part.drop)
                raise PermanentLinkError(
                    f"{self._place} has {length} bytes, but reported another length before"
                )
            if result is not RangeResult.COMPLETE:
                self._check_size(length)
                limits = self._limits
                async with MinimumSpeed(limits.lowest_speed, limits.within) as speed:
                    stream = ResponseStream(response.content, speed)
                    head = b""
                    if result is RangeResult.WHOLE:
                        head, length = await self._begin(response, stream, length)
                    await self._receive(stream, length, head)
        if length is not None and part.size < length:
            raise TemporaryLinkError(f"{self._place} sent {part.size} of {length} bytes.")
        return True

    async def _begin(
        self, response: aiohttp.ClientResponse, stream: ResponseStream, length: int | None
    ) -> tuple[bytes, int | None]:
        """Check the beginning of the content, and empty the part file for it.

        The check comes first so that an error page does not replace the bytes received before.
        Returns the beginning, and the length of the file.
        """
        headers: Mapping[str, str] = response.headers
        if _is_encoded(response) and not await self._is_sent_plain(stream):
            encodings = content_encodings(response.headers["Content-Encoding"])
            decoders = [decoder_for(encoding) for encoding in reversed(encodings)]
            stream.decode([each for each in decoders if each is not None])
            headers, length = {}, None  # these describe the encoded content, not the file
        head = await stream.head()
        self.media_type = self._check_type(response.content_type, head)
        version = FileVersion.of(
            self._place, headers, length=length, watermark_free=self.link.watermark_free
        )
        with stream.paused():
            await self._disk.run(self._part.begin, version)
        self._needs_whole_file = False
        return head, length

    async def _is_sent_plain(self, stream: ResponseStream) -> bool:
        """Return `True` if the content is not encoded although its header names an encoding."""
        type = media_type(await stream.peek_raw())
        return type is not None and type.startswith(self._types)

    def _check_type(self, declared: str, head: bytes) -> str:
        """Return the media type of the content.

        Raises:
            PermanentLinkError: the content is not the video or image that it must be.

        """
        place = self._place
        wanted = " or ".join(f"{type}*" if type.endswith("/") else type for type in self._types)
        found = media_type(head)
        if found is None:
            if not head:
                raise PermanentLinkError(f"{place} answered with an empty file")
            is_declared = declared.startswith((*self._types, "application/octet-stream"))
            if is_declared and is_text(head):
                raise PermanentLinkError(
                    f"{place} answered with text, declared as {declared}, instead of {wanted}"
                )
        type = found or declared
        if not type.startswith(self._types):
            raise PermanentLinkError(f"{place} answered with {type} instead of {wanted}")
        return type

    async def _receive(self, stream: ResponseStream, length: int | None, head: bytes) -> None:
        """Append the content to the part file. Received bytes are written even on cancellation."""
        writer = self._disk.writer()
        done, chunk = self._part.size, head
        before = done
        try:
            self._report(done, length)
            while chunk or (chunk := await stream.next_piece()):
                done += len(chunk)
                if length is not None and done > length:
                    await self._drop(writer)
                    raise PermanentLinkError(
                        f"{self._place} sent more than the {length} bytes of the file"
                    )
                if self._is_too_large(done):
                    await self._drop(writer)
                    self._check_size(done)
                writer.put(chunk)
                chunk = b""
                self._report(done, length)
                if writer.is_behind:
                    with stream.paused(), self._disk.explained():
                        await writer.catch_up()
            with stream.paused(), self._disk.explained():
                await writer.drain()
        finally:
            self._received = done - before
            await to_completion(writer.aclose)

    def _log_request(self, host: str | None, seconds: float) -> None:
        """Log a request without its path and query, because these may let a reader fetch it."""
        log_request(
            "GET %s: %s, %d bytes after %.3f s (try %d)",
            *(host, self._outcome, self._received, seconds, self._tries),
        )

    async def _drop(self, writer: PartWriter) -> None:
        with self._disk.explained():
            await writer.drain()
        await self._disk.run(self._part.drop)

    def _is_too_large(self, size: int) -> bool:
        largest = self._limits.largest
        return largest is not None and size > largest

    def _check_size(self, size: int | None) -> None:
        if size is not None and self._is_too_large(size):
            raise PermanentLinkError(
                f"{self._place} has at least {size} bytes, and {self._limits.argument} is "
                f"{self._limits.largest}"
            )

    def _report(self, done: int, length: int | None) -> None:
        if self._progress is not None:
            self._progress.report(done, length)

    async def _check_not_truncated(self) -> None:
        """Check that the file is not truncated, even if its length is as announced.

        Raises:
            PermanentLinkError: the file is truncated.

        """
        if await self._disk.run(self._is_truncated):
            await self._disk.run(self._part.drop)
            raise PermanentLinkError(f"{self._place} sent a truncated video")

    def _is_truncated(self) -> bool:
        with self._part.reading() as file:
            return is_truncated(file)


def _is_encoded(response: aiohttp.ClientResponse) -> bool:
    """Return `True` if a response declares an encoding that can be decoded."""
    header = response.headers.get("Content-Encoding", "")
    return any(encoding in DECODABLE for encoding in content_encodings(header))
