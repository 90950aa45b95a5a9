"""Record: one submission, written down while it is on its way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from luma_async.errors import JournalError, LumaError
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.journal import Journal
from luma_async.models import Generation

logger = logging.getLogger("luma_async")


class KeyTaken(Exception):  # noqa: N818  a signal between two modules, nobody's error
    """Somebody else claimed the key first; `entry` is what stands under it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.key)
        self.entry = entry


class Record:
    """Writes an entry before each try of a submission, and what became of it after.

    `entry` is what is to be written, in place of `instead_of` if that is given.
    """

    def __init__(self, journal: Journal, entry: Entry, *, instead_of: Entry | None) -> None:
        self._journal = journal
        self._entry = entry
        self._instead_of = instead_of
        self._request_id = str(uuid4())
        self._last_words: asyncio.Future[None] | None = None

    @property
    def key(self) -> str:
        """The key of the entry."""
        return self._entry.key

    @property
    def request_id(self) -> str:
        """The id that goes with each try."""
        return self._request_id

    async def confirm(self) -> None:
        """Look once more that the submission may leave."""

    async def sending(self) -> None:
        """Write that the submission leaves now.

        Raises:
            KeyTaken: there is another entry under the key.
            JournalError: it could not be written.

        """
        now = datetime.now(UTC)
        self._entry = replace(self._entry, submitted_at=now, updated_at=now)
        try:
            stands = await self._journal.claim(self._entry, instead_of=self._instead_of)
        except JournalError as error:
            text = f"{error} The job was not submitted."
        else:
            if stands.claim != self._entry.claim:
                raise KeyTaken(stands)
            return
        raise JournalError(text)

    async def taken(self, result: Generation) -> None:
        """Write down the job's id."""
        await self._write(
            self._journal.taken(self._entry, result.id),
            f"The job was taken, and is task {result.id}",
        )

    async def not_taken(self) -> None:
        """Give the key back, for the next try or for another time."""
        await self._write(
            self._journal.refused(self._entry, instead_of=self._instead_of), "The job was not taken"
        )
        if self._instead_of is not None:
            self._instead_of = replace(self._instead_of, claim=self._entry.claim)
            self._entry = replace(self._entry, claim=uuid4().hex)

    async def unclear(self, error: LumaError) -> None:
        """Write down that the job may have been taken; a next try is in place of this one."""
        await self._write(
            self._journal.unclear(self._entry, str(error)), "The job may have been taken"
        )
        self._instead_of = replace(self._entry, state=EntryState.UNCERTAIN, reason=str(error))
        self._entry = replace(self._entry, claim=uuid4().hex)

    def cut_off(self, *, has_left: bool) -> None:
        """Have it written that nobody waits for the answer any more; this does not wait either."""
        if has_left:
            writing = self.unclear(LumaError("The submission was cut off before the answer came."))
        else:
            writing = self.not_taken()
        self._last_words = asyncio.ensure_future(writing)

    async def _write(self, writing: Awaitable[None], what: str) -> None:
        try:
            await writing
        except JournalError as error:
            logger.error("%s, but the journal does not know it yet. %s", what, error)  # noqa: TRY400
        except Exception:  # a journal of the user's may raise anything, and the job is paid for
            logger.exception("%s, but the journal does not know it.", what)
