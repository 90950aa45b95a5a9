"""CallbackRunner: calls functions of the user, plain or async, and logs their exceptions."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger("luma_async")

Callback = Callable[..., object]
"""Plain or async function of the user. An awaitable result is awaited in the background."""


def _log(fn: Callback, error: BaseException) -> None:
    name = getattr(fn, "__qualname__", None) or repr(fn)
    logger.error("The callback %s failed; nothing else is affected.", name, exc_info=error)


class CallbackRunner:
    """Calls of callbacks, and the asyncio tasks of the async ones that are running.

    `on_error` is called with each function that raised an exception, and with the exception. By
    default it is logged.
    """

    def __init__(self, on_error: Callable[[Callback, BaseException], object] = _log) -> None:
        self._on_error = on_error
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[Any] | None] = set()

    @property
    def is_busy(self) -> bool:
        """`True` if an async call is running."""
        return bool(self._running)

    def call(self, fn: Callback, *arguments: Any) -> asyncio.Task[None] | None:
        """Call a function. If it is async, return the asyncio task in which it runs.

        An argument that the function returns is not awaited: `lambda task: task` is not async.
        """
        try:
            result = fn(*arguments)
        except Exception as error:  # noqa: BLE001  the user's code may raise anything
            self._on_error(fn, error)
            return None
        if result is None or not inspect.isawaitable(result):
            return None
        if any(result is argument for argument in arguments):
            return None
        task = asyncio.create_task(self._finish(fn, result), name="luma-async callback")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def wait(self, timeout: float) -> None:
        """Wait for all calls that are due or running, at most `timeout` seconds.

        A callback can call this itself: it does not wait for those that wait here.
        """
        this = asyncio.current_task()
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        self._waiting.add(this)
        try:
            await asyncio.sleep(0)  # calls that are due begin
            while others := self._running - self._waiting:
                left = until - loop.time()
                if left <= 0:
                    text = "%d callbacks have not ended within %g s, and are no longer waited for."
                    logger.warning(text, len(others), timeout)
                    return
                await asyncio.wait(others, timeout=None if left == math.inf else left)
        finally:
            self._waiting.discard(this)

    async def cancel(self) -> None:
        """Cancel all calls that are running, and wait until they have ended."""
        for task in self._running:
            task.cancel()
        while self._running:
            await asyncio.wait(self._running)

    async def _finish(self, fn: Callback, result: Awaitable[object]) -> None:
        try:
            await result
        except asyncio.CancelledError as error:
            this = asyncio.current_task()
            if this is None or this.cancelling():
                raise
            self._on_error(fn, error)  # it awaited something that was cancelled
        except Exception as error:  # noqa: BLE001  the user's code may raise anything
            self._on_error(fn, error)


class SerialCalls:
    """Calls of one function in order, one at a time.

    While an async call is running, only the arguments of the latest call are kept, and the function
    is called with them next. So a slow function misses intermediate calls, but never the last one.
    """

    __slots__ = ("_fn", "_next", "_runner", "_running")

    def __init__(self, fn: Callback, runner: CallbackRunner) -> None:
        self._fn = fn
        self._runner = runner
        self._next: tuple[Any, ...] | None = None
        self._running: asyncio.Task[None] | None = None

    def call(self, *arguments: Any) -> None:
        """Call the function now, or as soon as the call that is running has ended."""
        self._next = arguments
        if self._running is None:
            self._continue()

    def _continue(self) -> None:
        while self._running is None and self._next is not None:
            arguments, self._next = self._next, None
            self._running = self._runner.call(self._fn, *arguments)
            if self._running is not None:
                self._running.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if task.cancelled():  # a program that ends cancels all of its tasks
            self._next = None
        self._continue()
