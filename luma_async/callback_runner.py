"""CallbackRunner: calls functions of the user, plain or async, and logs their exceptions."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from luma_async.errors import InvalidRequestError

logger = logging.getLogger("luma_async")

Callback = Callable[..., object]
"""Plain or async function of the user. An awaitable result is awaited in the background."""


_TASK_NAME = "luma-async callback "
"""Beginning of the names of asyncio tasks in which async functions run."""


def check_callback(name: str, fn: object) -> None:
    """Check that an argument is a function. `name` is that of the argument.

    Raises:
        InvalidRequestError: it is not.

    """
    if not callable(fn):
        hint = ", and not the result of its call" if inspect.isawaitable(fn) or fn is None else ""
        raise InvalidRequestError.of(name, f"must be a function{hint}, got {fn!r}")


def _log(fn: Callback, error: BaseException) -> None:
    logger.error("The callback %s failed; nothing else is affected.", _name_of(fn), exc_info=error)


def _name_of(fn: Callback) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _names(calls: Iterable[asyncio.Task[None]]) -> str:
    """Return the names of the functions that are running, and how often the same one does."""
    names = Counter(call.get_name().removeprefix(_TASK_NAME) for call in calls)
    return ", ".join(f"{name} ({n} times)" if n > 1 else name for name, n in names.items())


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
        name = f"{_TASK_NAME}{_name_of(fn)}"
        task = asyncio.create_task(self._finish(fn, result), name=name)
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
                    text = "Callbacks that have not ended within %g s are no longer waited for: %s."
                    logger.warning(text, timeout, _names(others))
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
