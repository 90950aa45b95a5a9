"""LongAnswer: a long array of JSON objects, taken apart so that it can be read in steps. Pure.

To read megabytes of JSON at once holds the event loop for a quarter of a second, most of it spent
by the garbage collector on what was just read and is not needed any more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from pydantic_core import from_json

T = TypeVar("T")

LONG = 256 * 2**10
"""Bytes from which an answer is read in steps; a shorter one takes less than 10 ms at once."""

STEP = 64 * 2**10
"""Bytes after which others have their turn."""

# Written so that no text matches in two ways: a pattern that fails then takes linear time, without
# possessive quantifiers, which Python before 3.11.5 matches wrongly.
_BLANK = rb"[ \t\r\n]*"
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_MEMBER = rb"%b%b:%b(?:%b|[^][{}\",:\s]+)%b,%b" % (
    _STRING, _BLANK, _BLANK, _STRING, _BLANK, _BLANK,
)  # fmt: skip
_BEGIN = re.compile(
    rb'%b(?:\{%b(?:%b)*"data"%b:%b)?\[%b' % (_BLANK, _BLANK, _MEMBER, _BLANK, _BLANK, _BLANK),
    re.DOTALL,
)
"""A bare array, or one in an envelope that has nothing but texts and numbers before it."""

_TO_BRACE = re.compile(rb'[^"{}]*(?:%b[^"{}]*)*[{}]' % _STRING, re.DOTALL)
_TO_NEXT = re.compile(rb"%b,%b(?=\{)" % (_BLANK, _BLANK))
_TO_END = re.compile(rb"%b(?=\])" % _BLANK)


class LongAnswer:
    """The rows of an array, bare or as `data` of an envelope, each as JSON of its own.

    `envelope` is the answer without its rows, once all of them have been taken.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.envelope: Any = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield one row after another.

        Raises:
            ValueError: it is not written like that, or it breaks off.

        """
        body = self._body
        begin = _BEGIN.match(body)
        if begin is None:
            raise ValueError("it is no array of rows")
        position = begin.end()
        is_at_row = body.startswith(b"{", position)
        while is_at_row:
            end = _end_of_object(body, position)
            yield body[position:end]
            to_next = _TO_NEXT.match(body, end)
            is_at_row = to_next is not None
            position = to_next.end() if to_next else end
        to_end = _TO_END.match(body, position)
        if to_end is None:
            raise ValueError("it has something else than rows")
        rest = body[to_end.end() :]
        if b'"data"' in rest:  # the last one of a name counts
            raise ValueError("it has several arrays")
        self.envelope = from_json(body[: begin.end()] + rest)


def _end_of_object(body: bytes, start: int) -> int:
    depth, position = 0, start
    while True:
        found = _TO_BRACE.match(body, position)
        if found is None:
            raise ValueError("it breaks off")
        position = found.end()
        depth += 1 if body[position - 1] == ord("{") else -1
        if depth == 0:
            return position


async def in_turns(steps: Generator[int, None, T]) -> T:
    """Run a reader that yields how many bytes it has read; others have their turn in between."""
    since_turn = 0
    while True:
        try:
            since_turn += next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if since_turn >= STEP:
            since_turn = 0
            await asyncio.sleep(0)
