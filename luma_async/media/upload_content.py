"""Upload content: the bytes of a file as the body of a `PUT`, from memory or from the disk."""

from __future__ import annotations

import hashlib
from functools import partial

import aiohttp
import anyio.to_thread
from aiohttp.abc import AbstractStreamWriter

from luma_async.image_sources import Image, LocalFile
from luma_async.media.speed import MinimumSpeed, TooSlowError

PIECE = 2**19
"""Bytes that are read and sent at a time."""


class ChangedFileError(Exception):
    """Signal that a local file is not the one that was checked, or cannot be read any more."""


class UploadContent(aiohttp.Payload):
    """Body of one `PUT`. It is sent in pieces, and never copied as a whole.

    At least `lowest_speed` bytes per second must leave, over each `within` seconds. aiohttp raises
    an error of its own in place of one in `write()`; that is `problem`.
    """

    _autoclose = True  # there is nothing to close

    def __init__(self, content: Image | LocalFile, *, lowest_speed: float, within: float) -> None:
        super().__init__(content, content_type=content.media_type)
        self._content = content
        self._size = content.size
        self._speed = MinimumSpeed(lowest_speed, within)
        self.problem: ChangedFileError | TooSlowError | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002  of aiohttp
        """Raise an error: the content is not text."""
        raise TypeError("the content of a file is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the content to a connection, piece by piece."""
        start, digest = 0, hashlib.sha256()
        try:
            async with self._speed as speed:
                while start < self._content.size:
                    piece = await self._piece(start, digest)
                    start += len(piece)
                    await writer.write(piece)
                    speed.add(len(piece))
        except (ChangedFileError, TooSlowError) as error:
            self.problem = error
            raise

    async def _piece(self, start: int, digest: hashlib._Hash) -> memoryview | bytes:
        content = self._content
        if isinstance(content, Image):
            return content.data[start : start + PIECE]
        # Reading may never end; the thread is abandoned if the upload is cancelled.
        read = partial(_read, content, start, digest)
        piece = await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        # The last piece completes the file, so it is held back if the digest is another one.
        is_last = start + len(piece) == content.size
        if not piece or (is_last and digest.hexdigest() != content.sha256):
            raise ChangedFileError("has changed since it was checked")
        return piece


def _read(file: LocalFile, start: int, digest: hashlib._Hash) -> bytes:
    try:
        # Opened for each piece, so that an abandoned thread leaves nothing open.
        with open(file.path, "rb", buffering=0) as opened:  # noqa: PTH123  cheaper than Path.open
            opened.seek(start)
            piece = opened.read(min(PIECE, file.size - start))
    except OSError as error:
        raise ChangedFileError(f"cannot be read: {error.strerror or error}") from None
    digest.update(piece)
    return piece
