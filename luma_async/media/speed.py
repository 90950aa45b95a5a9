"""Speed: end a download that comes too slowly, as one silent host must not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_SHORTEST = 1.0
"""Seconds between two movements of the deadline, for they cost a little each."""


class TooSlowError(Exception):
    """Fewer bytes arrived within a time than a download must bring; a signal within downloads."""


class SpeedLimit:
    """The lowest speed of a download, in bytes a second over `within` seconds.

    So many bytes must arrive within `within` seconds of the ones before. 0 bytes a second is no
    limit.
    """

    def __init__(self, lowest: float, within: float) -> None:
        self._quota = lowest * within
        self._within = within
        self._lacks = self._quota
        self._timeout: asyncio.Timeout | None = None

    async def __aenter__(self) -> Self:
        if self._quota > 0:
            self._timeout = asyncio.timeout(self._within)
            await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timeout is None:
            return
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise TooSlowError from None

    def arrived(self, count: int) -> None:
        """Take note of bytes that have arrived."""
        self._lacks -= count
        if self._lacks <= 0:
            self._restart()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Measure nothing meanwhile, as nothing is read for reasons of our own; then anew."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(None)
        try:
            yield
        finally:
            self._restart()

    def _restart(self) -> None:
        self._lacks = self._quota
        if self._timeout is None or self._timeout.expired():
            return
        deadline = asyncio.get_running_loop().time() + self._within
        before = self._timeout.when()
        if before is None or deadline >= before + min(_SHORTEST, self._within / 10):
            self._timeout.reschedule(deadline)
