"""File references: upload the large files of requests, each content only once for all requests."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from luma_async.dialects.file_calls import FileCalls, StoredFile, StoredState
from luma_async.errors import InvalidRequestError, JournalError, LumaError, UploadError
from luma_async.image_sources import FileReference, Image, LocalFile
from luma_async.media.file_uploader import FileUploader, UnusableFileError, UploadItem
from luma_async.media.single_flight import SingleFlight
from luma_async.requests import JobRequest

logger = logging.getLogger("luma_async")

_MOST_KNOWN = 10_000
"""Maximum number of uploaded files to remember without a journal."""


class FileMemory(Protocol):
    """Durable memory of the uploaded files of each server, by the SHA-256 of their content."""

    async def find_file(self, server: str, sha256: str) -> str | None:
        """Return the id of the file at the server, if it is known."""

    async def remember_file(self, server: str, sha256: str, id: str) -> None:
        """Store the id of a file, in place of that of an earlier file with this content."""


class FileReferences:
    """Replace large images and videos of requests by references to files at the server.

    A file that is remembered from an earlier process is checked before it is used: it may have been
    deleted, or belong to the account of another API key.
    """

    def __init__(
        self,
        uploader: FileUploader,
        calls: FileCalls,
        *,
        server: str,
        memory: FileMemory | None,
    ) -> None:
        self._uploader = uploader
        self._calls = calls
        self._server = server
        self._memory = memory
        self._known: OrderedDict[str, StoredFile] = OrderedDict()
        self._flights: SingleFlight[StoredFile] = SingleFlight("luma-async upload")

    def are_needed(self, request: JobRequest) -> bool:
        """Return `True` if a request has files to upload."""
        return bool(self._to_upload(request))

    async def replace(self, request: JobRequest) -> JobRequest:
        """Return the request with references, once all of its files are at the server.

        Raises:
            InvalidRequestError: the server rejects files, or they have changed meanwhile.
            UploadError: a file could not be uploaded.
            LumaError: the server cannot be asked, or the journal cannot be read.

        """
        references: dict[str, FileReference] = {}
        problems: dict[str, str] = {}
        errors: list[LumaError] = []

        async def obtain(place: str, item: UploadItem) -> None:
            try:
                references[place] = FileReference(await self._id_of(item))
            except UnusableFileError as error:
                problems[place] = f"{item} {error}"
            except LumaError as error:
                errors.append(error)

        async with asyncio.TaskGroup() as group:
            for place, item in self._to_upload(request).items():
                group.create_task(obtain(place, item), name="luma-async upload")
        if problems:
            raise InvalidRequestError(problems)
        if errors:
            try:
                raise errors[0]
            finally:
                errors.clear()  # otherwise the error and its traceback refer to each other
        return request.with_images(references)

    async def forget_missing(self, request: JobRequest, sent: JobRequest) -> bool:
        """Return `True` if a file in `sent`, from `replace(request)`, is not at the server.

        Such a file is forgotten.
        """
        missing = False
        used = sent.images()
        for place, item in self._to_upload(request).items():
            id = used[place].id
            try:
                seen = await self._uploader.find(id)
            except LumaError:
                return False
            if seen is None or not _is_usable(seen):
                missing = True
                known = self._known.get(item.content.sha256)
                if known is not None and known.id == id:
                    del self._known[item.content.sha256]
        return missing

    def _to_upload(self, request: JobRequest) -> dict[str, UploadItem]:
        """Return the files of a request that are not sent within it, by their place."""
        found: dict[str, Image | LocalFile] = {}
        inline: list[tuple[int, str, Image]] = []
        for place, image in request.images().items():
            if isinstance(image, LocalFile):
                found[place] = image
            elif isinstance(image, Image):
                is_video = request.kind_at(place) == "video"
                if is_video or image.size > self._calls.inline_limit:
                    found[place] = image
                else:
                    inline.append((image.size, place, image))
        total = sum(size for size, _, _ in inline)
        inline.sort(key=lambda each: each[:2])
        while total > self._calls.inline_total:
            size, place, image = inline.pop()
            total -= size
            found[place] = image
        return {
            place: UploadItem(image, "reference" if place.startswith("references") else "input")
            for place, image in found.items()
        }

    async def _id_of(self, item: UploadItem) -> str:
        digest = item.content.sha256
        known = self._known.get(digest)
        if known is None or not _is_usable(known):
            known = await self._flights.result(digest, partial(self._obtain, item))
        self._known.pop(digest, None)
        self._known[digest] = known
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return known.id

    async def _obtain(self, item: UploadItem) -> StoredFile:
        """Return the record of a file that is ready at the server, and upload it if it is not."""
        file = await self._remembered(item.content.sha256)
        if file is None:
            file = await self._uploader.upload(item)
            await self._remember(item.content.sha256, file.id)
            file = await self._uploader.checked(file)
        if file.state is StoredState.PENDING:
            raise UploadError(f"The server does not finish checking the file {file.id} ({item}).")
        if file.state is not StoredState.READY:
            why = file.failure_reason or f"it is {file.state}"
            raise UnusableFileError(f"was rejected by the server: {why}")
        return file

    async def _remembered(self, digest: str) -> StoredFile | None:
        """Return the file with this content that the journal remembers, if it can be used."""
        if self._memory is None:
            return None
        id = await self._memory.find_file(self._server, digest)
        file = None if id is None else await self._uploader.find(id)
        if file is None or file.state in (StoredState.FAILED, StoredState.DELETED):
            return None
        file = await self._uploader.checked(file)
        return file if _is_usable(file) else None

    async def _remember(self, digest: str, id: str) -> None:
        """Store the id of a file. The server may still be checking it."""
        if self._memory is None:
            return
        try:
            await self._memory.remember_file(self._server, digest, id)
        except JournalError as error:
            logger.warning("The file %s will be uploaded again next time. %s", id, error)


def _is_usable(file: StoredFile) -> bool:
    return file.state is StoredState.READY and file.lasts(datetime.now(UTC))
