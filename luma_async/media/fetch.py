"""Fetch: download one file from the first of its links that works, and resume after errors."""

from __future__ import annotations

import logging
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from luma_async.concurrency import to_completion
from luma_async.errors import DownloadError
from luma_async.file_types import HEAD_SIZE, media_type, suffix_of
from luma_async.media.fetch_errors import PermanentLinkError, TemporaryLinkError
from luma_async.media.filenames import Destination
from luma_async.media.links import Link, Links
from luma_async.media.part_file import PartFile
from luma_async.media.progress_reports import CallbackError, ProgressCallback, ProgressReports
from luma_async.media.transfer import Disk, FetchContext, Transfer
from luma_async.transport.retry_policy import retry_delays

logger = logging.getLogger("luma_async")

MIN_PROGRESS = 2**16
"""Bytes that must arrive for the count of tries to start again at one."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A downloaded file of `size` bytes. `watermark_free` is `None` for raw videos and images."""

    path: Path
    size: int
    watermark_free: bool | None


class Fetch:
    """Download of one file.

    The bytes in the part file are kept through errors, pauses and new links, as long as the links
    lead to the same version of the file.
    """

    def __init__(
        self,
        context: FetchContext,
        links: Links,
        destination: Destination,
        *,
        overwrite: bool,
        progress: ProgressCallback | None,
    ) -> None:
        self._context = context
        self._links = links
        self._destination = destination
        self._overwrite = overwrite
        self._progress = None if progress is None else ProgressReports(progress)
        self._part = PartFile(destination.part, f"{links.generation.id}/{links.file.part}")
        self._disk = Disk(self._part, context.threads, self._name())
        self._media_type: str | None = None
        self._problems: dict[str, str] = {}

    async def run(self) -> FetchedFile:
        """Download the file.

        Raises:
            DownloadError: the file did not arrive whole, or cannot be written.

        """
        try:
            await self._disk.run(self._part.open)
            link = await self._try_links()
            if self._progress is not None:
                await self._progress.finish()
            size = self._part.size
            path = await self._rename()
        except CallbackError as callback:
            raise callback.error from None
        finally:
            await to_completion(self._close)
        return FetchedFile(path, size, link.watermark_free)

    async def _close(self) -> None:
        await self._disk.run(self._part.close)
        if self._progress is not None:
            await self._progress.cancel()

    async def _try_links(self) -> Link:
        """Try one link after another, and return the link that completed the file.

        Links may expire during a long download. Therefore the rounds through all links, with new
        ones from the server, go on as long as each round makes progress.
        """
        useless: set[str] = set()
        size_before, was_temporary = self._part.size, False
        while True:
            async with aclosing(aiter(self._links)) as links:
                async for link in links:
                    if link.url in useless:
                        continue
                    file_exists = was_temporary or self._part.size > size_before
                    if file_exists and self._links.wants_watermark_free and not link.watermark_free:
                        # A link without a watermark works, or will work later. Do not fall back.
                        break
                    try:
                        await self._transfer(link)
                    except PermanentLinkError as error:
                        useless.add(link.url)
                        self._note(link, str(error))
                    except TemporaryLinkError as error:
                        was_temporary = True
                        self._note(link, str(error))
                    else:
                        return link
            if self._part.size < size_before + MIN_PROGRESS:
                raise self._failure()
            size_before = self._part.size

    async def _transfer(self, link: Link) -> None:
        """Transfer the file from a link, and retry as long as there is progress."""
        transfer = Transfer(
            self._context,
            link,
            self._links.file.types,
            part=self._part,
            disk=self._disk,
            progress=self._progress,
        )
        try:
            await self._retry(transfer)
        finally:
            self._media_type = transfer.media_type or self._media_type

    async def _retry(self, transfer: Transfer) -> None:
        size_before, tries, pauses = self._part.size, 0, retry_delays()
        next(pauses)
        while True:
            try:
                if await transfer.attempt():
                    return
            except TemporaryLinkError as error:
                tries += 1
                if self._part.size >= size_before + MIN_PROGRESS:
                    size_before, tries, pauses = self._part.size, 0, retry_delays()
                    next(pauses)
                elif tries >= self._context.limits.max_tries:
                    raise
                else:
                    pause = pauses.send(error)
                    text, about = "%s Trying again in %.1f s.", self._links.log_attributes
                    logger.info(text, error, pause, extra=about)
                    await self._context.pause(pause)

    async def _rename(self) -> Path:
        """Rename the complete part file, and return its final path."""
        suffix = suffix_of(await self._disk.run(self._type_of_content) or self._media_type)
        target = self._destination.named(suffix or self._links.file.default_suffix)
        if not await self._disk.run(self._part.finish, target, self._overwrite):
            raise already_exists_error(target, self._links.generation.id)
        return target

    def _type_of_content(self) -> str | None:
        with self._part.reading() as file:
            file.seek(0)
            return media_type(file.read(HEAD_SIZE))

    def _note(self, link: Link, problem: str) -> None:
        self._problems[link.url] = problem.removesuffix(".")

    def _name(self) -> str:
        return f"{self._links.file.words} of job {self._links.generation.id}"

    def _failure(self) -> DownloadError:
        links = self._links
        refused = f" The server gave no other link: {links.problem}" if links.problem else ""
        if not self._problems:
            return DownloadError(f"{self._name()} ({links.generation.state}) has no link.{refused}")
        problems = "; ".join(dict.fromkeys(self._problems.values()))
        kept = ""
        if self._part.is_resumable:
            kept = (
                f" {self._part.size} bytes are in {self._part.path}; "
                "the next download to this path resumes there."
            )
        return DownloadError(f"{self._name()} did not arrive: {problems}.{refused}{kept}")


def already_exists_error(path: Path, id: str | None) -> DownloadError:
    """Return the error for a destination that exists and must not be replaced."""
    return DownloadError(
        f"{path} already exists, so the file of job {id} was not downloaded; "
        "overwrite=True replaces it."
    )
