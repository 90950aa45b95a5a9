"""VideoTask: the handle on one job."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

import anyio

from luma_async.errors import LumaError, TaskForgottenError, TaskTimeoutError
from luma_async.generation import Generation, GenerationFailedError, State, pack
from luma_async.metadata import NO_METADATA

UpdateCallback = Callable[["VideoTask"], object]
"""Function that is called with a handle when its job changes."""

_RANK = {State.PENDING: 0, State.PROCESSING: 1, State.COMPLETED: 2, State.FAILED: 2}


class VideoTask:
    """Handle on a job at the server, to await its result or to follow its progress.

    >>> video = await task                        # doctest: +SKIP
    >>> async for generation in task.updates():   # doctest: +SKIP
    ...     print(generation.state, generation.progress)

    A task can be awaited any number of times, from any number of asyncio tasks, always with the
    same result. Cancelling one wait does not affect the others. Tasks are created by the client,
    never by hand.
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
        "metadata",
    )

    def __init__(
        self,
        generation: Generation,
        on_end: Callable[[VideoTask], None],
        *,
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.key = key
        """Job key; `None` if the job is not in a journal."""
        self.metadata: Mapping[str, Any] = NO_METADATA if metadata is None else metadata
        """Data about the job that its submission was given; empty if none was."""
        self._generation = generation
        self._on_end = on_end
        self._error: LumaError | None = None
        self._done = generation.state.terminal
        if not self._done:
            pack(generation)
        # Tuples, because most tasks have none of these, and an empty tuple takes no memory.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._updates: tuple[_Updates, ...] = ()
        self._callbacks: tuple[Callable[[VideoTask], object], ...] = ()

    @classmethod
    def finished(
        cls,
        generation: Generation,
        *,
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> VideoTask:
        """Return the handle on a job that has already ended and needs no poller."""
        return cls(generation, lambda _: None, key=key, metadata=metadata)

    @property
    def id(self) -> str:
        """Id that the server gave to the job."""
        return self._generation.id

    @property
    def generation(self) -> Generation:
        """Latest known status of the job."""
        return self._generation

    @property
    def state(self) -> State:
        """Latest known state of the job."""
        return self._generation.state

    def done(self) -> bool:
        """Return `True` if awaiting the task returns or raises immediately."""
        return self._done

    @property
    def error(self) -> LumaError | None:
        """Error that awaiting the task raises; `None` if it is not done, or is completed."""
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
            GenerationFailedError: the job failed at the server.
            TaskTimeoutError: the job did not finish in time. It is still watched: wait again.
            NotFoundError: the server has answered "not found" for a minute.
            AuthenticationError: the server has rejected the API key for ten seconds.
            TaskForgottenError: `forget()` was called.
            ClientClosedError: the client was closed.

        """
        with anyio.move_on_after(timeout):
            await self._until_done()
        if not self._done:
            raise TaskTimeoutError(
                f"Job {self.id} is still {self.state} after {timeout:g} s. "
                "It is still watched: wait again, or forget() it.",
                task_id=self.id,
            )
        error = self.error
        if error is None:
            return self._generation
        try:
            raise error.with_traceback(None)
        finally:
            del error  # otherwise its traceback would refer to it: a reference cycle

    async def updates(self) -> AsyncGenerator[Generation, None]:
        """Yield the current status, then every change of state or progress until the job ends.

        Raises:
            LumaError: as in `wait()`, if watching ended before the job was completed or failed.

        """
        updates = _Updates(self._generation, ended=self._done)
        self._updates += (updates,)
        try:
            while (generation := await updates.next()) is not None:
                yield generation
        finally:
            self._updates = tuple(each for each in self._updates if each is not updates)
        if self._error is not None:
            raise self._error.with_traceback(None)

    def add_done_callback(self, fn: Callable[[VideoTask], object]) -> None:
        """Call `fn(task)` from the event loop once the task is done, or soon if it already is."""
        if self._done:
            asyncio.get_running_loop().call_soon(fn, self)
        else:
            self._callbacks += (fn,)

    def forget(self) -> None:
        """Stop watching the job, and raise `TaskForgottenError` where the task is awaited.

        The job itself continues, because servers have no call to cancel it.
        """
        if not self._done:
            self.abandon(
                TaskForgottenError(
                    f"Job {self.id} was forgotten while {self.state}. "
                    "LumaClient.watch(id) watches it again."
                )
            )

    def observe(self, generation: Generation) -> None:
        """Update the handle from a new status. Called by the poller only.

        This is the only place where the state changes, and it changes forward only. Answers may
        arrive late and out of order, so a completed or failed job stays so, and progress does not
        fall within a state.
        """
        if self._done or _is_behind(generation, self._generation):
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
        """Stop watching, and raise `error` where the task is awaited. Called by the poller only."""
        if not self._done:
            self._error = error
            self._end()

    async def _until_done(self) -> None:
        if self._done:
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
            if not waiter.done():  # a cancelled waiter stays in the list until its task has run
                waiter.set_result(None)
        callbacks, self._callbacks = self._callbacks, ()
        if callbacks:
            loop = asyncio.get_running_loop()
            for callback in callbacks:
                loop.call_soon(callback, self)


class _Updates:
    """Queue of the statuses that one reader of `updates()` has not seen yet."""

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
