"""ChangeListener: hears the changes of other processes while they matter to a client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context

from luma_async.journal.shared_journal import Change, SharedJournal

logger = logging.getLogger("luma_async")

LINGER = 10.0
"""Seconds after which listening ends if it is not needed any more."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries to listen: the first pause, and the longest."""


class ChangeListener:
    """Listener to the changes of a journal, in an asyncio task that exists while it is needed.

    Args:
        journal: the journal.
        is_needed: returns `True` while the changes matter.
        on_begin: called when listening has begun. Changes from before were not heard.
        on_change: called with each change.

    """

    def __init__(
        self,
        journal: SharedJournal,
        *,
        is_needed: Callable[[], bool],
        on_begin: Callable[[], None],
        on_change: Callable[[Change], None],
    ) -> None:
        self._journal = journal
        self._is_needed = is_needed
        self._on_begin = on_begin
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def wake(self) -> None:
        """Listen, if that is needed."""
        is_listening = self._task is not None and not self._task.done()
        if not (is_listening or self._is_closed) and self._is_needed():
            # The variables of the caller that happens to be the first do not live on in it.
            self._task = asyncio.create_task(
                self._listen(), name="luma-async change listener", context=Context()
            )

    async def aclose(self) -> None:
        """Stop listening."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while self._is_needed():
            try:
                async with self._journal.changes(self._on_change):
                    pause = FIRST_PAUSE
                    self._on_begin()
                    while self._is_needed():  # noqa: ASYNC110  to end somewhat later does no harm
                        await asyncio.sleep(LINGER)
            except Exception as error:  # noqa: BLE001  a journal of a user may raise anything
                logger.info("Changes of other processes cannot be heard: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
