"""Body: JSON with pictures in it, which is put together while it is sent."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from pydantic_core import to_json

from luma_async.pictures import Picture

STEP = 3 * 2**16
"""Bytes of a picture that are encoded at a time; a multiple of three, so that pieces join."""


class Body:
    """A JSON object whose pictures become data URIs on their way out.

    Whole, the text of a picture of 20 MiB takes as much again and more in memory, and each pass
    over it holds the event loop for tens of milliseconds.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._parts: list[bytes | memoryview] = []
        between = b"{"
        for name, value in fields.items():
            between += to_json(name) + b":"
            if isinstance(value, Picture):
                self._parts.append(between + f'"data:{value.media_type};base64,'.encode())
                self._parts.append(value.data)
                between = b'"'
            else:
                between += to_json(value)
            between += b","
        self._parts.append(between.removesuffix(b",") + b"}")

    def __len__(self) -> int:
        """Return the bytes that will be sent."""
        return sum(
            -(-len(part) // 3) * 4 if isinstance(part, memoryview) else len(part)
            for part in self._parts
        )

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        """Yield it piece by piece. The last one is more than nothing, and ends the object."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, len(part), STEP):
                yield binascii.b2a_base64(part[start : start + STEP], newline=False)


class Upload:
    """One sending of a body, which knows whether all of it has left.

    Once `is_off()` the rest stays here: what a server has not read whole it has not taken.
    """

    def __init__(self, body: Body, *, is_off: Callable[[], bool]) -> None:
        self._pieces = iter(body)
        self._next: bytes | None = next(self._pieces)
        self._is_off = is_off

    @property
    def has_left(self) -> bool:
        """Whether the end was handed on, without which no server can read the body."""
        return self._next is None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._next is None:
            raise StopAsyncIteration
        await asyncio.sleep(0)  # a quick server takes it all at once, and the loop has more to do
        if self._is_off():
            raise InterruptedError("the client was closed")
        piece, self._next = self._next, next(self._pieces, None)
        return piece
