"""Concurrency: the event loop that an object belongs to, workers, and running to completion."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

import anyio

from luma_async.errors import ConfigurationError

logger = logging.getLogger("luma_async")
T = TypeVar("T")

RESTART_DELAY = 0.5
"""Seconds until a worker that was cancelled too early, or failed, starts again. This uses a timer,
because a timer that is left over when the event loop closes causes no warning, and a task does."""


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop of asyncio.

    Raises:
        ConfigurationError: trio is running, or no event loop.

    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "luma_async runs on asyncio, and no event loop of asyncio is running here: "
            "start the program with asyncio.run(main()), or under anyio with its asyncio backend."
        ) from None


def another_loop_error(loop: asyncio.AbstractEventLoop, subject: str) -> ConfigurationError:
    """Return the error for a call in another event loop than the `loop` of its subject."""
    if loop.is_closed():
        return ConfigurationError(
            f"{subject} belongs to an event loop that has ended. Make one LumaClient for each "
            "asyncio.run(); its watch(id) finds a job again."
        )
    return ConfigurationError(
        f"{subject} belongs to another event loop than the one that is running. Make one "
        "LumaClient for each event loop, or call this one in its own loop, from another thread "
        "with asyncio.run_coroutine_threadsafe()."
    )


class HomeLoop:
    """The event loop that an object belongs to: the first one in which it is used.

    Futures, locks and connections of an object work in this loop only. In another one, waiting for
    them would never end.
    """

    __slots__ = ("loop", "on_first_use")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop, once the object was used."""
        self.on_first_use: Callable[[], object] | None = None
        """Function to call in the event loop when the object is first used."""

    def enter(self, subject: str = "This client") -> asyncio.AbstractEventLoop:
        """Return the running event loop. `subject` is the object in words, for errors.

        Raises:
            ConfigurationError: the object belongs to another event loop, or none is running.

        """
        try:
            loop = running_loop()
        except ConfigurationError:
            if self.loop is None:
                raise
            if self.loop.is_closed():
                raise another_loop_error(self.loop, subject) from None
            raise ConfigurationError(
                f"{subject} belongs to an event loop, and no event loop of asyncio is running "
                "here. Call it in its own loop, from another thread with "
                "loop.call_soon_threadsafe(), or if it is async with "
                "asyncio.run_coroutine_threadsafe()."
            ) from None
        if self.loop is not loop:
            if self.loop is not None:
                raise another_loop_error(self.loop, subject)
            self.loop = loop
            if self.on_first_use is not None:
                self.on_first_use()
        return loop


class Worker:
    """An asyncio task that repeats `step()` while `has_work()` is true.

    `step` may be cancelled at any moment and must not lose anything then, because it is called
    again. It must not be called from elsewhere while the worker is running.

    A cancelled worker continues for up to `grace` seconds. `asyncio.run()` cancels all tasks at its
    end and waits for them once, so any later work would be lost.

    The task runs in an empty context: the variables of the caller that happens to wake the worker
    would live as long as it does.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[None]],
        has_work: Callable[[], bool],
        *,
        grace: float = 3.0,
    ) -> None:
        self._name = name
        self._step = step
        self._has_work = has_work
        self._grace = grace
        self._task: asyncio.Task[None] | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._stopped = False

    def wake(self) -> None:
        """Start the task if there is work and it is not running."""
        if self._task is None and not self._stopped and self._has_work():
            context = Context()
            self._task = asyncio.create_task(self._run(), name=self._name, context=context)
            self._task.add_done_callback(self._ended, context=context)

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until all work is done, or for `timeout` seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=timeout)

    async def stop(self, within: float = 1.0) -> None:
        """Stop working. A step that does not end within `within` seconds is abandoned."""
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
        this = asyncio.current_task()
        assert this is not None  # noqa: S101
        while self._has_work() and not self._stopped and now() < until:
            try:
                async with asyncio.timeout_at(None if until == math.inf else until):
                    await self._step()
            except asyncio.CancelledError as error:
                if cancelled is None:
                    until = now() + self._grace
                cancelled = error
                this.uncancel()  # before Python 3.11.3 no timeout within a step would end otherwise
            except TimeoutError:
                break
        self._task = None  # already here, so that new work starts another task
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled  # a reference cycle would keep the frames alive

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The %s failed.", self._name, exc_info=error)
        if not self._stopped and self._task is None and self._has_work():
            self._restart = task.get_loop().call_later(RESTART_DELAY, self.wake)


async def to_completion(
    work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any, restarts: int = 0
) -> T:
    """Run `work(*arguments)` to completion even if the caller is cancelled.

    The cancellation is raised afterwards. The work runs in a task of its own. If that task is
    cancelled as well, together with all tasks of the event loop, the work is called again, at most
    `restarts` times.
    """
    cancelled: asyncio.CancelledError | None = None
    # A shielded scope keeps the cancellations of anyio away, but not `Task.cancel()`.
    with anyio.CancelScope(shield=True):
        for _ in range(1 + restarts):
            task = asyncio.create_task(work(*arguments), name="luma-async to completion")
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as error:
                    cancelled = error
            if not task.cancelled():
                break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # counts as retrieved
        try:
            raise cancelled
        finally:
            del cancelled  # a reference cycle would keep the frames alive
    return task.result()


class Turns:
    """Limit on the callers that continue in one turn of the event loop, first come, first served.

    A thousand submissions in one `gather` begin in one turn, and would delay everything else until
    all of them have been prepared. A caller that comes alone continues at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        """Event loop that begins the next round, or `None` if no round is due."""

    async def take(self) -> None:
        """Wait until a round has a free turn."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._left = loop, self._most
            self._waiting.clear()  # of a loop that has ended
            loop.call_soon(self._begin_round)
        if self._left and not self._waiting:
            self._left -= 1
            return
        waiter = loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _begin_round(self) -> None:
        loop, self._left = self._loop, self._most
        while self._left and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # it may be cancelled
                waiter.set_result(None)
                self._left -= 1
        if loop is not None and self._left < self._most:
            loop.call_soon(self._begin_round)
        else:
            self._loop = None


class EndableWaits:
    """A group of waits that `end()` ends together, such as all waits of a client that is closed.

    Waits that begin afterwards end at once.
    """

    def __init__(self) -> None:
        self.have_ended = False
        """`True` if `end()` was called."""
        self._scopes: dict[object, anyio.CancelScope] = {}
        self._paused: dict[object, anyio.CancelScope] = {}

    def end(self) -> None:
        """End all waits of the group."""
        self.have_ended = True
        for scope in self._scopes.values():
            scope.cancel()

    async def run(
        self, wait: Awaitable[T], error: Callable[[], Exception], *, owner: object = None
    ) -> T:
        """Await something until it is done, or raise `error()` if `end()` is called before.

        A wait of the same `owner` within another one is a part of that one.
        """
        if owner in self._scopes:
            return await wait
        key = wait if owner is None else owner
        with anyio.CancelScope() as scope:
            self._scopes[key] = scope
            if self.have_ended:
                scope.cancel()
            try:
                return await wait
            finally:
                self._scopes.pop(key, None)
        raise error()

    def pause(self, owner: object) -> None:
        """Do not end the wait of an owner for now, while it does something that must not end."""
        scope = self._scopes.pop(owner, None)
        if scope is not None:
            self._paused[owner] = scope

    def resume(self, owner: object) -> None:
        """Let the wait of an owner end again; it does at once if `end()` was called meanwhile."""
        scope = self._paused.pop(owner, None)
        if scope is not None:
            self._scopes[owner] = scope
            if self.have_ended:
                scope.cancel()
