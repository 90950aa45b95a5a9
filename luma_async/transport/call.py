"""Call: one HTTP call as data, with its JSON body."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic_core import to_json

from luma_async.image_sources import Image

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """HTTP call of a dialect: the request to send, and the functions that read the answer.

    Attributes:
        method: the HTTP method.
        path: the escaped path. It begins with a slash, and is appended to the base URL.
        read: parses the body of a successful answer, or raises `ResponseError`.
        body: the JSON to send.
        submits: `True` if the call submits a job, and would be paid for again if repeated.
        looks: `True` if the call polls jobs. Submissions, polls and other calls are limited
            separately, so that a 429 for one kind does not slow the others.
        missing: the advice for a 404 or 405, if it is not obvious.
        query: the names and values of the query.
        deletes: `True` if the call deletes. When it is repeated because an answer was lost, a 404
            means that the first one was carried out.
        sent_ids: ids in the body, of jobs and files that the server knows. An error that names one
            of them names no new job.
        rejection_codes: error codes that this server sends only if it made no job.
        own_header: the header that all answers of the server itself have, unlike those of a proxy.
        own_rejections: statuses that the server itself sends only if it made no job. They count in
            answers with `own_header`.
        rows: yields the rows of a long answer about many jobs one by one, each with its id and its
            JSON. Raises `ValueError` if only `read` can parse the answer.
        read_in_steps: does the work of `read` in steps, and yields the number of bytes of each. It
            is used for long answers.

    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | Body | None = None
    submits: bool = False
    looks: bool = False
    missing: str | None = None
    sent_ids: frozenset[str] = frozenset()
    rejection_codes: frozenset[str] = frozenset()
    own_header: str | None = None
    own_rejections: frozenset[int] = frozenset()
    rows: Callable[[bytes], Iterable[tuple[str, Any, bytes]]] | None = None
    read_in_steps: Callable[[bytes], Generator[int, None, T]] | None = None
    query: Mapping[str, str] | None = None
    deletes: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


STEP = 3 * 2**16
"""Bytes of an image that are encoded at a time. A multiple of three, so that the pieces of Base64
can be joined."""


@dataclass(frozen=True, slots=True, eq=False)
class Base64:
    """Image that a body has as Base64, without the beginning of a data URI."""

    image: Image


def has_images(value: Any) -> bool:
    """Return `True` if there is an image somewhere in a JSON value, so that it needs a `Body`."""
    if isinstance(value, Mapping):
        return any(map(has_images, value.values()))
    if isinstance(value, list | tuple):
        return any(map(has_images, value))
    return isinstance(value, Image | Base64)


class Body:
    """JSON object whose images are encoded as Base64 piece by piece, while it is sent.

    An `Image` becomes a data URI, and a `Base64` the plain text.

    The whole text of an image of 20 MiB would take another 27 MiB of memory, and each pass over it
    would block the event loop for tens of milliseconds.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._parts: list[bytes | memoryview] = []
        self._between = b""
        self._add(fields)
        self._parts.append(self._between)

    def _add(self, value: Any) -> None:
        if isinstance(value, Base64):
            self._add_base64(b'"', value.image)
        elif isinstance(value, Image):
            self._add_base64(f'"data:{value.media_type};base64,'.encode(), value)
        elif isinstance(value, Mapping) and has_images(value):
            separator = b"{"
            for name, item in value.items():
                self._between += separator + to_json(name) + b":"
                self._add(item)
                separator = b","
            self._between += b"}"
        elif isinstance(value, list | tuple) and has_images(value):
            separator = b"["
            for item in value:
                self._between += separator
                self._add(item)
                separator = b","
            self._between += b"]"
        else:
            self._between += to_json(value)

    def _add_base64(self, before: bytes, image: Image) -> None:
        self._parts.append(self._between + before)
        self._parts.append(image.data)
        self._between = b'"'

    def __len__(self) -> int:
        """Return the number of bytes that will be sent."""
        return sum(
            -(-len(part) // 3) * 4 if isinstance(part, memoryview) else len(part)
            for part in self._parts
        )

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the JSON piece by piece. The last piece is not empty, and ends the object."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            for start in range(0, len(part), STEP):
                yield binascii.b2a_base64(part[start : start + STEP], newline=False)
