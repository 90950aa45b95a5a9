"""Minimum speed: end a download that is too slow, so that one host does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_MIN_STEP = 1.0
"""Minimum number of seconds by which the deadline is moved, because each move costs a little."""


class TooSlowError(Exception):
    """Signal that a download fell below its minimum speed."""


class MinimumSpeed:
    """Watch the speed of a download, and raise `TooSlowError` if it is too low.

    At least `bytes_per_second * within` bytes must arrive in every period of `within` seconds. A
    speed of 0 disables the check.
    """

    def __init__(self, bytes_per_second: float, within: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._within = within
        self._quota = bytes_per_second * within
        self._missing = self._quota
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
            raise TooSlowError(
                f"sent fewer than {self._bytes_per_second:g} bytes a second for {self._within:g} s"
            ) from None

    def add(self, count: int) -> None:
        """Count bytes that have arrived."""
        self._missing -= count
        if self._missing <= 0:
            self._restart()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Suspend the check while the client itself does not read, then start a new period."""
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(None)
        try:
            yield
        finally:
            self._restart()

    def _restart(self) -> None:
        self._missing = self._quota
        if self._timeout is None or self._timeout.expired():
            return
        deadline = asyncio.get_running_loop().time() + self._within
        before = self._timeout.when()
        if before is None or deadline >= before + min(_MIN_STEP, self._within / 10):
            self._timeout.reschedule(deadline)
