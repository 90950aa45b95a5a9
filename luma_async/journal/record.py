"""Record: one submission, written down while it is on its way."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from luma_async.errors import JournalError, LumaError
from luma_async.journal.closing import Closing
from luma_async.journal.entry import Entry, EntryState
from luma_async.journal.journal import Journal
from luma_async.journal.owner import running_time
from luma_async.models import Generation

logger = logging.getLogger("luma_async")


class KeyTaken(Exception):  # noqa: N818  a signal between two modules, nobody's error
    """Somebody else claimed the key first; `entry` is what stands under it."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.key)
        self.entry = entry


class Record:
    """Writes an entry before each try of a submission, and what became of it after.

    `entry` is what is to be written, in place of `instead_of` if that is given. Each try is a claim
    of its own, for the words on an earlier one may still be on their way to the database. Nothing
    is waited for longer than `closing` allows.
    """

    def __init__(
        self, journal: Journal, entry: Entry, *, instead_of: Entry | None, closing: Closing
    ) -> None:
        self._journal = journal
        self._entry = entry
        self._instead_of = instead_of
        self._closing = closing
        self._claimed_at = 0.0

    @property
    def key(self) -> str:
        """The key of the entry."""
        return self._entry.key

    @property
    def request_id(self) -> str:
        """The id that goes with each try of the submission."""
        if self._entry.request_id is None:  # that of an older journal had none
            self._entry = replace(self._entry, request_id=str(uuid4()))
        return self._entry.request_id or ""

    async def sending(self) -> None:
        """Write that the submission leaves now.

        Raises:
            KeyTaken: there is another entry under the key.
            JournalError: it could not be written.

        """
        now = datetime.now(UTC)
        self._entry = replace(self._entry, submitted_at=now, updated_at=now)
        self._claimed_at = running_time()
        try:
            async with self._closing.bound():
                stands = await self._journal.claim(self._entry, instead_of=self._instead_of)
        except JournalError as error:
            text = f"{error} The job was not submitted."
        except TimeoutError:
            self._closing.say(self.not_taken)
            text = (
                "The client was closed before the journal was written; the job was not submitted."
            )
        else:
            if stands.claim != self._entry.claim:
                raise KeyTaken(stands)
            return
        raise JournalError(text)

    async def confirm(self) -> None:
        """Look once more that the submission may leave: this process may have been stopped.

        Raises:
            JournalError: it may not, or nobody can tell; it does not leave.

        """
        try:
            async with self._closing.bound():
                stands = await self._journal.hold(self._entry)
        except JournalError as error:
            text = f"{error} The job {self.key!r} was not submitted."
        except TimeoutError:
            text = f"The client was closed before {self.key!r} was submitted."
        else:
            if stands:
                return
            text = (
                f"The job {self.key!r} was not submitted. This process was silent for "
                f"{running_time() - self._claimed_at:.0f} s while it was submitting it, so it "
                "counted as dead, and its key was settled or used again meanwhile. Ask for the key "
                "again to see how it stands."
            )
        logger.error("%s", text)
        raise JournalError(text)

    async def taken(self, result: Generation) -> None:
        """Write down the job's id."""
        await self._write(
            self._journal.taken(self._entry, result.id),
            f"The job {self.key!r} was taken, and is task {result.id}",
        )

    async def not_taken(self) -> None:
        """Give the key back, for the next try or for another time."""
        entry = self._entry
        await self._write(
            self._journal.refused(entry, instead_of=self._instead_of),
            f"The job {self.key!r} was not taken",
        )
        if self._instead_of is not None:
            self._instead_of = replace(self._instead_of, claim=entry.claim)
        self._next_claim(entry)

    async def unclear(self, error: LumaError) -> None:
        """Write down that the job may have been taken; a next try is in place of this one."""
        entry = self._entry
        await self._write(
            self._journal.unclear(entry, str(error)), f"The job {self.key!r} may have been taken"
        )
        self._instead_of = replace(entry, state=EntryState.UNCERTAIN, reason=str(error))
        self._next_claim(entry)

    def cut_off(self, *, has_left: bool) -> None:
        """Have it written that nobody waits for the answer any more; this does not wait either."""
        if has_left:
            why = LumaError("The submission was cut off before the answer came.")
            self._closing.say(partial(self.unclear, why))
        else:
            self._closing.say(self.not_taken)

    def _next_claim(self, entry: Entry) -> None:
        self._entry = replace(entry, claim=uuid4().hex)

    async def _write(self, writing: Awaitable[None], what: str) -> None:
        try:
            async with self._closing.bound():
                await writing
        except (JournalError, TimeoutError) as error:
            why = error if isinstance(error, JournalError) else "The client is being closed."
            logger.error("%s, but the journal does not know it yet. %s", what, why)  # noqa: TRY400
        except Exception:  # a journal of the user's may raise anything, and the job is paid for
            logger.exception("%s, but the journal does not know it.", what)
