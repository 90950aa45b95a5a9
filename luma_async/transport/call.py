"""One HTTP call, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from luma_async.transport.body import Body

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """What to send, and how to read the answer.

    `path` comes escaped and begins with a slash. `read` turns the body of a good answer into
    the result, or raises `ResponseError`. `submits` marks a call that costs money when it is
    repeated. `missing` says what a 404 or 405 means here, where that is not plain.
    `rejection_codes` are error codes that this server gives only where it made no job.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | Body | None = None
    submits: bool = False
    missing: str | None = None
    rejection_codes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
