"""AbandonedJobs: find the ends of jobs whose process has died, because they take up places."""

from __future__ import annotations

import asyncio
import logging
import random

from luma_async.journal.journal import Entry
from luma_async.journal.shared_journal import SharedJournal
from luma_async.tasks import Looks
from luma_async.tasks.job_log import counted
from luma_async.tasks.manager import LOST_AFTER

logger = logging.getLogger("luma_async")

MOST_LOOKED_AT = 100
"""Maximum number of jobs in one check. That is one request, if the server takes as many."""


class AbandonedJobs:
    """Jobs of a server that no process watches, such as those of a process that was killed.

    Those that have ended are marked, so that they take no place of a limit. They stay running jobs
    in the journal: the process that resumes them delivers them.
    """

    def __init__(self, journal: SharedJournal, looks: Looks, *, server: str) -> None:
        self._journal = journal
        self._looks = looks
        self._server = server
        self._missing_since: dict[str, float] = {}

    async def mark_ended(self) -> int:
        """Look at the jobs once, and return the number of those that have ended.

        Raises:
            JournalError: the journal cannot be used.
            LumaError: the server gave no usable answer.

        """
        entries = [entry for entry in await self._journal.unwatched(self._server) if _counts(entry)]
        if not entries:
            self._missing_since.clear()
            return 0
        if len(entries) > MOST_LOOKED_AT:
            entries = random.sample(entries, MOST_LOOKED_AT)
        ids = [entry.id for entry in entries if entry.id]
        seen = await self._looks.many(ids)
        missing = self._lost(set(ids) - seen.keys())
        ended = [id for id in ids if id in missing or (id in seen and seen[id].state.terminal)]
        if ended:
            await self._journal.mark_ended(self._server, ended)
            logger.info("Have ended, and were watched by no process: %s.", counted(len(ended)))
        return len(ended)

    def _lost(self, missing: set[str]) -> set[str]:
        """Return the jobs that the server has not known for so long that they count as lost."""
        now = asyncio.get_running_loop().time()
        before = self._missing_since
        self._missing_since = {id: before.get(id, now) for id in missing}
        return {id for id, since in self._missing_since.items() if now - since >= LOST_AFTER}


def _counts(entry: Entry) -> bool:
    return entry.id is not None and not entry.has_ended and not entry.forgotten
