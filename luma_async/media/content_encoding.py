"""Content codings: undo a `Content-Encoding` that was not asked for (RFC 9110, 8.4).

Files are asked for as they are. Some hosts compress them all the same, and some say so of files
that they send as they are.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

PIECE = 2**20
"""Bytes that are decoded at a time: a few bytes may become gigabytes, and should not at once."""

_PLAIN = frozenset({"", "identity", "binary", "aws-chunked"})
"""Codings that are none; the last two are what uploads leave behind."""


DECODABLE = frozenset({"gzip", "deflate", "br", "zstd"})
"""The codings that are known. A file that names another one is taken as it is."""


class ContentError(Exception):
    """Content that is not of the coding that its header names."""


class Decoder(Protocol):
    """Undoes a coding, piece by piece."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield the content of the next bytes, at most `PIECE` bytes at a time.

        Raises:
            ContentError: they are not of this coding.

        """

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is missing."""


class _Zlib:
    """gzip, which may have several members, and deflate, with or without its wrapping."""

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
                    return  # padding behind the last member
                self._inner, self._done = self._begun(data), False
            try:
                piece = self._inner.decompress(data, PIECE)
                data = self._inner.unconsumed_tail
                while len(piece) == PIECE and not data and not self._inner.eof:
                    yield piece
                    piece = self._inner.decompress(b"", PIECE)
            except zlib.error as error:
                raise ContentError(str(error)) from None
            if piece:
                yield piece
            if self._inner.eof:
                data, self._inner, self._done = self._inner.unused_data, None, True

    def _begun(self, data: bytes) -> Any:
        if self._is_gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        is_wrapped = data[0] & 0x0F == 8 and (len(data) < 2 or int.from_bytes(data[:2]) % 31 == 0)
        return zlib.decompressobj(zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS)


class _Brotli:
    """br, by brotli 1.2 or later, which decodes no more at once than it is asked for."""

    def __init__(self, module: Any) -> None:
        self._inner = module.Decompressor()
        self._error = module.error

    @property
    def is_at_end(self) -> bool:
        return bool(self._inner.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            piece = self._inner.process(data, output_buffer_limit=PIECE)
            while piece:
                yield piece
                if self._inner.can_accept_more_data():
                    return
                piece = self._inner.process(b"", output_buffer_limit=PIECE)
        except self._error as error:
            raise ContentError(str(error)) from None


class _Zstandard:
    """zstd, which may have several frames."""

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
                if piece := self._inner.decompress(data, PIECE):
                    yield piece
                while not self._inner.needs_input and not self._inner.eof:
                    if piece := self._inner.decompress(b"", PIECE):
                        yield piece
                data = self._inner.unused_data if self._inner.eof else b""
        except self._module.ZstdError as error:
            raise ContentError(str(error)) from None


def codings(header: str) -> tuple[str, ...]:
    """Return the codings that a `Content-Encoding` names, without those that are none.

    >>> codings("identity"), codings("GZIP, br")
    ((), ('gzip', 'br'))
    """
    said = (each.partition(";")[0].strip().lower().removeprefix("x-") for each in header.split(","))
    return tuple(each for each in said if each not in _PLAIN)


def decoder(coding: str) -> Decoder | None:
    """Return a decoder, `None` for a coding that is unknown.

    Raises:
        ContentError: the coding needs a package that is not installed.

    """
    if coding in ("gzip", "deflate"):
        return _Zlib(is_gzip=coding == "gzip")
    if coding == "br":
        module = _module("brotli")
        if module is not None and hasattr(module.Decompressor, "can_accept_more_data"):
            return _Brotli(module)
        raise ContentError("br needs the package brotli 1.2 or later")
    if coding == "zstd":
        module = _module("compression.zstd") or _module("backports.zstd")
        if module is not None:
            return _Zstandard(module)
        raise ContentError("zstd needs the package backports.zstd")
    return None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
