"""One HTTP call, as data."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic_core import to_json

from luma_async.image_sources import Image

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """What to send, and how to read the answer.

    `path` comes escaped and begins with a slash. `read` turns the body of a good answer into
    the result, or raises `ResponseError`. `submits` marks a call that costs money when it is
    repeated, `looks` one that asks how jobs stand; a limit that one kind meets does not slow the
    others. `missing` says what a 404 or 405 means here, where that is not plain.
    `rejection_codes` are error codes that this server gives only where it made no job.

    `rows`, of a call about many jobs, yields the rows of a long answer one by one, each with its id
    and the JSON that it was read from. It raises `ValueError` where only `read` can read it.
    `read_in_steps` does what `read` does, with pauses, and yields how many bytes it has read.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | Body | None = None
    submits: bool = False
    looks: bool = False
    missing: str | None = None
    rejection_codes: frozenset[str] = frozenset()
    rows: Callable[[bytes], Iterable[tuple[str, Any, bytes]]] | None = None
    read_in_steps: Callable[[bytes], Generator[int, None, T]] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


STEP = 3 * 2**16
"""Bytes of an image that are encoded at a time; a multiple of three, so that pieces join."""


class Body:
    """A JSON object whose images become data URIs on their way out.

    Whole, the text of an image of 20 MiB takes as much again and more in memory, and each pass
    over it holds the event loop for tens of milliseconds.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._parts: list[bytes | memoryview] = []
        between = b"{"
        for name, value in fields.items():
            between += to_json(name) + b":"
            if isinstance(value, Image):
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
