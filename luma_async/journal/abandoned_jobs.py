"""AbandonedJobs: find the ends of jobs whose process has died, because they take up places."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping

from luma_async.errors import ClientClosedError, LumaError, NotFoundError
from luma_async.generation import Generation
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

    A job that cannot be looked at keeps its place. The log says once that there are such jobs.
    """

    def __init__(self, journal: SharedJournal, looks: Looks, *, server: str) -> None:
        self._journal = journal
        self._looks = looks
        self._server = server
        self._missing_since: dict[str, float] = {}
        self._failing: set[str] = set()
        self._has_warned = False

    async def mark_ended(self) -> int:
        """Look at the jobs once, and return the number of those that have ended.

        Raises:
            JournalError: the journal cannot be used.
            ClientClosedError: the client is closed.

        """
        entries = await self._journal.unwatched(self._server)
        unwatched = {entry.id for entry in entries if entry.id and _counts(entry)}
        # In random order: if a request for many jobs fails, an error of the first job counts for
        # all of them.
        ids = random.sample(sorted(unwatched), min(len(unwatched), MOST_LOOKED_AT))
        results = await self._looks.each(ids)
        seen = {id: each for id, each in results.items() if isinstance(each, Generation)}
        failed = _failed(results)
        not_seen = unwatched - seen.keys()
        missing = not_seen.intersection(ids) - failed.keys()
        lost = self._lost(missing, not_seen)
        self._warn(failed, not_seen - missing)
        ended = [id for id in ids if id in lost or (id in seen and seen[id].state.terminal)]
        if ended:
            await self._journal.mark_ended(self._server, ended)
            logger.info("Have ended, and were watched by no process: %s.", counted(len(ended)))
        return len(ended)

    def _lost(self, missing: set[str], not_seen: set[str]) -> set[str]:
        """Return the jobs that the server has not known for so long that they count as lost.

        Of a job that this check did not look at, it stays recorded since when it is missing.
        """
        now = asyncio.get_running_loop().time()
        kept = {id: since for id, since in self._missing_since.items() if id in not_seen}
        self._missing_since = dict.fromkeys(missing, now) | kept
        return {id for id in missing if now - self._missing_since[id] >= LOST_AFTER}

    def _warn(self, failed: dict[str, LumaError], not_answered: set[str]) -> None:
        """Log that jobs cannot be looked at, once until all of them can be."""
        self._failing = (self._failing & not_answered) | failed.keys()
        if not self._failing:
            self._has_warned = False
        elif not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Cannot be looked at, are watched by no process, and go on taking places: %s. "
                "Job %.80s: %.300s",
                *(counted(len(failed)), *next(iter(failed.items()))),
            )


def _counts(entry: Entry) -> bool:
    return entry.id is not None and not entry.has_ended and not entry.forgotten


def _failed(results: Mapping[str, Generation | LumaError]) -> dict[str, LumaError]:
    """Return the errors that say nothing about their jobs.

    Raises:
        ClientClosedError: the looks failed because the client is closed.

    """
    failed: dict[str, LumaError] = {}
    for id, each in results.items():
        if isinstance(each, ClientClosedError):
            raise each
        if isinstance(each, LumaError) and not isinstance(each, NotFoundError):
            failed[id] = each
    return failed
