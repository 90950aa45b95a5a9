"""VideoTask: the handle on one job."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from numbers import Real
from typing import Any, NoReturn, Protocol

import anyio

from luma_async.callback_runner import CallbackRunner, SerialCalls, check_callback
from luma_async.concurrency import HomeLoop, running_loop
from luma_async.errors import (
    InvalidRequestError,
    LumaError,
    TaskForgottenError,
    TaskTimeoutError,
)
from luma_async.generation import Generation, State, failure_of, pack
from luma_async.metadata import NO_METADATA
from luma_async.tasks.updates import StatusChange, Updates

UpdateCallback = Callable[["VideoTask"], object]
"""Plain or async function that is called with a handle when its job changes."""

_RANK = {State.PENDING: 0, State.PROCESSING: 1, State.COMPLETED: 2, State.FAILED: 2}


class Watcher(Protocol):
    """Poller of a job, as its handle sees it."""

    @property
    def home(self) -> HomeLoop:
        """Event loop in which the job is watched."""

    @property
    def callbacks(self) -> CallbackRunner:
        """Runner of the functions that the handle calls."""

    def ended(self, task: VideoTask) -> None:
        """Stop watching a job, because its handle is done."""

    def delivery(self, task: VideoTask) -> AbstractContextManager[None]:
        """Return a context whose end, without an exception, means that a job is delivered."""

    def look_often(self, task: VideoTask, reader: Updates) -> None:
        """Look at a job as often as an open reader of its updates wants."""


class _Unwatched:
    """Watcher of jobs that have already ended and belong to no client."""

    def __init__(self) -> None:
        self.home = HomeLoop()
        self.callbacks = CallbackRunner()

    def ended(self, task: VideoTask) -> None:
        pass

    def delivery(self, task: VideoTask) -> AbstractContextManager[None]:  # noqa: ARG002  for its protocol
        return nullcontext()

    def look_often(self, task: VideoTask, reader: Updates) -> None:
        pass


_UNWATCHED = _Unwatched()


class VideoTask:
    """Handle on a job at the server, to await its result or to follow its progress.

    >>> video = await task                        # doctest: +SKIP
    >>> async for generation in task.updates():   # doctest: +SKIP
    ...     print(generation.state, generation.progress)

    A task can be awaited any number of times, from any number of asyncio tasks, always with the
    same result. Cancelling one wait affects neither the others nor the job. The functions of
    asyncio take tasks as they take futures: `asyncio.wait()`, `gather()`, `as_completed()`,
    `shield()`, `wait_for()`. Tasks are created by the client, never by hand.
    """

    __slots__ = (
        "_callbacks",
        "_done",
        "_error",
        "_generation",
        "_latest",
        "_listeners",
        "_waiters",
        "_watcher",
        "key",
        "metadata",
    )

    def __init__(
        self,
        generation: Generation,
        watcher: Watcher,
        *,
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.key: str | None = key
        """Job key; `None` if the job is not in a journal."""
        self.metadata: Mapping[str, Any] = NO_METADATA if metadata is None else metadata
        """Data about the job that its submission was given; empty if none was."""
        self._generation = generation
        self._watcher = watcher
        self._error: LumaError | None = None
        self._done = generation.state.terminal
        if not self._done:
            pack(generation)
        # Tuples, because most tasks have none of these, and an empty tuple takes no memory.
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._callbacks: tuple[tuple[Callable[[VideoTask], object], Context], ...] = ()
        self._listeners: tuple[tuple[SerialCalls, Context], ...] = ()
        self._latest: StatusChange | None = None  # until there is a reader of updates

    @classmethod
    def finished(
        cls,
        generation: Generation,
        watcher: Watcher = _UNWATCHED,
        *,
        key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> VideoTask:
        """Return the handle on a job that has already ended and needs no poller."""
        return cls(generation, watcher, key=key, metadata=metadata)

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
            return failure_of(self._generation)
        return self._error

    def __repr__(self) -> str:
        ended = f" ({type(self._error).__name__})" if self._error is not None else ""
        return f"<VideoTask {self.id} {self.state}{ended}>"

    def __await__(self) -> Generator[None, None, Generation]:
        return self.wait().__await__()

    def __reduce__(self) -> NoReturn:
        # A copy would never be done, because the poller does not know it.
        raise TypeError(
            f"{self._subject()} cannot be copied or pickled. Pass its id instead: in another "
            "process, LumaClient.watch(id) returns a handle on the job."
        )

    async def wait(self, timeout: float | None = None) -> Generation:
        """Return the finished generation, waiting at most `timeout` seconds.

        Raises:
            GenerationFailedError: the job failed at the server.
            TaskTimeoutError: the job did not finish in time. It is still watched: wait again. Only
                if the task is `done()`, the client has given the job up after its `task_timeout`.
            NotFoundError: the server has answered "not found" for a minute.
            AuthenticationError: the server has rejected the API key for ten seconds.
            TaskForgottenError: `forget()` was called.
            ClientClosedError: the client was closed.
            ConfigurationError: the task is not done, and belongs to another event loop.
            InvalidRequestError: `timeout` is not a number.

        """
        if not self._done:
            loop = self._watcher.home.enter(self._subject())
            if timeout is None:
                await self._until_done(loop)
            else:
                check_timeout(timeout)
                with anyio.move_on_after(timeout):
                    await self._until_done(loop)
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

    def updates(self, *, every: float | None = None) -> Updates:
        """Return an iterator over the current status, and every change of state or progress.

        It ends after the last status. A wait for the next status may time out or be cancelled, and
        nothing is lost.

        >>> async for generation in task.updates(every=2):   # doctest: +SKIP
        ...     print(generation.state, generation.progress)

        Args:
            every: maximum number of seconds from one look at the job to the next, while the
                iterator is open. By default the poll schedule decides. The rate limits of the
                server still apply.

        Raises:
            InvalidRequestError: `every` is not more than 0 seconds.
            ConfigurationError: the task is not done, and belongs to another event loop.
            LumaError: raised by the iterator as in `wait()`, if watching ended before the job was
                completed or failed.

        """
        if every is not None and not (isinstance(every, Real) and 0 < every < math.inf):
            raise InvalidRequestError.of("every", f"must be more than 0 seconds, got {every!r}")
        home = self._watcher.home
        if self._done:
            latest = StatusChange()
            latest.follow(StatusChange(error=self._error))
            return Updates(self._generation, latest, home)
        home.enter(self._subject())
        if self._latest is None:
            self._latest = StatusChange()
        updates = Updates(self._generation, self._latest, home, every=every)
        if every is not None:
            self._watcher.look_often(self, updates)
        return updates

    def add_done_callback(
        self, fn: Callable[[VideoTask], object], *, context: Context | None = None
    ) -> None:
        """Call `fn(task)` from the event loop once the task is done, or soon if it already is.

        The function may be async. It runs in `context`, by default a copy of the current context.
        Exceptions in it are logged. `LumaClient.aclose()` waits until it has ended.
        """
        check_callback("fn", fn)
        context = copy_context() if context is None else context
        if self._done:
            running_loop().call_soon(self._watcher.callbacks.call, fn, self, context=context)
        else:
            self._watcher.home.enter(self._subject())
            self._callbacks += ((fn, context),)

    def remove_done_callback(self, fn: Callable[[VideoTask], object]) -> int:
        """Remove all callbacks that are equal to `fn`, and return their number."""
        left = tuple(each for each in self._callbacks if each[0] != fn)
        removed = len(self._callbacks) - len(left)
        self._callbacks = left
        return removed

    def add_update_callback(self, fn: UpdateCallback, *, context: Context | None = None) -> None:
        """Call `fn(task)` soon, at every change of state or progress, and when the task is done.

        The function may be async. Its calls are in order, one at a time: while it runs, changes are
        merged into one further call. The last call comes when the task is done, with any result.
        The function runs in `context`, by default a copy of the current context. Exceptions in it
        are logged. `LumaClient.aclose()` waits until it has ended.
        """
        check_callback("fn", fn)
        context = copy_context() if context is None else context
        loop = running_loop() if self._done else self._watcher.home.enter(self._subject())
        calls = SerialCalls(fn, self._watcher.callbacks)
        loop.call_soon(calls.call, self, context=context)
        if not self._done:
            self._listeners += ((calls, context),)

    def result(self) -> Generation:
        """Return the finished generation, or raise the error that awaiting the task raises.

        Raises:
            InvalidStateError: asyncio's error for a task that is not done.

        """
        error = self.exception()
        if error is None:
            return self._generation
        try:
            raise error.with_traceback(None)
        finally:
            del error  # otherwise its traceback would refer to it: a reference cycle

    def exception(self) -> LumaError | None:
        """Return the error that awaiting the task raises; `None` if the job is completed.

        Raises:
            InvalidStateError: asyncio's error for a task that is not done.

        """
        if not self._done:
            raise asyncio.InvalidStateError(
                f"Job {self.id} is still {self.state}: await its task, or test done() first."
            )
        return self.error

    def cancelled(self) -> bool:
        """Return `False`: servers have no call to cancel a job, so a task is never cancelled."""
        return False

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop of the client that the task belongs to."""
        return self._watcher.home.loop or running_loop()

    def forget(self) -> None:
        """Stop watching the job, and raise `TaskForgottenError` where the task is awaited.

        The job itself continues, because servers have no call to cancel it. With a journal,
        `LumaClient.resume()` leaves the job from now on, unless it is asked for forgotten ones.

        Raises:
            ConfigurationError: the task is not done, and belongs to another event loop.

        """
        if not self._done:
            if self._watcher.home.loop is not None:
                self._watcher.home.enter(self._subject())
            self.abandon(
                TaskForgottenError(
                    f"Job {self.id} was forgotten while {self.state}. "
                    "LumaClient.watch(id) watches it again."
                )
            )

    def delivery(self) -> AbstractContextManager[None]:
        """Return a context in which the job counts as unfinished in the journal.

        >>> with task.delivery():                     # doctest: +SKIP
        ...     video = await task
        ...     await chat.send(video.url)

        The end of the job is recorded when the block ends, unless it raises an exception other than
        the error of the job itself. If it does, or the program is killed before, the job is
        delivered again later, because `LumaClient.resume()` returns it. After a crash its user may
        get the result twice. Enter the context before the task is awaited. `LumaClient.aclose()`
        waits until the block has ended, for at most `timeout` seconds. Without a journal, the
        context has no effect.
        """
        return self._watcher.delivery(self)

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
        if moved and self._latest is not None:
            self._latest = self._latest.follow(StatusChange(generation))
        if generation.state.terminal:
            self._end()
            return
        pack(generation)
        if moved and self._listeners:
            self._call_listeners()

    def abandon(self, error: LumaError) -> None:
        """Stop watching, and raise `error` where the task is awaited. Called by the poller only."""
        if not self._done:
            self._error = error
            self._end()

    async def _until_done(self, loop: asyncio.AbstractEventLoop) -> None:
        waiter = loop.create_future()
        self._waiters += (waiter,)
        try:
            await waiter
        finally:
            self._waiters = tuple(each for each in self._waiters if each is not waiter)

    def _end(self) -> None:
        self._done = True
        self._watcher.ended(self)
        if self._latest is not None:
            self._latest.follow(StatusChange(error=self._error))
            self._latest = None
        for waiter in self._waiters:
            if not waiter.done():  # a cancelled waiter stays in the list until its task has run
                waiter.set_result(None)
        if self._listeners:
            self._call_listeners()
            self._listeners = ()
        callbacks, self._callbacks = self._callbacks, ()
        if callbacks:
            loop, call = asyncio.get_running_loop(), self._watcher.callbacks.call
            for fn, context in callbacks:
                loop.call_soon(call, fn, self, context=context)

    def _subject(self) -> str:
        return f"The task of job {self.id}"

    def _call_listeners(self) -> None:
        loop = asyncio.get_running_loop()
        for calls, context in self._listeners:
            loop.call_soon(calls.call, self, context=context)


def check_timeout(timeout: object, *, submits: bool = False) -> None:
    """Check that a timeout is a number of seconds.

    With `submits`, it is that of a call that submits a job first, and must be more than 0:
    otherwise the caller would pay for a job and never get its result.

    Raises:
        InvalidRequestError: it is not.

    """
    if not isinstance(timeout, Real) or math.isnan(timeout):
        raise InvalidRequestError.of("timeout", f"must be a number of seconds, got {timeout!r}")
    if submits and timeout <= 0:
        raise InvalidRequestError.of(
            "timeout", f"must be more than 0 seconds, got {timeout!r}; nothing was submitted"
        )


def _is_behind(generation: Generation, known: Generation) -> bool:
    rank, known_rank = _RANK[generation.state], _RANK[known.state]
    if rank != known_rank or known.progress is None:
        return rank < known_rank
    return (generation.progress or 0.0) < known.progress
