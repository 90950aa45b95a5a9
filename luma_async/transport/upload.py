"""Upload: the body of one try of a submission. It records if the whole body has left."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from luma_async.concurrency import EndableWaits
from luma_async.transport.call import Body
from luma_async.transport.connection_reuse import ConnectionChoice

SLOWEST_UPLOAD = 64 * 2**10
"""Minimum speed of the upload of an image, in bytes per second; a slower one times out."""

SEND_BUFFER = 4 * 2**20
"""Bytes that the operating system may still hold after the program has sent them. This is the
maximum of Linux's `tcp_wmem`."""


class Confirmable(Protocol):
    """Permission to send a submission. It may be withdrawn until the last byte has left."""

    async def confirm(self) -> None:
        """Check the permission once more, and raise an error if it was withdrawn."""


class Upload(aiohttp.Payload):
    """Body of one try of a submission.

    aiohttp calls `write()` once it has a connection, and before anything but the headers is sent.
    Until the last piece is handed over, no server can accept the job, because its body is not
    complete. So the permission to send is checked before each piece: `record.confirm()` raises an
    error if the claim of the job key was lost, and `waits` have ended if the client was closed.
    Before the first piece, `choice` checks the connection, which the server may have closed.

    Any failure while `has_left` is false has made no job.
    """

    _autoclose = True  # there is nothing to close

    def __init__(
        self,
        body: bytes | Body,
        *,
        record: Confirmable | None,
        waits: EndableWaits,
        choice: ConnectionChoice,
    ) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._body = body
        self._record = record
        self._waits = waits
        self.choice = choice
        self.was_requested = False
        """`True` if aiohttp began to send this body. Middleware of a session may send another."""
        self.has_left = False
        """`True` if the last piece was handed over. Without it, no server can read the body."""
        self.held_back: Exception | None = None
        """The error of `record.confirm()`, if there was one."""
        self.is_unfit = False
        """`True` if the connection cannot be used; another one may be."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole body as text; middleware of aiohttp may call this."""
        return bytes(self._body).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body to a connection, piece by piece, and only once.

        Middleware of the caller's session may try to send it again, which could pay twice.
        """
        self.was_requested = True
        if self.has_left:
            raise InterruptedError("a submission is sent once")
        await self.choice.settle(writer)
        self._check_connection(writer)
        pieces = iter((self._body,) if isinstance(self._body, bytes) else self._body)
        piece: bytes | None = next(pieces)
        await self._check_permission()
        if self._record is not None:  # this may have taken a while
            self._check_connection(writer)
        while piece is not None:
            following = next(pieces, None)
            self.has_left = self.has_left or following is None
            await writer.write(piece)
            piece = following
            if piece is not None:
                # A fast server would accept all pieces in one turn of the event loop.
                await asyncio.sleep(0)
                await self._check_permission()

    def _check_connection(self, writer: AbstractStreamWriter) -> None:
        """Raise an error if the server may have closed the connection."""
        self.is_unfit = not self.choice.is_usable(writer)
        if self.is_unfit:
            raise ConnectionAbortedError("the connection was idle for too long, or is closed")

    async def _check_permission(self) -> None:
        """Raise an error if the next piece must not be sent."""
        if self._record is not None:
            try:
                await self._record.confirm()
            except Exception as error:
                self.held_back = error
                raise
        if self._waits.have_ended:
            raise InterruptedError("the client was closed")


def time_to_send(size: int, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientTimeout:
    """Return a timeout that allows for the upload of so many bytes.

    The time for the answer begins when the last byte has been sent. It left the program earlier
    than the machine, because of the operating system's buffer.
    """
    total, buffered = timeout.total or 0.0, min(size, SEND_BUFFER)
    return aiohttp.ClientTimeout(
        total=total + (size + buffered) / SLOWEST_UPLOAD,
        connect=timeout.connect,
        sock_read=total + buffered / SLOWEST_UPLOAD,
    )
