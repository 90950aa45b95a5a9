"""Content encodings: decode a `Content-Encoding` that was not requested (RFC 9110, 8.4).

Requests ask for files without encoding. Some hosts compress them nevertheless, and some declare an
encoding although they send the file without one.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

PIECE_SIZE = 2**20
"""Maximum number of bytes decoded at a time. A few encoded bytes may become gigabytes."""

_NO_ENCODINGS = frozenset({"", "identity", "binary", "aws-chunked"})
"""Names that are not encodings. The last two are remnants of uploads to object stores."""

DECODABLE = frozenset({"gzip", "deflate", "br", "zstd"})
"""Encodings that can be decoded. A file with any other encoding is saved as it was sent."""


class DecodingError(Exception):
    """Content that cannot be decoded."""


class Decoder(Protocol):
    """Incremental decoder of one encoding."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of the next bytes in pieces of at most `PIECE_SIZE` bytes.

        Raises:
            DecodingError: the bytes are not in this encoding.

        """

    @property
    def is_at_end(self) -> bool:
        """`True` if the encoded content is complete."""


class _Zlib:
    """Decoder of gzip, of any number of members, and of deflate, with or without a zlib header."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._inner: Any = None
        self._done = False

    @property
    def is_at_end(self) -> bool:
        return self._done

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None:
                if self._done and (not self._is_gzip or not data.startswith(b"\x1f")):
                    return  # padding after the last member
                self._inner, self._done = self._new_decompressor(data), False
            try:
                piece = self._inner.decompress(data, PIECE_SIZE)
                data = self._inner.unconsumed_tail
                while len(piece) == PIECE_SIZE and not data and not self._inner.eof:
                    yield piece
                    piece = self._inner.decompress(b"", PIECE_SIZE)
            except zlib.error as error:
                raise DecodingError(str(error)) from None
            if piece:
                yield piece
            if self._inner.eof:
                data, self._inner, self._done = self._inner.unused_data, None, True

    def _new_decompressor(self, data: bytes) -> Any:
        if self._is_gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        has_header = data[0] & 0x0F == 8 and (len(data) < 2 or int.from_bytes(data[:2]) % 31 == 0)
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


class _Brotli:
    """Decoder of br. It needs brotli 1.2, the first version with a limit for the output."""

    def __init__(self, module: Any) -> None:
        self._inner = module.Decompressor()
        self._error = module.error

    @property
    def is_at_end(self) -> bool:
        return bool(self._inner.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._inner.process(data, output_buffer_limit=PIECE_SIZE)
            while piece:
                yield piece
                if self._inner.can_accept_more_data():
                    return
                piece = self._inner.process(b"", output_buffer_limit=PIECE_SIZE)
        except self._error as error:
            raise DecodingError(str(error)) from None


class _Zstandard:
    """Decoder of zstd, of any number of frames."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._inner: Any = None

    @property
    def is_at_end(self) -> bool:
        return self._inner is not None and bool(self._inner.eof)

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._inner is None or self._inner.eof:
                    self._inner = self._module.ZstdDecompressor()
                if piece := self._inner.decompress(data, PIECE_SIZE):
                    yield piece
                while not self._inner.needs_input and not self._inner.eof:
                    if piece := self._inner.decompress(b"", PIECE_SIZE):
                        yield piece
                data = self._inner.unused_data if self._inner.eof else b""
        except self._module.ZstdError as error:
            raise DecodingError(str(error)) from None


def content_encodings(header: str) -> tuple[str, ...]:
    """Return the encodings in a `Content-Encoding` header, in the order in which they were applied.

    >>> content_encodings("identity"), content_encodings("GZIP, br")
    ((), ('gzip', 'br'))
    """
    names = (
        name.partition(";")[0].strip().lower().removeprefix("x-") for name in header.split(",")
    )
    return tuple(name for name in names if name not in _NO_ENCODINGS)


def decoder_for(encoding: str) -> Decoder | None:
    """Return a new decoder, `None` for an unknown encoding.

    Raises:
        DecodingError: the encoding needs a package that is not installed.

    """
    if encoding in ("gzip", "deflate"):
        return _Zlib(is_gzip=encoding == "gzip")
    if encoding == "br":
        module = _module("brotli")
        if module is not None and hasattr(module.Decompressor, "can_accept_more_data"):
            return _Brotli(module)
        raise DecodingError("br needs the package brotli 1.2 or later")
    if encoding == "zstd":
        module = _module("compression.zstd") or _module("backports.zstd")
        if module is not None:
            return _Zstandard(module)
        raise DecodingError("zstd needs the package backports.zstd")
    return None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
