"""JournalRecord: the journal entry of one submission, from its claim to its outcome."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from uuid import uuid4

from luma_async.errors import JournalError, LumaError
from luma_async.generation import Generation
from luma_async.journal.closing import Closing
from luma_async.journal.journal import Entry, EntryState, Journal
from luma_async.journal.sql.owner import running_time
from luma_async.tasks.places import NoFreePlace
from luma_async.telemetry.semantic_names import log_attributes
from luma_async.transport import UnsentSubmission

logger = logging.getLogger("luma_async")


class ClaimLimiter(Protocol):
    """Way to claim a job key if there is a free place for its job."""

    async def claim(self, entry: Entry, *, instead_of: Entry | None) -> Entry | None:
        """Claim a job key like `Journal.claim()`. Return `None` if there is no free place."""


class AlreadyClaimed(UnsentSubmission):
    """The key was claimed by another caller first; `entry` is the entry of that caller."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(entry.key)
        self.entry = entry


class JournalRecord:
    """The journal entry of one submission: a claim before each try, and its outcome afterwards.

    `entry` is the entry to write, in place of `instead_of` if that is given. Each try has a claim
    of its own, because the outcome of an earlier try may still be on its way to the database. No
    write takes longer than `closing` allows. With a `limiter`, a claim needs a free place.
    """

    def __init__(
        self,
        journal: Journal,
        entry: Entry,
        *,
        instead_of: Entry | None,
        closing: Closing,
        limiter: ClaimLimiter | None = None,
    ) -> None:
        self.key = entry.key
        self.request_id = entry.request_id or ""  # only entries of old releases have none
        self._journal = journal
        self._entry = entry
        self._instead_of = instead_of
        self._closing = closing
        self._limiter = limiter
        self._claimed_at = 0.0

    async def claim(self) -> None:
        """Claim the key, right before the submission is sent.

        Raises:
            AlreadyClaimed: another entry has the key.
            NoFreePlace: as many jobs are running as the limit of the journal allows.
            JournalError: the claim could not be written.

        """
        now = datetime.now(UTC)
        self._entry = replace(self._entry, submitted_at=now, updated_at=now)
        self._claimed_at = running_time()
        try:
            async with self._closing.bound():
                current = await self._claimed()
        except JournalError as error:
            text = f"{error} The job was not submitted."
        except TimeoutError:
            self._closing.write_in_background(self.rejected)
            text = (
                "The client was closed before the journal was written. The job was not submitted."
            )
        else:
            if current is None:
                raise NoFreePlace(self.key)
            if current.claim != self._entry.claim:
                raise AlreadyClaimed(current)
            return
        raise JournalError(text)

    async def _claimed(self) -> Entry | None:
        """Claim the key, and return the entry that it has then, or `None` without a free place."""
        if self._limiter is None:
            return await self._journal.claim(self._entry, instead_of=self._instead_of)
        return await self._limiter.claim(self._entry, instead_of=self._instead_of)

    async def confirm(self) -> None:
        """Check the claim once more, because this process may have been suspended.

        Raises:
            JournalError: the claim is no longer valid or cannot be checked; the submission must not
                be sent.

        """
        try:
            async with self._closing.bound():
                is_valid = await self._journal.hold(self._entry)
        except JournalError as error:
            text = f"{error} The job {self.key!r} was not submitted."
        except TimeoutError:
            text = f"The client was closed before the job {self.key!r} was submitted."
        else:
            if is_valid:
                return
            text = (
                f"The job {self.key!r} was not submitted. This process was silent for "
                f"{running_time() - self._claimed_at:.0f} s during the submission, so it counted "
                "as dead, and the job key was settled or used again meanwhile. Submit with this "
                "job key again to get the state of its job."
            )
        logger.error("%s", text, extra=log_attributes(None, self.key))
        raise JournalError(text)

    async def accepted(self, result: Generation) -> None:
        """Record that the job was accepted, with its id."""
        await self._write(
            self._journal.mark_accepted(self._entry, result.id),
            f"The job {self.key!r} was accepted, with the id {result.id}",
            result.id,
        )

    async def rejected(self) -> None:
        """Release the key, for the next try or for another call."""
        entry = self._entry
        await self._write(
            self._journal.mark_rejected(entry, instead_of=self._instead_of),
            f"The job {self.key!r} was not accepted",
        )
        if self._instead_of is not None:
            self._instead_of = replace(self._instead_of, claim=entry.claim)
        self._next_claim(entry)

    async def uncertain(self, error: LumaError) -> None:
        """Record that the job may have been accepted; the next try replaces this one."""
        entry = self._entry
        await self._write(
            self._journal.mark_uncertain(entry, str(error)),
            f"The job {self.key!r} may have been accepted",
        )
        self._instead_of = replace(entry, state=EntryState.UNCERTAIN, reason=str(error))
        self._next_claim(entry)

    def cancelled(self, *, has_left: bool) -> None:
        """Record in the background that the submission was cancelled."""
        if has_left:
            why = LumaError("The submission was cancelled before the answer arrived.")
            self._closing.write_in_background(partial(self.uncertain, why))
        else:
            self._closing.write_in_background(self.rejected)

    def _next_claim(self, entry: Entry) -> None:
        self._entry = replace(entry, claim=uuid4().hex)

    async def _write(self, writing: Awaitable[None], outcome: str, id: str | None = None) -> None:
        about = log_attributes(id, self.key)
        try:
            async with self._closing.bound():
                await writing
        except (JournalError, TimeoutError) as error:
            why = error if isinstance(error, JournalError) else "The client is being closed."
            text = "%s, but the journal does not know it yet. %s"
            logger.error(text, outcome, why, extra=about)  # noqa: TRY400
        except Exception:  # a custom journal may raise anything, and the job may be paid for
            logger.exception("%s, but the journal does not know it.", outcome, extra=about)
