"""Updates: the iterator over the statuses of one job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from luma_async.concurrency import HomeLoop
from luma_async.errors import LumaError
from luma_async.generation import Generation


class StatusChange:
    """A change of a job, with a link to the change that follows it.

    Readers keep the change that they have read last, and the job keeps its latest one. So each
    reader has all changes that it has not read yet, no other object knows the readers, and a reader
    that is dropped leaves nothing behind.

    Attributes:
        generation: the status after the change; `None` for the end.
        error: for the end, the error that ended the watching of the job, if any did.
        next: the change that follows, as soon as there is one.

    """

    __slots__ = ("_waiters", "error", "generation", "next")

    def __init__(
        self, generation: Generation | None = None, error: LumaError | None = None
    ) -> None:
        self.generation: Generation | None = generation
        self.error: LumaError | None = error
        self.next: StatusChange | None = None
        # These futures keep the reading asyncio tasks alive, because the event loop does not.
        self._waiters: tuple[asyncio.Future[None], ...] = ()

    def follow(self, change: StatusChange) -> StatusChange:
        """Add the change that follows this one, and return it."""
        self.next = change
        self.wake()
        return change

    def wake(self) -> None:
        """Wake all readers that wait for the next change."""
        for waiter in self._waiters:
            if not waiter.done():  # a cancelled waiter stays in the tuple until its task has run
                waiter.set_result(None)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until `wake()` is called."""
        waiter = loop.create_future()
        self._waiters += (waiter,)
        try:
            await waiter
        finally:
            self._waiters = tuple(each for each in self._waiters if each is not waiter)


class Updates(AsyncIterator[Generation]):
    """Iterator over the current status of a job, and every later change of state or progress.

    >>> async for generation in task.updates():               # doctest: +SKIP
    ...     print(generation.state, generation.progress)
    >>> updates = task.updates()                              # doctest: +SKIP
    >>> await asyncio.wait_for(anext(updates), timeout=15)    # doctest: +SKIP

    It collects changes from its creation on. Waiting for the next one may time out or be cancelled
    without any loss: the next `anext()` returns it. After the last status the iterator ends, with
    the error of `VideoTask.wait()` if watching ended before the job was completed or failed. It
    also ends when it is closed, with `aclose()` or `async with`.
    """

    __slots__ = ("__weakref__", "_every", "_first", "_home", "_id", "_is_closed", "_latest")

    def __init__(
        self, first: Generation, latest: StatusChange, home: HomeLoop, *, every: float | None = None
    ) -> None:
        self._first: Generation | None = first
        self._latest = latest
        self._home = home
        self._id = first.id
        self._every = every
        self._is_closed = False

    @property
    def every(self) -> float | None:
        """Maximum seconds between two looks while the iterator is open; `None` for none."""
        return self._every

    def __repr__(self) -> str:
        return f"<Updates of job {self._id}{' (closed)' if self._is_closed else ''}>"

    async def __anext__(self) -> Generation:
        while not self._is_closed:
            if self._first is not None:
                first, self._first = self._first, None
                return first
            change = self._latest.next
            if change is None:
                loop = self._home.enter(f"The task of job {self._id}")
                await self._latest.wait(loop)
                continue
            if change.generation is not None:
                self._latest = change
                return change.generation
            self._close()
            error = change.error
            if error is None:
                break
            try:
                raise error.with_traceback(None)
            finally:
                del change, error  # otherwise its traceback would refer to it: a reference cycle
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the iterator, also for a reader that is waiting for the next status."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._is_closed = True
        self._every = self._first = None
        self._latest.wake()
        self._latest = StatusChange()  # the changes that were not read are dropped
