"""Worker: an asyncio task that is alive while there is something to write."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

logger = logging.getLogger("luma_async")
T = TypeVar("T")

LAST_WORDS = 3.0
"""Seconds that a cancelled worker goes on writing. `asyncio.run()` cancels every task at its end
and waits for them once, so what is not written then never is."""

RESTART_DELAY = 0.5
"""Seconds until a worker that was cancelled too early, or broke off, starts again. A timer does it,
for one that is left over when an event loop closes disturbs nobody; a task does."""

_ROUNDS = 3
"""How often a thing is begun again that was cancelled together with everything else."""


class Worker:
    """Repeats `step()` for as long as `has_work()`, in an asyncio task of its own.

    `step` may be cancelled at any moment, and must have lost nothing then: it is called again.
    Nothing else may be called while the worker is at it.
    """

    def __init__(
        self, name: str, step: Callable[[], Awaitable[None]], has_work: Callable[[], bool]
    ) -> None:
        self._name = name
        self._step = step
        self._has_work = has_work
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._stopped = False

    def wake(self) -> None:
        """See to it that somebody is at work, if there is any."""
        if self._task is None and not self._stopped and self._has_work():
            self._task = asyncio.create_task(self._run(), name=self._name)
            self._task.add_done_callback(self._ended)

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until all is done that there is to do, or for so many seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout)

    async def stop(self, within: float = 1.0) -> None:
        """Do no more from now on. What cannot be broken off in time is left behind."""
        self._stopped = True
        if self._restart is not None:
            self._restart.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=within)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        until = math.inf
        cancelled: asyncio.CancelledError | None = None
        while self._has_work() and not self._stopped and now() < until:
            try:
                async with asyncio.timeout_at(None if until == math.inf else until):
                    await self._step()
            except asyncio.CancelledError as error:
                if cancelled is None:
                    until = now() + LAST_WORDS
                cancelled = error
            except TimeoutError:
                break
        self._task = None  # now, for what comes next needs another
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The %s broke off.", self._name, exc_info=error)
        if not self._stopped and self._task is None and self._has_work():
            self._restart = task.get_loop().call_later(RESTART_DELAY, self.wake)


async def to_its_end(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run something to its end even if the caller is cancelled, and then raise that.

    Where every asyncio task is cancelled, so is the one that does it; it is begun again.
    """
    cancelled: asyncio.CancelledError | None = None
    for _ in range(_ROUNDS):
        task = asyncio.create_task(work(), name="luma-async journal")
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        if not task.cancelled():
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # nobody need ask
        try:
            raise cancelled
        finally:
            del cancelled
    return task.result()
