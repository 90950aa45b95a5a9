"""Fetch: one file on its way onto the disk, through whatever goes wrong."""

from __future__ import annotations

import codecs
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import anyio
import anyio.to_thread
from yarl import URL

from luma_async.concurrency import to_completion
from luma_async.errors import DownloadError
from luma_async.media.addresses import PrivateAddressError
from luma_async.media.content_encoding import DECODABLE, ContentError, codings, decoder
from luma_async.media.file_types import HEAD, is_cut_off, media_type, suffix_of
from luma_async.media.filenames import Destination
from luma_async.media.link_urls import link_url
from luma_async.media.links import FAMILIES, Link, Links, What
from luma_async.media.part_file import Part, Writer
from luma_async.media.ranges import Answer, Version, place_of, range_headers, read_answer
from luma_async.media.requester import RedirectError, Requester
from luma_async.media.response_stream import Arriving
from luma_async.media.speed import SpeedLimit, TooSlowError
from luma_async.text_values import shown_link
from luma_async.transport.rate_limit_headers import parse_retry_after
from luma_async.transport.retry_policy import retry_delays

logger = logging.getLogger("luma_async")
T = TypeVar("T")

Progress = Callable[[int, int | None], object]
"""Called with the bytes so far, and the bytes in all where the server says."""

WORTH_GOING_ON = 2**16
"""Bytes that a try must add for the next ones to count from one again."""

_BUSY = frozenset({408, 425, 429})

_DEFAULT_SUFFIXES: dict[What, str] = {
    "video": ".mp4",
    "raw": ".mp4",
    "thumbnail": ".jpg",
    "last_frame": ".jpg",
}


class Trouble(Exception):  # noqa: N818  a signal within a fetch, nobody's error
    """A try went wrong, and another may go well."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class _ProgressError(Exception):
    """What the caller's `progress` raised, which is no problem of a server's or a disk's."""

    def __init__(self, problem: Exception) -> None:
        super().__init__(problem)
        self.problem = problem


class Refused(Exception):  # noqa: N818  a signal within a fetch, nobody's error
    """The link leads to no such file, and will not when it is followed again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is whole; whether it has no watermark is told of videos only."""

    path: Path
    watermark_free: bool | None


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a download: tries of each step, bytes a second over `within`, and bytes.

    0 bytes a second, or `None` bytes in all, is no bound.
    """

    max_tries: int
    lowest_speed: float
    within: float
    largest: int | None


@dataclass(frozen=True, slots=True)
class Road:
    """The connections, threads and bounds of downloads.

    Links are relative to `base`; `pause` waits between tries.
    """

    requester: Requester
    threads: anyio.CapacityLimiter
    limits: Limits
    base: URL
    pause: Callable[[float], Awaitable[None]]


class Fetch:
    """Follows one link after another until all of the file is here.

    What arrived is kept through cuts, pauses and new links, as long as they lead to the same
    version of the file.
    """

    def __init__(
        self,
        road: Road,
        links: Links,
        destination: Destination,
        *,
        overwrite: bool,
        progress: Progress | None,
    ) -> None:
        self._road = road
        self._links = links
        self._destination = destination
        self._overwrite = overwrite
        self._progress = progress
        self._part = Part(destination.part, f"{links.generation.id}/{links.what}")
        self._family = FAMILIES[links.what]
        self._found_type: str | None = None
        self._needs_all = False
        self._problems: dict[str, str] = {}

    async def run(self) -> Fetched:
        """Bring the file here.

        Raises:
            DownloadError: it did not arrive whole, or cannot be written.

        """
        try:
            await self._on_disk(self._part.open)
            link = await self._any_link()
            path = await self._named()
        except _ProgressError as failed:
            raise failed.problem from None
        finally:
            await to_completion(self._on_disk(self._part.close))
        return Fetched(path, link.watermark_free)

    async def _any_link(self) -> Link:
        """Return the link that the whole file came from."""
        useless: set[str] = set()
        most, is_trouble = self._part.size, False
        while True:
            async with aclosing(_each(self._links)) as links:
                async for link in links:
                    if link.url in useless:
                        continue
                    is_there = is_trouble or self._part.size > most
                    if is_there and self._links.wants_clean and not link.watermark_free:
                        break  # the one without a watermark can be had, if not by this link
                    try:
                        await self._persist(link)
                    except Refused as refused:
                        useless.add(link.url)
                        self._note(link, str(refused))
                    except Trouble as trouble:
                        is_trouble = True
                        self._note(link, str(trouble))
                    else:
                        return link
            if self._part.size < most + WORTH_GOING_ON:
                raise self._not_arrived()
            most = self._part.size  # links that expire on the way are asked for as often as needed

    async def _persist(self, link: Link) -> None:
        """Follow a link until the file is whole, as long as it gets any further."""
        most, tries, pauses = self._part.size, 0, retry_delays()
        next(pauses)
        self._needs_all = False
        while True:
            try:
                if await self._follow(link):
                    return
            except Trouble as trouble:
                tries += 1
                if self._part.size >= most + WORTH_GOING_ON:
                    most, tries, pauses = self._part.size, 0, retry_delays()
                    next(pauses)
                elif tries >= self._road.limits.max_tries:
                    raise
                else:
                    pause = pauses.send(trouble)
                    logger.info("%s Trying again in %.1f s.", trouble, pause)
                    await self._road.pause(pause)

    async def _follow(self, link: Link) -> bool:
        """Ask for what is missing once; return whether the file is whole now."""
        url = link_url(link.url, self._road.base)
        if url is None:
            raise Refused(f"{shown_link(link.url)!r} is not a link to download from")
        place = place_of(str(url))
        limits = self._road.limits
        try:
            if not await self._ask(link, url, place):
                return False
        except tuple(_MEANINGS) as error:
            raise _meaning(error, place, limits) from None
        await self._check_end(place)
        return True

    async def _ask(self, link: Link, url: URL, place: str) -> bool:
        """Take in one answer; return `False` if it has to be asked for all of the file."""
        part, asked = self._part, {}
        if not self._needs_all:
            asked = range_headers(
                part.version, part.size, place, watermark_free=link.watermark_free
            )
        have = part.size if asked else 0
        limits = self._road.limits
        async with self._road.requester.get(url, asked) as response:
            _check_status(response, place, is_part=bool(asked))
            answer, length = read_answer(response.status, response.headers, part.version, have)
            if asked and answer is not Answer.WHOLE and _is_coded(response):
                answer = Answer.NO_RANGE  # the rest of what is coded cannot be told from the file
            if answer is Answer.NO_RANGE:
                if not asked:
                    raise Refused(f"{place} answered with a part that was not asked for")
                self._needs_all = True
                return False
            if answer is Answer.CONTRADICTION:
                await self._on_disk(part.drop)
                raise Refused(f"{place} has {length} bytes, and not as many as it said before")
            if answer is not Answer.COMPLETE:
                self._check_size(place, length)
                async with SpeedLimit(limits.lowest_speed, limits.within) as speed:
                    arriving = Arriving(response.content, speed)
                    head = b""
                    if answer is Answer.WHOLE:
                        head, length = await self._begin(response, arriving, link, place, length)
                    await self._receive(arriving, place, length, head)
        if length is not None and part.size < length:
            raise Trouble(f"{place} sent {part.size} of {length} bytes.")
        return True

    async def _begin(
        self,
        response: aiohttp.ClientResponse,
        arriving: Arriving,
        link: Link,
        place: str,
        length: int | None,
    ) -> tuple[bytes, int | None]:
        """Start over if a file arrives; return how it begins, and how long it is.

        An error page must not take the place of what is here already.
        """
        headers: Mapping[str, str] = response.headers
        if _is_coded(response) and not await self._is_plain(arriving):
            said = codings(response.headers["Content-Encoding"])
            arriving.decode([each for each in map(decoder, reversed(said)) if each is not None])
            headers, length = {}, None  # these are of what is sent, not of the file
        head = await arriving.head()
        self._found_type = _checked_type(response, head, place, self._family)
        version = Version.of(place, headers, length=length, watermark_free=link.watermark_free)
        with arriving.paused():
            await self._on_disk(self._part.begin, version)
        self._needs_all = False
        return head, length

    async def _is_plain(self, arriving: Arriving) -> bool:
        """Detect a file that is sent as it is, although its header names a coding."""
        type = media_type(await arriving.raw_head())
        return type is not None and type.startswith(f"{self._family}/")

    async def _receive(
        self, arriving: Arriving, place: str, length: int | None, head: bytes
    ) -> None:
        """Put what arrives into the part, even if it is cut off."""
        writer = Writer(self._part, self._road.threads)
        done, chunk = self._part.size, head
        try:
            self._tell(done, length)
            while chunk or (chunk := await arriving.next_piece()):
                done += len(chunk)
                if length is not None and done > length:
                    await self._written(writer.drain())
                    await self._on_disk(self._part.drop)
                    raise Refused(f"{place} sent more than the {length} bytes of the file")
                if self._is_too_large(done):
                    await self._written(writer.drain())
                    await self._on_disk(self._part.drop)
                    self._check_size(place, done)
                writer.put(chunk)
                chunk = b""
                self._tell(done, length)
                if writer.is_behind:
                    with arriving.paused():
                        await self._written(writer.catch_up())
            with arriving.paused():
                await self._written(writer.drain())
        finally:
            await to_completion(writer.aclose())

    def _is_too_large(self, size: int) -> bool:
        largest = self._road.limits.largest
        return largest is not None and size > largest

    def _check_size(self, place: str, size: int | None) -> None:
        if size is not None and self._is_too_large(size):
            raise Refused(
                f"{place} has {size} bytes or more, and max_download_bytes is "
                f"{self._road.limits.largest}"
            )

    def _tell(self, done: int, length: int | None) -> None:
        if self._progress is None:
            return
        try:
            self._progress(done, length)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the caller's
            raise _ProgressError(error) from None

    async def _check_end(self, place: str) -> None:
        """Refuse a video that lacks its end though all that was announced is here."""
        if await self._on_disk(self._lacks_its_end):
            await self._on_disk(self._part.drop)
            raise Refused(f"{place} has only the beginning of a video")

    async def _named(self) -> Path:
        """Give the file its name."""
        suffix = suffix_of(await self._on_disk(self._type) or self._found_type)
        target = self._destination.named(suffix or _DEFAULT_SUFFIXES[self._links.what])
        if not await self._on_disk(self._part.finish, target, self._overwrite):
            raise exists_already(target, self._links.generation.id)
        return target

    def _lacks_its_end(self) -> bool:
        with self._part.reading() as file:
            return is_cut_off(file)

    def _type(self) -> str | None:
        with self._part.reading() as file:
            file.seek(0)
            return media_type(file.read(HEAD))

    async def _written(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except OSError as error:
            raise self._unwritable(error) from None

    async def _on_disk(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._road.threads)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> DownloadError:
        why = error.strerror or str(error) or type(error).__name__
        return DownloadError(f"{self._what()} cannot be written to {self._part.path}: {why}.")

    def _note(self, link: Link, problem: str) -> None:
        self._problems[link.url] = problem.removesuffix(".")

    def _what(self) -> str:
        return f"The {self._links.what} of generation {self._links.generation.id}"

    def _not_arrived(self) -> DownloadError:
        links = self._links
        another = f" Another link was not to be had: {links.problem}" if links.problem else ""
        if not self._problems:
            return DownloadError(f"{self._what()} ({links.generation.state}) has no link.{another}")
        said = "; ".join(dict.fromkeys(self._problems.values()))
        kept = ""
        if self._part.is_resumable:
            kept = f" {self._part.size} bytes are in {self._part.path}: another try goes on there."
        return DownloadError(f"{self._what()} did not arrive: {said}.{another}{kept}")


def exists_already(path: Path, id: str | None) -> DownloadError:
    """Return the error of a name that is taken."""
    return DownloadError(
        f"{path} exists already, so generation {id} was not downloaded to it; "
        "overwrite=True replaces it."
    )


async def _each(links: Links) -> AsyncGenerator[Link, None]:
    async for link in links:
        yield link


def _check_status(response: aiohttp.ClientResponse, place: str, *, is_part: bool) -> None:
    status = response.status
    if status in (200, 206) or (status == 416 and is_part):
        return
    if status >= 500 or status in _BUSY:
        headers = response.headers
        after = parse_retry_after(headers.get("Retry-After"), date=headers.get("Date"))
        raise Trouble(f"{place} answered HTTP {status}.", after)
    raise Refused(f"{place} answered HTTP {status}; the link may have expired")


def _is_coded(response: aiohttp.ClientResponse) -> bool:
    """Whether an answer says that it is in a coding that could be undone."""
    return any(each in DECODABLE for each in codings(response.headers.get("Content-Encoding", "")))


def _checked_type(response: aiohttp.ClientResponse, head: bytes, place: str, family: str) -> str:
    """Return the media type of what arrives, which must be of the family `video` or `image`."""
    said = response.content_type
    found = media_type(head)
    if found is None:
        if not head:
            raise Refused(f"{place} answered with an empty file")
        if _is_text(head) or not said.startswith((f"{family}/", "application/octet-stream")):
            raise Refused(f"{place} answered with {said} instead of a file")
        if said.startswith("application/"):
            raise Refused(f"{place} answered with {said} that is no known kind of {family}")
    type = found or said
    if not type.startswith(f"{family}/"):
        raise Refused(f"{place} answered with {type} instead of a file of {family}/*")
    return type


def _is_text(head: bytes) -> bool:
    """Whether somebody could read it: an error message, whatever type it says it has."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


_MEANINGS: dict[type[Exception], tuple[type[Trouble | Refused], str]] = {
    PrivateAddressError: (
        Refused,
        (
            "{place} is not fetched: {error}, and the gateway has none like it; "
            "allow_private_media=True allows it"
        ),
    ),
    ContentError: (Refused, "{place} answered in an encoding that was not asked for: {error}"),
    RedirectError: (Refused, "{place} {error}"),
    TooSlowError: (
        Trouble,
        "{place} sent fewer than {limits.lowest_speed:g} bytes a second for {limits.within:g} s.",
    ),
    EOFError: (Trouble, "{place} sent only the beginning of the file."),
    aiohttp.ClientHttpProxyError: (Trouble, "{place}: the proxy answered HTTP {error.status}."),
    # The next two have headers in their texts, such as Location.
    aiohttp.ClientResponseError: (Trouble, "{place} sent an answer that cannot be read."),
    aiohttp.ServerDisconnectedError: (Trouble, "{place}: Server disconnected."),
    TimeoutError: (Trouble, "{place} sent nothing for too long."),
    # From yarl, aiohttp (InvalidURL), or the codec of host names.
    ValueError: (Refused, "{place} leads to what is no http(s) link"),
    aiohttp.ClientError: (Trouble, "{place}: {said}."),
}
"""The exceptions that tell of a link or its host; of several, the first one that fits."""


def _meaning(error: Exception, place: str, limits: Limits) -> Trouble | Refused:
    """Return what an exception means. Its own text may hold what the link is signed with."""
    kind, text = next(it for type, it in _MEANINGS.items() if isinstance(error, type))
    said = str(error) or type(error).__name__
    return kind(text.format(place=place, error=error, limits=limits, said=said))
