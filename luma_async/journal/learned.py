"""Learned job durations, kept from one run to the next."""

from __future__ import annotations

import asyncio
import logging

from luma_async.errors import JournalError
from luma_async.journal.journal import Journal
from luma_async.tasks import AdaptiveSchedule, PollSchedule

logger = logging.getLogger("luma_async")

KEEP_EVERY = 60.0
"""Seconds between two writes of the learned durations, while jobs end."""


class Learned:
    """Exchange of learned durations between a schedule and the journal.

    Failures are only logged: without stored durations the schedule learns anew.
    """

    def __init__(self, journal: Journal, schedule: PollSchedule, *, server: str) -> None:
        self._journal = journal
        self._schedule = schedule if isinstance(schedule, AdaptiveSchedule) else None
        self._server = server
        self._kept: object = None
        self._keep_at = 0.0

    async def recall(self) -> None:
        """Load the stored durations of a server into the schedule."""
        if self._schedule is None:
            return
        try:
            self._schedule.recall(await self._journal.learned(self._server))
        except JournalError as error:
            logger.warning("%s The durations of jobs are learned anew.", error)
        self._kept = self._schedule.learned()

    async def keep(self, *, now: bool = False) -> None:
        """Store the durations that the schedule has learned, if it is time or `now` is set."""
        if self._schedule is None:
            return
        moment = asyncio.get_running_loop().time()
        learned = self._schedule.learned()
        if learned == self._kept or (moment < self._keep_at and not now):
            return
        self._keep_at = moment + KEEP_EVERY
        self._kept = learned
        try:
            await self._journal.keep_learned(self._server, learned)
        except JournalError as error:
            logger.warning("%s The learned durations of jobs are not stored.", error)
