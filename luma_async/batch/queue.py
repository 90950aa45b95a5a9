"""Queue: which row comes next, where some can only begin when others have ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from luma_async.batch.rows import Row


class Queue:
    """Gives rows in their order, and those that continue a video as soon as that is made.

    Every row that is given comes back: through `made` if there is a video, through `not_made` if
    there is none.
    """

    def __init__(self, rows: Iterable[Row], *, made: Iterable[str]) -> None:
        """Take the rows to run; `made` are keys of rows whose videos are there already."""
        self._roots: deque[Row] = deque()
        self._ready: deque[Row] = deque()
        self._children: dict[str, list[Row]] = {}
        self._out: set[str] = set()
        self._is_stopped = False
        self._moved = asyncio.Event()
        there = set(made)
        for row in rows:
            if row.parent is None or row.parent in there:
                self._roots.append(row)
            else:
                self._children.setdefault(row.parent, []).append(row)

    async def rows(self) -> AsyncIterator[Row]:
        """Yield rows until there will be no more, or `stop` was called."""
        while not self._is_stopped:
            if self._ready or self._roots:
                row = (self._ready or self._roots).popleft()
                self._out.add(row.key)
                yield row
            elif not self._out:
                return
            else:
                self._moved.clear()
                await self._moved.wait()

    def made(self, key: str) -> None:
        """Note that a row's video is made."""
        self._ready.extend(self._children.pop(key, ()))
        self._back(key)

    def not_made(self, key: str) -> list[Row]:
        """Note that a row has no video, and return those that can never begin, nearest first."""
        lost: list[Row] = []
        keys = deque([key])
        while keys:
            children = self._children.pop(keys.popleft(), [])
            lost += children
            keys.extend(child.key for child in children)
        self._back(key)
        return lost

    def skip(self, key: str) -> None:
        """Put a row aside for this run, and with it those that continue it."""
        self.not_made(key)

    def stop(self) -> None:
        """Give no more rows."""
        self._is_stopped = True
        self._moved.set()

    def _back(self, key: str) -> None:
        self._out.discard(key)
        self._moved.set()
