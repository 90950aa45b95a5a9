"""Signal sender: many signals in one transaction, and equal ones once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import NamedTuple

from luma_async.concurrency import Worker
from luma_async.errors import JournalError

REPEAT_AFTER = 1.0
"""Seconds between two signals that are equal."""

_LARGEST_BATCH = 250
"""Maximum number of signals in one transaction."""

_MOST_REMEMBERED = 4096
"""Maximum number of signals of the last second to remember. Further ones are sent all the same, and
their repetitions as well."""


class Signal(NamedTuple):
    """Message on a topic. `sender` identifies the open journal that sent it."""

    sender: str
    topic: str
    payload: str


class SignalSender:
    """Queue of signals that are sent through `write`, in the order in which they arrive.

    Signals that arrive during a transaction share the next one. A failure concerns all signals of
    the queue, and none of them is tried again.

    A repeated signal is news: what it is about may have changed since. It is therefore not dropped,
    but sent once at the end of its second.
    """

    def __init__(self, write: Callable[[Sequence[Signal]], Awaitable[None]]) -> None:
        self._write = write
        self._queue: dict[Signal, asyncio.Future[None]] = {}
        self._sent: dict[Signal, float] = {}
        self._repeats: dict[Signal, asyncio.TimerHandle] = {}
        self._worker = Worker("luma-async journal signals", self._step, lambda: bool(self._queue))

    async def send(self, signal: Signal) -> None:
        """Send a signal, and return when it is sent, or planned for the end of its second.

        Raises:
            JournalError: the signal could not be sent.

        """
        loop = asyncio.get_running_loop()
        left = self._sent.get(signal, loop.time() - REPEAT_AFTER) + REPEAT_AFTER - loop.time()
        if left <= 0:
            await asyncio.shield(self._put(signal))
        elif signal not in self._repeats:
            self._repeats[signal] = loop.call_later(left, self._repeat, signal)

    async def aclose(self, reason: JournalError, *, within: float) -> None:
        """Send the queue for at most `within` seconds, and fail the rest with a reason."""
        for signal, timer in list(self._repeats.items()):
            timer.cancel()
            self._repeat(signal)
        self._worker.wake()
        await self._worker.wait(within)
        await self._worker.stop()
        self._fail(reason)
        self._sent.clear()

    def _put(self, signal: Signal) -> asyncio.Future[None]:
        done = self._queue.get(signal)
        if done is None:
            done = self._queue[signal] = asyncio.get_running_loop().create_future()
        self._worker.wake()
        return done

    def _repeat(self, signal: Signal) -> None:
        del self._repeats[signal]
        self._put(signal)

    async def _step(self) -> None:
        """Send one batch. A signal leaves the queue only after it was sent, or has failed."""
        now = asyncio.get_running_loop().time()
        while self._sent and now - next(iter(self._sent.values())) >= REPEAT_AFTER:
            del self._sent[next(iter(self._sent))]
        batch = list(islice(self._queue, _LARGEST_BATCH))
        for signal in batch:  # from now on, the same signal is another one
            self._sent.pop(signal, None)
            if len(self._sent) < _MOST_REMEMBERED:
                self._sent[signal] = now
        try:
            await self._write(batch)
        except JournalError as error:
            self._fail(error)
            for signal in batch:
                self._sent.pop(signal, None)
        else:
            for signal in batch:
                done = self._queue.pop(signal)
                if not done.done():  # all futures of a loop may be cancelled
                    done.set_result(None)

    def _fail(self, error: JournalError) -> None:
        for done in self._queue.values():
            if not done.done():
                done.set_exception(error)
                done.exception()  # counts as retrieved, even if no caller waits
        self._queue.clear()
