"""Long answer: an array of JSON objects, split into rows so that it can be parsed in steps. Pure.

Parsing megabytes of JSON at once blocks the event loop for a quarter of a second. The garbage
collector needs most of this time, for parsed objects that are no longer used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from pydantic_core import from_json

T = TypeVar("T")

MIN_LONG = 256 * 2**10
"""Minimum bytes of an answer that is parsed in steps. A shorter one takes less than 10 ms."""

STEP = 64 * 2**10
"""Bytes that are parsed before other tasks of the event loop may run."""

# No text can match these patterns in two ways, so that a failing match takes linear time.
# Possessive quantifiers would do the same, but Python before 3.11.5 matches them wrongly.
_BLANK = rb"[ \t\r\n]*"
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_MEMBER = rb"%b%b:%b(?:%b|[^][{}\",:\s]+)%b,%b" % (
    _STRING, _BLANK, _BLANK, _STRING, _BLANK, _BLANK,
)  # fmt: skip
_BEGIN = re.compile(
    rb'%b(?:\{%b(?:%b)*"data"%b:%b)?\[%b' % (_BLANK, _BLANK, _MEMBER, _BLANK, _BLANK, _BLANK),
    re.DOTALL,
)
"""The start of a bare array, or of an array in an envelope after texts and numbers only."""

_TO_BRACE = re.compile(rb'[^"{}]*(?:%b[^"{}]*)*[{}]' % _STRING, re.DOTALL)
_TO_NEXT = re.compile(rb"%b,%b(?=\{)" % (_BLANK, _BLANK))
_TO_END = re.compile(rb"%b(?=\])" % _BLANK)


class LongAnswer:
    """Iterable over the rows of an array, bare or as `data` of an envelope, as pieces of JSON.

    `envelope` is the parsed answer without its rows, once the iteration is complete.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.envelope: Any = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rows in their order.

        Raises:
            ValueError: the answer has another form, or is truncated.

        """
        body = self._body
        begin = _BEGIN.match(body)
        if begin is None:
            raise ValueError("it is not an array of rows")
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
            raise ValueError("it contains other things than rows")
        rest = body[to_end.end() :]
        if b'"data"' in rest:  # the last field of a name would count
            raise ValueError("it contains several arrays")
        self.envelope = from_json(body[: begin.end()] + rest)


def _end_of_object(body: bytes, start: int) -> int:
    depth, position = 0, start
    while True:
        found = _TO_BRACE.match(body, position)
        if found is None:
            raise ValueError("it is truncated")
        position = found.end()
        depth += 1 if body[position - 1] == ord("{") else -1
        if depth == 0:
            return position


async def run_in_steps(steps: Generator[int, None, T]) -> T:
    """Run a reader that yields the bytes of each step, and let other tasks run in between."""
    since_pause = 0
    while True:
        try:
            since_pause += next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if since_pause >= STEP:
            since_pause = 0
            await asyncio.sleep(0)
