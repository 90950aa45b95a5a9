"""HintRelay: brings callbacks to the poller, or through the journal to the process of the job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from typing import Any, Protocol, cast

from luma_async.concurrency import Worker
from luma_async.dialects import Dialect
from luma_async.errors import JournalError
from luma_async.generation import Generation
from luma_async.journal.journal import Hint, Journal
from luma_async.journal.uncertain_callbacks import UncertainCallbacks
from luma_async.tasks import TaskManager

logger = logging.getLogger("luma_async")

MOST_WAITING = 1_000
"""Maximum number of hints that wait to be passed on. Polling makes up for the others."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries to listen to the journal: the first pause, and the longest."""


class HintJournal(Protocol):
    """Journal that passes hints between the processes that share it."""

    async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
        """Pass a hint on to the other processes."""

    def hints(self, on_hint: Callable[[Hint], None]) -> AbstractAsyncContextManager[None]:
        """Call a function with each hint of another process while the context is open."""


class HintRelay:
    """Callbacks on their way from a receiver to the poller that watches their job.

    A callback about a job of another process is passed on through the journal, if that can pass
    hints on. If that process has ended and left the submission uncertain, the log says so. All
    methods but `take()` belong to the event loop of the client.
    """

    def __init__(self, manager: TaskManager, dialect: Dialect, journal: Journal | None) -> None:
        self._manager = manager
        self._dialect = dialect
        self._journal = _hint_journal(journal)
        self._uncertain = None if journal is None else UncertainCallbacks(journal)
        self._outgoing: dict[str, bool] = {}
        """The request ids to pass on, with `True` if a callback said that the job has ended."""
        self._sender = Worker("luma-async hints", self._send, lambda: bool(self._outgoing))
        self._listener: asyncio.Task[None] | None = None
        self._is_closed = False

    def take(self, request_id: str, body: bytes = b"") -> bool:
        """Process a callback about the submission with this request id, in any thread.

        Returns:
            `False` if the submission is known neither here nor, possibly, to another process.

        """
        loop = self._manager.home.loop
        if self._is_closed or loop is None:
            return False
        if not self._manager.hints.knows(request_id) and self._journal is None:
            return False
        if asyncio._get_running_loop() is loop:  # noqa: SLF001  no error if there is none
            self._take(request_id, body)
            return True
        try:
            loop.call_soon_threadsafe(self._take, request_id, body)
        except RuntimeError:  # the event loop is closed
            return False
        return True

    def start(self) -> None:
        """Listen to the hints of other processes, if that has not begun."""
        if self._listener is None and self._journal is not None and not self._is_closed:
            # The variables of the caller that happens to be the first do not live on in it.
            self._listener = asyncio.create_task(
                self._listen(self._journal), name="luma-async hint listener", context=Context()
            )

    async def aclose(self) -> None:
        """Take no more callbacks, and stop listening."""
        self._is_closed = True
        await self._sender.stop()
        if self._uncertain is not None:
            await self._uncertain.aclose()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])

    def _take(self, request_id: str, body: bytes) -> None:
        seen = self._seen(body)
        if self._is_closed:
            return
        is_known = self._manager.hint(request_id, seen)
        if is_known and not self._manager.hints.may_be_elsewhere(request_id):
            return
        if self._uncertain is not None and not is_known:
            self._uncertain.add(request_id, "" if seen is None else seen.id)
        if self._journal is not None and len(self._outgoing) < MOST_WAITING:
            says_ended = seen is not None and seen.state.terminal
            self._outgoing[request_id] = self._outgoing.get(request_id, False) or says_ended
            self._sender.wake()

    def _seen(self, body: bytes) -> Generation | None:
        """Return the status in the body of a callback, or `None` if it has none."""
        try:
            return self._dialect.generation(self._dialect.get("-").read(body)) if body else None
        except Exception as error:  # noqa: BLE001  a dialect of a user may raise anything
            logger.debug("The body of a callback could not be read: %r", error)
            return None

    async def _send(self) -> None:
        # Removed first: a callback that comes while it is being passed on is passed on as well.
        sent, self._outgoing = self._outgoing, {}
        send_hint = cast("HintJournal", self._journal).send_hint
        try:
            # At once, because a journal sends many of them in one transaction.
            results = await asyncio.gather(
                *(send_hint(id, says_ended=says_ended) for id, says_ended in sent.items()),
                return_exceptions=True,
            )
        except asyncio.CancelledError:
            for id, says_ended in sent.items():
                self._outgoing[id] = self._outgoing.get(id, False) or says_ended
            raise
        for result in results:
            if isinstance(result, JournalError):
                logger.info("A callback could not be passed on: %s", result)
            elif result is not None:
                raise result

    async def _listen(self, journal: HintJournal) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with journal.hints(self._heard):
                    pause = FIRST_PAUSE
                    await asyncio.get_running_loop().create_future()
            except Exception as error:  # noqa: BLE001  a journal of a user may raise anything
                logger.info("Callbacks of other processes cannot be heard: %s", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _heard(self, hint: Hint) -> None:
        if not self._is_closed:
            self._manager.hint(hint.request_id, says_ended=hint.says_ended)


def _hint_journal(journal: Any) -> HintJournal | None:
    names = ("send_hint", "hints")
    passes = all(callable(getattr(journal, name, None)) for name in names)
    return cast("HintJournal", journal) if passes else None
