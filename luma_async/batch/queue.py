"""Queue: the order of the rows, if some of them extend others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable

from luma_async.batch.rows import Row


class Queue:
    """Yields rows in their order, and extensions as soon as their source has a video.

    Each yielded row is reported back: with `made` if it has a video, otherwise with `not_made`.

    Args:
        rows: the rows to run.
        made: keys of rows that have a video already.

    """

    def __init__(self, rows: Iterable[Row], *, made: Iterable[str]) -> None:
        self._rows: deque[Row] = deque()
        self._ready: deque[Row] = deque()
        self._extensions: dict[str, list[Row]] = {}
        self._running: set[str] = set()
        self._is_stopped = False
        self._has_changed = asyncio.Event()
        with_video = set(made)
        for row in rows:
            if row.parent is None or row.parent in with_video:
                self._rows.append(row)
            else:
                self._extensions.setdefault(row.parent, []).append(row)

    async def rows(self) -> AsyncGenerator[Row, None]:
        """Yield rows until none is left that could begin, or `stop` is called."""
        while not self._is_stopped:
            if self._ready or self._rows:
                # Extensions come first: a chain of five takes five times as long as its first row.
                row = (self._ready or self._rows).popleft()
                self._running.add(row.key)
                yield row
            elif not self._running:
                return
            else:
                self._has_changed.clear()
                await self._has_changed.wait()

    def again(self, row: Row) -> None:
        """Yield a row once more."""
        self._ready.append(row)
        self._running.discard(row.key)
        self._has_changed.set()

    def made(self, key: str) -> None:
        """Note that a row has a video, so that its extensions can begin."""
        self._ready.extend(self._extensions.pop(key, ()))
        self._running.discard(key)
        self._has_changed.set()

    def not_made(self, key: str) -> list[Row]:
        """Note that a row has no video, and return all rows that can never begin, nearest first."""
        lost: list[Row] = []
        keys = deque([key])
        while keys:
            extensions = self._extensions.pop(keys.popleft(), [])
            lost += extensions
            keys.extend(row.key for row in extensions)
        self._running.discard(key)
        self._has_changed.set()
        return lost

    def skip(self, key: str) -> None:
        """Leave out a row, and all rows that extend it, in this run."""
        self.not_made(key)

    def stop(self) -> None:
        """Yield no more rows."""
        self._is_stopped = True
        self._has_changed.set()
