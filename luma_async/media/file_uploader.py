"""File uploader: bring a local file or an image in memory to the server, in steps that repeat.

None of the steps costs money. The bytes go to a media host, without the API key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import anyio
from yarl import URL

from luma_async.dialects.file_calls import (
    FileCalls,
    FilePurpose,
    PresignedUpload,
    StoredFile,
    StoredState,
)
from luma_async.errors import APIError, InvalidRequestError, UploadError
from luma_async.image_sources import Image, LocalFile
from luma_async.media.addresses import PrivateAddressError
from luma_async.media.link_urls import link_url
from luma_async.media.requester import Requester
from luma_async.media.speed import TooSlowError
from luma_async.media.upload_content import ChangedFileError, UploadContent
from luma_async.transport import Transport
from luma_async.transport.request_log import log_request, logs_requests
from luma_async.transport.retry_policy import retry_delays
from luma_async.transport.upload import SLOWEST_UPLOAD

logger = logging.getLogger("luma_async")

UPLOADS_AT_ONCE = 4
"""Maximum number of files that are sent at a time, because all share one line."""

INGEST_TIMEOUT = 900.0
"""Seconds that the server may take to check a file."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks at a file that the server is checking: the first pause, and the
longest."""

_BUSY = frozenset({408, 425, 429})
_UNUSABLE_PLACE = frozenset({400, 404, 409, 410, 422})
"""Statuses after which another upload may succeed where this one did not."""


class UnusableFileError(Exception):
    """Signal that the server or this client rejects the content of a file."""


@dataclass(frozen=True, slots=True)
class UploadItem:
    """Content to upload, with its use in the request."""

    content: Image | LocalFile
    purpose: FilePurpose

    @property
    def filename(self) -> str | None:
        """Name of a local file, without its folder."""
        return Path(self.content.path).name if isinstance(self.content, LocalFile) else None

    def __str__(self) -> str:
        size = f"{self.content.size / 2**20:.1f} MiB"
        return f"the {self.content.media_type} of {size}" + (
            f" ({self.filename!r})" if self.filename else ""
        )


class _PutError(Exception):
    """Failed `PUT`. `is_place_spent` is `True` if another place must be asked for."""

    retry_after: float | None = None

    def __init__(self, text: str, *, is_place_spent: bool) -> None:
        super().__init__(text)
        self.is_place_spent = is_place_spent


class FileUploader:
    """Uploads of files to one server."""

    def __init__(
        self,
        transport: Transport,
        requester: Requester,
        calls: FileCalls,
        *,
        timeout: float,
        max_tries: int,
    ) -> None:
        self._transport = transport
        self._requester = requester
        self._calls = calls
        self._timeout = timeout
        self._max_tries = max_tries
        self._base = URL(f"{transport.base_url}/")
        self._slots = anyio.Semaphore(UPLOADS_AT_ONCE, fast_acquire=True)

    async def upload(self, item: UploadItem) -> StoredFile:
        """Upload a file, and return its record. The server may still have to check it.

        Raises:
            UnusableFileError: the local file has changed, or cannot be read any more.
            UploadError: the media host did not accept the file.
            LumaError: as in `Transport.call()`.

        """
        async with self._slots:
            began = time.monotonic()
            file = await self._persist(item)
            seconds = time.monotonic() - began
            logger.info("Uploaded %s as file %s in %.1f s.", item, file.id, seconds)
            return file

    async def find(self, id: str) -> StoredFile | None:
        """Return the record of a file, `None` if this API key cannot use it.

        Raises:
            LumaError: the server cannot be asked.

        """
        try:
            return await self._transport.call(self._calls.get(id))
        except InvalidRequestError:  # of a journal that somebody has edited
            return None
        except APIError as error:
            if error.status in {401, 429} or error.status >= 500:
                raise
            return None

    async def checked(self, file: StoredFile) -> StoredFile:
        """Wait while the server checks a file, and return its last record.

        It is `PENDING` if the server takes too long.

        Raises:
            LumaError: the server cannot be asked.

        """
        pause, until = FIRST_PAUSE, time.monotonic() + INGEST_TIMEOUT
        while file.state is StoredState.PENDING and time.monotonic() < until:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
            file = await self._transport.call(self._calls.get(file.id))
        return file

    async def _persist(self, item: UploadItem) -> StoredFile:
        """Upload a file, and repeat that as a whole. Repeating is safe: a `PUT` replaces itself."""
        delays = retry_delays()
        next(delays)
        created: tuple[StoredFile, PresignedUpload] | None = None
        tries = 0
        while True:
            if created is None or _has_expired(created[1]):
                created = await self._create(item)
            tries += 1
            failed: _PutError | None = None
            try:
                await self._put(item.content, created[1])
                return await self._complete(created[0])
            except _PutError as error:
                failed = error
            if tries >= self._max_tries:
                raise UploadError(f"{_begin(item)} was not uploaded: {failed}. Nothing was sent.")
            if failed.is_place_spent:
                created = None
            pause = delays.send(failed)
            logger.info("%s was not uploaded: %s. Trying again in %.1f s.", item, failed, pause)
            await asyncio.sleep(pause)

    async def _create(self, item: UploadItem) -> tuple[StoredFile, PresignedUpload]:
        content = item.content
        return await self._transport.call(
            self._calls.create(
                media_type=content.media_type,
                size=content.size,
                filename=item.filename,
                purpose=item.purpose,
            )
        )

    async def _put(self, content: Image | LocalFile, place: PresignedUpload) -> None:
        """Send the bytes once.

        Raises:
            UnusableFileError: the local file has changed, or cannot be read any more.
            UploadError: the place must not be used.
            _PutError: the media host did not accept the bytes.

        """
        url = self._checked_url(place.url)
        body = UploadContent(content, lowest_speed=SLOWEST_UPLOAD, within=self._timeout)
        began, status = time.monotonic(), 0
        try:
            status = await self._requester.put(url, place.headers, body)
        except PrivateAddressError as error:
            why = (
                f"{error}, and the server is not in such a network; "
                "allow_private_media=True allows it"
            )
            raise UploadError(f"The media host is not used: {why}.") from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            text = _explained(error, body)
        else:
            text = f"the media host answered HTTP {status}"
        if logs_requests():
            log_request("PUT %s: %d after %.3f s", url.host, status, time.monotonic() - began)
        if isinstance(body.problem, ChangedFileError):
            raise UnusableFileError(str(body.problem))
        if not 200 <= status < 300:
            # Object stores answer 400 and 403 to signatures that are not valid any more.
            is_passing = status == 0 or status >= 500 or status in _BUSY
            raise _PutError(text, is_place_spent=not is_passing)

    async def _complete(self, file: StoredFile) -> StoredFile:
        """Tell the server that all bytes are there.

        The answer to an earlier try may be lost. A server that then rejects the call has the file.

        Raises:
            _PutError: the server does not have the file.
            LumaError: the server cannot be asked.

        """
        try:
            return await self._transport.call(self._calls.complete(file.id))
        except APIError as error:
            if error.status not in _UNUSABLE_PLACE:
                raise
            text = f"the server did not take it ({error})".replace(".)", ")")
        seen = await self.find(file.id)
        if seen is None or seen.state is StoredState.PENDING:
            raise _PutError(text, is_place_spent=True)
        return seen

    def _checked_url(self, text: str) -> URL:
        """Return the URL of a place for an upload, if it is encrypted or at the server itself."""
        url = link_url(text, self._base)
        if url is None:
            raise UploadError("The server gave an invalid URL for the upload.")
        if url.scheme != "https" and url.host != self._base.host:
            raise UploadError(
                f"The server asks for the upload at {url.host} without encryption, which is not "
                "done."
            )
        return url


def _has_expired(place: PresignedUpload) -> bool:
    return place.expires_at is not None and place.expires_at <= datetime.now(UTC)


def _explained(error: Exception, body: UploadContent) -> str:
    """Return the reason of a failed `PUT`, without the signature that its URL contains."""
    if isinstance(body.problem, TooSlowError):
        return (
            f"fewer than {SLOWEST_UPLOAD / 2**10:g} KiB per second left; "
            "a larger timeout allows for longer pauses"
        )
    if isinstance(error, TimeoutError):
        return "the media host did not answer in time"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
        return "the media host closed the connection, or did not answer in HTTP"
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return "the media host has an invalid name"
    return f"the connection to the media host failed ({type(error).__name__})"


def _begin(item: UploadItem) -> str:
    text = str(item)
    return text[:1].upper() + text[1:]
