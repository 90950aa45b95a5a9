"""Poller: the asyncio task that looks at watched jobs when they are due."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context

import anyio

from luma_async.tasks.agenda import Agenda
from luma_async.tasks.looks import Looks
from luma_async.tasks.watched_job import WatchedJob

logger = logging.getLogger("luma_async")

RESTART_DELAY = 1.0
"""Seconds until a poller that failed starts again."""


class Poller:
    """Asyncio task that takes batches of jobs from an agenda, and looks at them.

    A batch begins with the jobs that are due, and is filled up with the jobs that are due next. The
    task exists only while it is needed.

    Args:
        agenda: the watched jobs by the times of their next looks.
        looks: the status requests, with the number of jobs that one covers.
        look: looks at a batch of jobs, and returns the time at the end of the look.
        max_looks: maximum number of looks in flight.
        is_needed: returns `True` while there are jobs.
        on_cancel: called when the task was cancelled.
        on_failure: called with the time when the task has failed, to fill the agenda anew. The task
            starts again after `RESTART_DELAY`.

    Attributes:
        looking: number of looks in flight.

    """

    def __init__(
        self,
        agenda: Agenda[WatchedJob],
        looks: Looks,
        look: Callable[[list[WatchedJob], Callable[[], float]], Awaitable[float]],
        *,
        max_looks: int,
        is_needed: Callable[[], object],
        on_cancel: Callable[[], None],
        on_failure: Callable[[float], None],
    ) -> None:
        self.looking = 0
        self._agenda = agenda
        self._looks = looks
        self._look = look
        self._max_looks = max_looks
        self._is_needed = is_needed
        self._on_cancel = on_cancel
        self._on_failure = on_failure
        self._wake = asyncio.Event()
        self._sleeps_until = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """`True` while the asyncio task exists."""
        return self._task is not None

    def start(self) -> None:
        """Start the task, if it is needed and does not exist."""
        if self._task is None and self._is_needed():
            # The variables of the caller that adds the first job do not live on in the task.
            context = Context()
            task = asyncio.create_task(self._poll(), name="luma-async poller", context=context)
            task.add_done_callback(self._ended, context=context)
            self._task = task

    def wake(self) -> None:
        """Let the task look at its agenda, and end if it is not needed."""
        self._wake.set()

    def wake_if_due(self) -> None:
        """Wake the task if a look is due before it wakes by itself."""
        if self._next_look() < self._sleeps_until:
            self._wake.set()

    async def aclose(self) -> None:
        """Cancel the task, and wait for its end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self.looking = 0
        if task.cancelled():
            self._on_cancel()  # by aclose(), or by a program that cancels all tasks at its end
            return
        if (error := task.exception()) is not None:
            with suppress(Exception):  # a filter of the caller's may raise an error
                logger.error("The poller failed; it starts again.", exc_info=error)
            loop = task.get_loop()
            try:
                self._on_failure(loop.time())
            finally:
                loop.call_later(RESTART_DELAY, self.start)
            return
        self.start()

    async def _poll(self) -> None:
        clock = asyncio.get_running_loop().time
        # Not a task group of anyio: there, a look that is cancelled together with all tasks of the
        # event loop before it has begun causes a warning that it was never awaited.
        async with asyncio.TaskGroup() as looks:
            while self._is_needed() or self.looking:
                self._wake.clear()
                now = clock()
                size = self._looks.batch_size.at(now)
                while self.looking < self._max_looks and (batch := self._agenda.take(now, size)):
                    self.looking += 1
                    looks.create_task(self._look_while_due(batch), name="luma-async look")
                self._sleeps_until = self._next_look()
                with anyio.CancelScope(deadline=self._sleeps_until):
                    await self._wake.wait()

    def _next_look(self) -> float:
        """Return the time of the next look, or infinity if another look must end before."""
        if self.looking >= self._max_looks:
            return math.inf
        next_due = self._agenda.next_due()
        return math.inf if next_due is None else next_due

    async def _look_while_due(self, batch: list[WatchedJob]) -> None:
        """Look at one batch after another while jobs are due."""
        clock = asyncio.get_running_loop().time  # getting the loop each time takes a system call
        try:
            while batch:
                now = await self._look(batch, clock)
                batch = self._agenda.take(now, self._looks.batch_size.at(now))
        finally:
            self.looking -= 1
            self._wake.set()
