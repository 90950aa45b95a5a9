"""UncertainCallbacks: callbacks that show the job of a submission that an ended process left."""

from __future__ import annotations

import logging
from collections import OrderedDict

from luma_async.concurrency import Worker
from luma_async.errors import JournalError
from luma_async.journal.journal import Journal
from luma_async.tasks.hints import MOST_KEPT, log_uncertain_job

logger = logging.getLogger("luma_async")

MOST_WAITING = 1_000
"""Maximum number of callbacks that wait to be compared with the journal."""


class UncertainCallbacks:
    """Callbacks about submissions of other processes, compared with the uncertain ones.

    A process that was killed while it submitted a job left an uncertain entry. A callback about it
    shows that the server has the job. The log tells so, once, with the way to settle it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: dict[str, str] = {}
        self._told: OrderedDict[str, None] = OrderedDict()
        self._reader = Worker(
            "luma-async uncertain callbacks", self._compare, lambda: bool(self._waiting)
        )

    def add(self, request_id: str, id: str) -> None:
        """Compare a callback with the journal soon. `id` is that of the job, by the callback."""
        if request_id not in self._told and len(self._waiting) < MOST_WAITING:
            self._waiting[request_id] = id
            self._reader.wake()

    async def aclose(self) -> None:
        """Compare no more callbacks."""
        await self._reader.stop()

    async def _compare(self) -> None:
        callbacks = dict(self._waiting)
        try:
            entries = await self._journal.uncertain()
        except JournalError as error:
            logger.debug("Callbacks could not be compared with the journal: %s", error)
            entries = []
        for entry in entries:
            if entry.request_id in callbacks and entry.request_id not in self._told:
                self._told[entry.request_id] = None
                log_uncertain_job(entry.request_id, entry.key, callbacks[entry.request_id])
        if len(self._told) > MOST_KEPT:
            self._told.popitem(last=False)
        for request_id, id in callbacks.items():
            if self._waiting.get(request_id) == id:
                del self._waiting[request_id]
