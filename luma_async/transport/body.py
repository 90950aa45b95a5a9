"""Body: JSON with pictures in it, which is put together while it is sent."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from luma_async.image_sources import Picture

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
