"""The content of an answer as it arrives: decoded if need be, and measured."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import aiohttp

from luma_async.media.content_encoding import Decoder
from luma_async.media.file_types import HEAD
from luma_async.media.speed import SpeedLimit
from luma_async.transport.response_body import next_chunk


class Arriving:
    """Reads the content of an answer, piece by piece."""

    def __init__(self, stream: aiohttp.StreamReader, speed: SpeedLimit) -> None:
        self._stream = stream
        self._speed = speed
        self._raw = b""
        self._pieces: Iterator[bytes] = iter(())
        self._decoders: Sequence[Decoder] = ()

    @property
    def is_decoded(self) -> bool:
        """Whether the content is other than what the host sends."""
        return bool(self._decoders)

    async def raw_head(self) -> bytes:
        """Return enough of what arrives first to tell what it is; it is read again later."""
        while len(self._raw) < HEAD and (chunk := await self._received()):
            self._raw += chunk
        return self._raw

    def decode(self, decoders: Sequence[Decoder]) -> None:
        """Decode all of it, by one decoder after another."""
        self._decoders = decoders

    async def head(self) -> bytes:
        """Return enough of the content to tell what it is; the rest follows it."""
        head = b""
        while len(head) < HEAD and (piece := await self.next_piece()):
            head += piece
        return head

    async def next_piece(self) -> bytes:
        """Return some content, nothing at the end.

        Raises:
            ContentError: it is not of the coding that it is said to be.
            EOFError: it is coded, and its end is missing.

        """
        while True:
            if piece := next(self._pieces, b""):
                if self._decoders:
                    await asyncio.sleep(0)  # one chunk may be many pieces
                return piece
            raw, self._raw = self._raw or await self._received(), b""
            if not raw:
                if not all(each.is_at_end for each in self._decoders):
                    raise EOFError
                return b""
            if not self._decoders:
                return raw
            self._pieces = _decoded(raw, self._decoders)

    def paused(self) -> AbstractContextManager[None]:
        """Measure no speed meanwhile, as nothing is read for reasons of our own."""
        return self._speed.paused()

    async def _received(self) -> bytes:
        chunk = await next_chunk(self._stream)
        self._speed.arrived(len(chunk))
        return chunk


def _decoded(data: bytes, decoders: Sequence[Decoder]) -> Iterator[bytes]:
    if not decoders:
        yield data
        return
    for piece in decoders[0].decode(data):
        yield from _decoded(piece, decoders[1:])
