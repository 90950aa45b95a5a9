"""Signal calls: the methods of `SQLJournal` for short messages between processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from luma_async.errors import InvalidRequestError
from luma_async.journal.journal import Hint
from luma_async.journal.shared_journal import Change

if TYPE_CHECKING:
    from luma_async.journal.sql.store import Store

_HINTS = "hint"
"""Topic of the signals that ask for a look at a job."""

_ENDED = "ended"
"""Word in the payload of such a signal if a callback said that the job has ended. It makes the
signal another one than that of the start, so that none of the two is taken for a repetition."""


class SignalCalls:
    """Base of `SQLJournal` with the methods that send signals and listen to them."""

    _store: Store | None

    async def send_hint(self, request_id: str, *, says_ended: bool = False) -> None:
        """Ask the other processes that use this journal to look at a job now.

        The process that watches the job of this submission does so, if it listens with `hints()`.
        Nothing is stored for the others. A hint that is repeated within a second is sent once more,
        at the end of that second.

        Args:
            request_id: the `Entry.request_id` of the submission, a UUID.
            says_ended: `True` if a callback said that the job has ended. Then the job is looked at
                again soon if the server does not show the end yet.

        Raises:
            InvalidRequestError: the request id is not a UUID.
            JournalError: the hint could not be sent. It is not sent later.

        """
        id = _uuid(request_id)
        if id is None:
            raise InvalidRequestError.of("request_id", f"must be a UUID, got {request_id!r}")
        await (await self._opened()).signals.send(_HINTS, _payload(id, says_ended))

    @asynccontextmanager
    async def hints(self, on_hint: Callable[[Hint], None]) -> AsyncGenerator[None, None]:
        """Call a function with each hint that another process sends.

        >>> async with journal.hints(print):                   # doctest: +SKIP
        ...     await asyncio.sleep(60)

        The function is called in the event loop, for the hints of other open journals: those of
        this `SQLJournal` are left out. If the database cannot be listened to, the log has a
        warning, and it is tried again until the context is left. If the journal is closed and
        opened again in the context, the hints from then on are heard.

        Raises:
            JournalError: the journal cannot be opened.

        """

        def receive(payload: str) -> None:
            hint = _hint(payload)
            if hint is not None:  # any user of the database can send signals
                on_hint(hint)

        async with self._listening(_HINTS, receive):
            yield

    @asynccontextmanager
    async def changes(self, on_change: Callable[[Change], None]) -> AsyncGenerator[None, None]:
        """Call a function in the event loop with each change of another process.

        >>> async with journal.changes(print):                 # doctest: +SKIP
        ...     await asyncio.sleep(60)

        A change may get lost. If the database cannot be listened to, the log has a warning, and it
        is tried again until the context is left.

        Raises:
            JournalError: the journal cannot be opened.

        """
        # Loaded with the store: at the top of the file, an extra may be missing.
        from luma_async.journal.sql.change_signals import TOPIC, parse_change  # noqa: PLC0415

        await (await self._opened()).attend()
        async with self._listening(TOPIC, lambda payload: on_change(parse_change(payload))):
            yield

    @asynccontextmanager
    async def _listening(
        self, topic: str, receive: Callable[[str], None]
    ) -> AsyncGenerator[None, None]:
        """Call a function with the payload of each signal on a topic."""
        try:
            async with (await self._opened()).signals.listen(topic, receive):
                yield
        finally:
            if self._store is not None:  # perhaps another one, if the journal was opened again
                await self._store.signals.stop_if_unused()

    async def _opened(self) -> Store:
        raise NotImplementedError


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None


def _payload(id: UUID, says_ended: bool) -> str:
    """Return the payload of the signal for a hint: the request id, and a word about it."""
    return f"{id.hex} {_ENDED}" if says_ended else id.hex


def _hint(payload: str) -> Hint | None:
    """Return the hint of a payload, or `None` if it is not valid. Unknown words are ignored."""
    first, *words = payload.split(" ")
    id = _uuid(first)
    return None if id is None else Hint(str(id), says_ended=_ENDED in words)
