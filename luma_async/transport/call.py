"""One HTTP call, as data."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from luma_async.transport.body import Body

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
