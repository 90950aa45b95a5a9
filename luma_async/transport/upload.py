"""Upload: the body of one try of a submission, which records if it has left."""

from __future__ import annotations

import asyncio
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from luma_async.concurrency import EndableWaits
from luma_async.transport.call import Body
from luma_async.transport.connection_reuse import ConnectionChoice


class Confirmable(Protocol):
    """Permission to send a submission, which may be withdrawn until the last byte has left."""

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
        """`True` if the last piece was handed over, without which no server can read the body."""
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
