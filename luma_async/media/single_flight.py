"""Single flight: share one run of some work among the callers that need its result."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs of a coroutine function, by a key. Callers with the same key share the run in progress.

    The run has an asyncio task of its own, so that a caller that is cancelled does not end it for
    the others. If all callers are cancelled, the run is cancelled. A failure is that of all callers
    that wait; the next caller begins another run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._runs: dict[Hashable, _SharedRun[T]] = {}

    async def result(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `work()`, or of the run in progress for the key.

        Raises:
            Exception: that of the run. Each caller gets a copy, because each adds its traceback.

        """
        run = self._runs.get(key)
        if run is None:
            task = asyncio.create_task(work(), name=self._name, context=Context())
            run = self._runs[key] = _SharedRun(task)
            task.add_done_callback(partial(self._end, key, run))
        run.callers += 1
        try:
            await asyncio.wait([run.task])
        finally:
            run.callers -= 1
            if not run.callers and not run.task.done():
                self._end(key, run, run.task)
                await run.cancel()
        if run.task.cancelled():  # with all tasks of the event loop
            raise asyncio.CancelledError
        error = run.task.exception()
        if error is None:
            return run.task.result()
        try:
            raise copy.copy(error)
        finally:
            del error, run  # otherwise the error and its traceback refer to each other

    def _end(self, key: Hashable, run: _SharedRun[T], task: asyncio.Task[T]) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]
        if task.done() and not task.cancelled():
            task.exception()  # counts as retrieved


class _SharedRun(Generic[T]):
    __slots__ = ("callers", "task")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.callers = 0

    async def cancel(self) -> None:
        """Cancel the run, and wait until it has ended, so that nothing is left running."""
        self.task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self.task])
