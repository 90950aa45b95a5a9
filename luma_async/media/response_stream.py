"""Response stream: the content of a response, decoded if necessary, at a minimum speed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import aiohttp

from luma_async.file_types import HEAD_SIZE
from luma_async.media.content_encoding import Decoder
from luma_async.media.speed import MinimumSpeed
from luma_async.transport.response_body import next_chunk


class ResponseStream:
    """Read the content of a response piece by piece."""

    def __init__(self, stream: aiohttp.StreamReader, speed: MinimumSpeed) -> None:
        self._stream = stream
        self._speed = speed
        self.paused = speed.paused
        """Context manager that suspends the check of the minimum speed while the client itself does
        not read."""
        self._raw = b""
        self._pieces: Iterator[bytes] = iter(())
        self._decoders: Sequence[Decoder] = ()

    async def peek_raw(self) -> bytes:
        """Return at least `HEAD_SIZE` undecoded bytes, if there are as many, without using them."""
        while len(self._raw) < HEAD_SIZE and (chunk := await self._receive()):
            self._raw += chunk
        return self._raw

    def decode(self, decoders: Sequence[Decoder]) -> None:
        """Decode the content by these decoders, in their order."""
        self._decoders = decoders

    async def head(self) -> bytes:
        """Return at least the first `HEAD_SIZE` bytes of the content, if there are as many."""
        head = b""
        while len(head) < HEAD_SIZE and (piece := await self.next_piece()):
            head += piece
        return head

    async def next_piece(self) -> bytes:
        """Return the next piece of the content, `b""` at its end.

        Raises:
            DecodingError: the content is not in the encoding that its header names.
            EOFError: the encoded content is truncated.

        """
        while True:
            if piece := next(self._pieces, b""):
                if self._decoders:
                    await asyncio.sleep(0)  # one chunk may become many pieces
                return piece
            raw, self._raw = self._raw or await self._receive(), b""
            if not raw:
                if not all(each.is_at_end for each in self._decoders):
                    raise EOFError
                return b""
            if not self._decoders:
                return raw
            self._pieces = _decoded(raw, self._decoders)

    async def _receive(self) -> bytes:
        chunk = await next_chunk(self._stream)
        self._speed.add(len(chunk))
        return chunk


def _decoded(data: bytes, decoders: Sequence[Decoder]) -> Iterator[bytes]:
    if not decoders:
        yield data
        return
    for piece in decoders[0].decode(data):
        yield from _decoded(piece, decoders[1:])
