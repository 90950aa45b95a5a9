"""ProgressReports: calls of the plain or async progress function of one download."""

from __future__ import annotations

import math
from collections.abc import Callable

from luma_async.callback_runner import Callback, CallbackRunner, SerialCalls

ProgressCallback = Callable[[int, int | None], object]
"""Plain or async function called with the bytes so far, and in all (`None` if unknown)."""


class CallbackError(Exception):
    """Signal that the caller's progress callback raised `error`, for which no host is to blame."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class ProgressReports:
    """Calls of a progress function, in order and one at a time.

    The transfer does not wait for an async function. While a call runs, the reports are merged into
    one further call. An exception of the function ends the download, at the next report.
    """

    def __init__(self, fn: ProgressCallback) -> None:
        self._runner = CallbackRunner(self._failed)
        self._calls = SerialCalls(fn, self._runner)
        self._error: BaseException | None = None

    def report(self, done: int, total: int | None) -> None:
        """Call the function with the bytes so far and in all, now or soon.

        Raises:
            CallbackError: the function raised an exception.

        """
        self._calls.call(done, total)
        self._check()

    async def finish(self) -> None:
        """Wait until the function was called with the latest report.

        Raises:
            CallbackError: the function raised an exception.

        """
        if self._runner.is_busy:
            await self._runner.wait(math.inf)
        self._check()

    async def cancel(self) -> None:
        """Cancel the call that is running, and wait until it has ended."""
        await self._runner.cancel()

    def _failed(self, _: Callback, error: BaseException) -> None:
        self._error = self._error or error

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise CallbackError(error) from None
