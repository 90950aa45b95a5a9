"""Upload: one sending of a submission's body, which knows whether it has left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from luma_async.transport.call import Body
from luma_async.transport.connection_reuse import ConnectionChoice


class Upload(aiohttp.Payload):
    """The body of one try of a submission.

    aiohttp asks for it once the connection is there and nothing but the headers has been handed
    over. Before each piece `may_leave` is awaited, and `is_off` asked: an error or a yes keeps the
    rest here, and a body that a server has not read whole it has not accepted. Before the first
    piece `ride` looks at the connection, which the server may have closed.
    Anything that goes wrong while `has_left` is false has therefore made no job, whatever it is.
    """

    _autoclose = True  # there is nothing to close

    def __init__(
        self,
        body: bytes | Body,
        *,
        may_leave: Callable[[], Awaitable[None]] | None,
        is_off: Callable[[], bool],
        choice: ConnectionChoice,
    ) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._body = body
        self._may_leave = may_leave
        self._is_off = is_off
        self._choice = choice
        self.is_asked_for = False
        """Whether aiohttp began to send it. Middleware of a session may send another body."""
        self.has_left = False
        """Whether the end was handed on, without which no server can read the body."""
        self.held_back: Exception | None = None
        """The error that kept the body here."""
        self.is_unfit = False
        """Whether the connection kept the body here: another one may take it."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the whole body as text, as middleware of aiohttp's may ask for it."""
        return bytes(self._body).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand the body to a connection, piece by piece, and only once.

        Middleware of the caller's session may want to send it again, which could pay twice.
        """
        self.is_asked_for = True
        if self.has_left:
            raise InterruptedError("a submission is sent once")
        await self._choice.settle(writer)
        self._look_at_connection(writer)
        pieces = _pieces(self._body)
        piece: bytes | None = next(pieces)
        await self._check()
        if self._may_leave is not None:  # which takes its time
            self._look_at_connection(writer)
        while piece is not None:
            following = next(pieces, None)
            self.has_left = self.has_left or following is None
            await writer.write(piece)
            piece = following
            if piece is not None:
                # A quick server takes it all at once, and the loop has more to do.
                await asyncio.sleep(0)
                await self._check()

    def _look_at_connection(self, writer: AbstractStreamWriter) -> None:
        """Raise if the server may have closed the connection: nothing has left on it."""
        self.is_unfit = not self._choice.is_usable(writer)
        if self.is_unfit:
            raise ConnectionAbortedError("the connection was idle for too long, or is closed")

    async def _check(self) -> None:
        """Raise what keeps the next piece here."""
        if self._may_leave is not None:
            try:
                await self._may_leave()
            except Exception as error:
                self.held_back = error
                raise
        if self._is_off():
            raise InterruptedError("the client was closed")


def _pieces(body: bytes | Body) -> Iterator[bytes]:
    return iter((body,)) if isinstance(body, bytes) else iter(body)
