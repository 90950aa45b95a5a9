"""VideoTask: the handle on one job."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator

import anyio

from luma_async.errors import GenerationFailedError, LumaError, TaskForgottenError, TaskTimeoutError
from luma_async.generation import Generation, State, pack

_RANK = {State.PENDING: 0, State.PROCESSING: 1, State.COMPLETED: 2, State.FAILED: 2}


class VideoTask:
    """A job at the server that can be awaited.

    >>> video = await task                        # doctest: +SKIP
    >>> async for generation in task.updates():   # doctest: +SKIP
    ...     print(generation.state, generation.progress)

    Awaiting it any number of times, from any number of asyncio tasks, gives the same result;
    cancelling one wait disturbs no other. It is made by the client, never by hand.
    """

    __slots__ = (
        "_callbacks",
        "_done",
        "_error",
        "_generation",
        "_on_end",
        "_updates",
        "_waiters",
        "key",
    )

    def __init__(
        self,
        generation: Generation,
        on_end: Callable[[VideoTask], None],
        *,
        key: str | None = None,
    ) -> None:
        self.key = key
        """Its name in the journal; `None` if it is in none."""
        self._generation = generation
        self._on_end = on_end
        self._error: LumaError | None = None
        self._done = generation.state.terminal
        if not self._done:
            pack(generation)
        # Tuples, for most tasks have none of these, and so many empty lists are not free.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._updates: tuple[_Updates, ...] = ()
        self._callbacks: tuple[Callable[[VideoTask], object], ...] = ()

    @classmethod
    def finished(cls, generation: Generation, *, key: str | None = None) -> VideoTask:
        """Return the handle on a job that has ended, which needs no poller."""
        return cls(generation, lambda _: None, key=key)

    @property
    def id(self) -> str:
        """The server's id of the job."""
        return self._generation.id

    @property
    def generation(self) -> Generation:
        """The newest look at the job."""
        return self._generation

    @property
    def state(self) -> State:
        """Where the job stands, as far as it has been seen."""
        return self._generation.state

    @property
    def done(self) -> bool:
        """Whether awaiting it returns or raises at once."""
        return self._done

    @property
    def error(self) -> LumaError | None:
        """What awaiting it raises; `None` while it is not done, and when it is completed."""
        if self._error is None and self.state is State.FAILED:
            return GenerationFailedError(self._generation)
        return self._error

    def __repr__(self) -> str:
        ended = f" ({type(self._error).__name__})" if self._error is not None else ""
        return f"<VideoTask {self.id} {self.state}{ended}>"

    def __await__(self) -> Generator[None, None, Generation]:
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> Generation:
        """Return the finished generation, waiting at most `timeout` seconds.

        Raises:
            GenerationFailedError: the server gave up on the job.
            TaskTimeoutError: not finished in time; it is still watched, so wait again.
            NotFoundError: the server has not known the job for a minute.
            AuthenticationError: the server has refused the API key for ten seconds.
            TaskForgottenError: `forget()` was called.
            ClientClosedError: the client was closed.

        """
        with anyio.move_on_after(timeout):
            await self._until_done()
        if not self.done:
            raise TaskTimeoutError(
                f"Task {self.id} is still {self.state} after {timeout:g} s. "
                "It is still watched: wait again, or forget() it.",
                task=self,
            )
        error = self.error
        if error is None:
            return self._generation
        try:
            raise error.with_traceback(None)
        finally:
            del error  # an error that its own traceback leads to lives until collected

    async def updates(self) -> AsyncGenerator[Generation, None]:
        """Yield the job as it stands now, then at every change of state or progress until the end.

        Raises:
            LumaError: as `wait()`, where the watch ended without the job being completed or failed.

        """
        updates = _Updates(self._generation, ended=self.done)
        self._updates += (updates,)
        try:
            while (generation := await updates.next()) is not None:
                yield generation
        finally:
            self._updates = tuple(each for each in self._updates if each is not updates)
        if self._error is not None:
            raise self._error.with_traceback(None)

    def add_done_callback(self, fn: Callable[[VideoTask], object]) -> None:
        """Have the event loop call `fn(task)` once the task is done, soon if it is already."""
        if self.done:
            asyncio.get_running_loop().call_soon(fn, self)
        else:
            self._callbacks += (fn,)

    def forget(self) -> None:
        """Stop watching. Whoever awaits gets `TaskForgottenError`; the server has no cancel."""
        if not self.done:
            self.abandon(
                TaskForgottenError(
                    f"Task {self.id} was forgotten while {self.state}. "
                    "LumaClient.watch(id) takes it up again."
                )
            )

    def observe(self, generation: Generation) -> None:
        """Take in a look at the job. The one place where its state changes, and only forward.

        For the poller's use. Looks can come late and out of order: a completed or failed job stays
        so, and within a state progress does not fall.
        """
        if self.done or _is_behind(generation, self._generation):
            return
        moved = (generation.state, generation.progress) != (
            self._generation.state,
            self._generation.progress,
        )
        self._generation = generation
        if moved:
            for updates in self._updates:
                updates.add(generation)
        if generation.state.terminal:
            self._end()
        else:
            pack(generation)

    def abandon(self, error: LumaError) -> None:
        """End the watch without a result; whoever awaits gets `error`. For the poller's use."""
        if not self.done:
            self._error = error
            self._end()

    async def _until_done(self) -> None:
        if self.done:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters += (waiter,)
        try:
            await waiter
        finally:
            self._waiters = tuple(each for each in self._waiters if each is not waiter)

    def _end(self) -> None:
        self._done = True
        self._on_end(self)
        for updates in self._updates:
            updates.end()
        for waiter in self._waiters:
            if not waiter.done():  # a cancelled one is, until its task has run
                waiter.set_result(None)
        callbacks, self._callbacks = self._callbacks, ()
        if callbacks:
            loop = asyncio.get_running_loop()
            for callback in callbacks:
                loop.call_soon(callback, self)


class _Updates:
    """What one reader of `updates()` has yet to see."""

    def __init__(self, generation: Generation, *, ended: bool) -> None:
        self._unseen = deque([generation])
        self._ended = ended
        self._changed = asyncio.Event()

    def add(self, generation: Generation) -> None:
        self._unseen.append(generation)
        self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def next(self) -> Generation | None:
        while not self._unseen and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self._unseen.popleft() if self._unseen else None


def _is_behind(generation: Generation, known: Generation) -> bool:
    rank, known_rank = _RANK[generation.state], _RANK[known.state]
    if rank != known_rank or known.progress is None:
        return rank < known_rank
    return (generation.progress or 0.0) < known.progress
