"""Bookkeeper: every job goes through the journal, and what a key names is paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import anyio

from luma_async.errors import (
    ClientClosedError,
    GenerationFailedError,
    JournalError,
    KeyConflictError,
    LumaError,
    NotFoundError,
    SubmissionUncertainError,
)
from luma_async.journal.asked import checked_key, fingerprint, kept_request
from luma_async.journal.closing import Closing
from luma_async.journal.ends import Ends
from luma_async.journal.entry import Entry, EntryState, made_up_key
from luma_async.journal.journal import Journal
from luma_async.journal.learned import Learned
from luma_async.journal.record import KeyTaken, Record
from luma_async.journal.sql_journal import SQLJournal
from luma_async.models import Generation, State
from luma_async.tasks import PollSchedule, TaskManager, VideoTask
from luma_async.tasks.submission import Retries, Submission, kind_of
from luma_async.tasks.submitter import Submitter

PAGE = 200
"""Jobs that are taken up before others have their turn."""

FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds between two looks at an entry that somebody else is submitting."""

LONGEST_SUBMISSION = 900.0
"""Seconds that somebody else's submission is waited for. None takes as long that goes well."""

Look = Callable[[str], Awaitable[Generation]]
"""Asks the server once how a job stands."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, as the journal sees it.

    `confirmed` are the claims of failed jobs that the server was asked about once more.
    """

    submission: Submission
    key: str | None
    kept: dict[str, Any]
    fingerprint: str
    retries: Retries
    confirmed: set[str] = field(default_factory=set)


class Bookkeeper:
    """Submits jobs by the journal, and watches those that it knows.

    `server` is the base URL that jobs are submitted at, and `look` asks it how one of them stands.
    A journal that is this client's `own` is closed at the end.
    """

    def __init__(
        self,
        journal: Journal,
        submitter: Submitter,
        manager: TaskManager,
        schedule: PollSchedule,
        *,
        server: str,
        look: Look,
        own: SQLJournal | None,
    ) -> None:
        self.journal = journal
        self._submitter = submitter
        self._manager = manager
        self._server = server
        self._look = look
        self._own = own
        self._learned = Learned(journal, schedule, server=server)
        self._ends = Ends(journal, server=server, afterwards=self._learned.keep)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._closing = Closing()
        self._expects_known = False

    async def open(self) -> None:
        """Open the journal, and recall what was learned.

        Raises:
            ClientClosedError: the client is closed.
            JournalError: the journal cannot be used.

        """
        if self._is_open and not self._closing.begun.is_set():
            return
        async with self._opening:
            if self._closing.begun.is_set():
                raise ClientClosedError("The client is closed; nothing was submitted.")
            if not self._is_open:
                await self.journal.open()
                await self._learned.recall()
                self._is_open = True

    def stop(self, *, within: float) -> None:
        """Let nothing new begin, and nobody wait for somebody else's submission.

        After so many seconds from now, nothing but the last words is waited for.
        """
        self._closing.begin(within=within)

    async def aclose(self) -> None:
        """Write down what is left, in the time that there is, and log what could not be written.

        Nothing may be submitted or watched any more.
        """
        try:
            if self._is_open:
                with anyio.move_on_after(self._closing.left):
                    await self._closing.heard()
                    await self._ends.aclose()
                    await self._learned.keep(now=True)
        finally:
            await self._ends.stop()
            if self._own is not None:
                await self._own.aclose(timeout=self._closing.left)

    def ended(self, task: VideoTask) -> None:
        """Note that a handle is done."""
        if self._is_open:
            self._ends.add(task)

    async def resume(self) -> list[VideoTask]:
        """Watch the unfinished jobs of this server."""
        await self.open()
        tasks = []
        for entry in await self.journal.unfinished(self._server):
            tasks.append(self._watch(entry))
            if len(tasks) % PAGE == 0:
                await asyncio.sleep(0)  # there may be thousands
        return tasks

    async def knows(self, key: str) -> bool:
        """Whether the journal has an entry under a key.

        Raises:
            InvalidRequestError: the key cannot be one.
            JournalError: the journal cannot be read.

        """
        checked_key(key)
        await self.open()
        return await self.journal.find(key) is not None

    async def uncertain_claims(self, key: str | None = None) -> AbstractSet[str]:
        """Return the claims of the submissions that are uncertain now, under one key or under any.

        These are what `retry_uncertain="once"` repeats. Of several callers that repeat one of them,
        the journal lets one replace it. If that one's answer is lost as well, its claim is a new
        one, which none of the others may repeat.

        Raises:
            InvalidRequestError: the key cannot be one.
            JournalError: the journal cannot be read.

        """
        await self.open()
        if key is None:
            return {entry.claim for entry in await self.journal.uncertain()}
        entry = await self.journal.find(checked_key(key))
        if entry is None or entry.state is not EntryState.UNCERTAIN:
            return set()
        return {entry.claim}

    async def asked(self, submission: Submission, *, key: str | None, retries: Retries) -> Asked:
        """Return what is asked for, with what tells it from anything else.

        Raises:
            InvalidRequestError: the key cannot be one.

        """
        if key is not None:
            checked_key(key)
        await self.open()
        kept = kept_request(submission)
        return Asked(
            submission,
            key,
            kept,
            fingerprint(submission.source_id, kept),
            retries,
        )

    async def find(self, asked: Asked) -> VideoTask | None:
        """Return the handle on the job that is known under a key; `None` if it is to be submitted.

        Raises:
            KeyConflictError: the key names another job.
            SubmissionUncertainError: nobody knows whether it was taken.
            GenerationFailedError: it has failed.
            JournalError: the journal cannot be read.

        """
        found = await self._stands(asked)
        return found if isinstance(found, VideoTask) else None

    async def submit(self, asked: Asked) -> VideoTask:
        """Return the handle on the job that is known under a key, or submit it.

        Raises:
            LumaError: as `find()` and `Submitter.submit()`.

        """
        # Where nothing is to be waited for, the claim itself tells whether the key is known; but
        # where the last one was, this is a run made again, and asking is cheaper.
        looks_first = self._submitter.must_wait or self._expects_known
        stands = await self._stands(asked) if looks_first else None
        while not isinstance(stands, VideoTask):
            record = Record(
                self.journal,
                self._new_entry(asked, stands),
                instead_of=stands,
                closing=self._closing,
            )
            try:
                task = await self._submitter.submit(
                    asked.submission,
                    retry_uncertain=asked.retries.uncertain is True,
                    key=record.key,
                    record=record,
                )
            except KeyTaken:
                stands = await self._stands(asked)
            else:
                self._expects_known = False
                return task
        self._expects_known = True
        return stands

    def _new_entry(self, asked: Asked, stands: Entry | None) -> Entry:
        claim = uuid4().hex
        now = datetime.now(UTC)
        return Entry(
            key=asked.key or made_up_key(claim),
            state=EntryState.SUBMITTING,
            request=asked.kept,
            source_id=asked.submission.source_id,
            server=self._server,
            earlier_ids=_ids_of(stands) if stands else (),
            submitted_at=now,
            updated_at=now,
            fingerprint=asked.fingerprint,
            claim=claim,
            request_id=_request_id(stands),
        )

    async def _stands(self, asked: Asked) -> VideoTask | Entry | None:
        """Return how things stand under a key: a job, an entry to be replaced, or nothing."""
        if asked.key is None:
            return None
        entry = await self._seen_through(asked.key)
        if entry is None:
            return None
        has_failed = entry.state is EntryState.FAILED or entry.state is EntryState.LOST
        if has_failed and asked.retries.failed:
            task = await self._alive_after_all(entry, asked)
            if entry.fingerprint == asked.fingerprint:
                return task or entry
            if entry.state is EntryState.FAILED and task is None:
                return entry  # there is nothing to lose
            after_all = f", and is {task.state} after all" if task else ""
            raise KeyConflictError(
                asked.key, f"was used for another request{_named(entry)}{after_all}"
            )
        if entry.fingerprint != asked.fingerprint:
            raise KeyConflictError(asked.key, f"was used for another request{_named(entry)}")
        return self._what_to_do(entry, asked)

    async def _alive_after_all(self, entry: Entry, asked: Asked) -> VideoTask | None:
        """Look once more at a job that failed or was lost, before another one is paid for.

        If it succeeded after all, the journal has that from now on; if it runs, it is watched. One
        that failed at another server did so by that server's own word.

        Raises:
            KeyConflictError: it was lost by another server, which this client cannot ask.
            LumaError: the server cannot be asked, so nobody knows; nothing is submitted.

        """
        if not entry.id or entry.claim in asked.confirmed:
            return None
        if entry.server != self._server:
            if entry.state is EntryState.FAILED:
                return None
            raise self._is_elsewhere(entry)
        try:
            seen = await self._look(entry.id)
        except NotFoundError:
            seen = None
        if seen is None or seen.state is State.FAILED:
            asked.confirmed.add(entry.claim)
            return None
        return self._manager.add(
            seen, kind=kind_of(entry.verb, entry.request), key=entry.key, look_now=True
        )

    def _what_to_do(self, entry: Entry, asked: Asked) -> VideoTask | Entry:
        """Return the handle on a job that is known for just this, or its entry to be replaced."""
        is_lost = entry.state is EntryState.LOST and not asked.retries.failed
        if entry.state is EntryState.RUNNING or is_lost:  # a server may find again what it had lost
            if entry.server != self._server:
                raise self._is_elsewhere(entry)
            return self._watch(entry)
        if entry.state is EntryState.COMPLETED and entry.generation is not None:
            return VideoTask.finished(entry.generation, key=entry.key)
        if entry.state is EntryState.UNCERTAIN:
            if not asked.retries.may_repeat(entry.claim):
                raise _uncertain(entry, asked.submission)
        elif not asked.retries.failed:
            raise _failure(entry)
        return entry

    def _is_elsewhere(self, entry: Entry) -> KeyConflictError:
        """Return the error of an unfinished or lost job, of which only another server can tell."""
        return KeyConflictError(
            entry.key,
            f"names task {entry.id} at {entry.server}, and base_url is {self._server} here",
            next_step=f"Ask for it with base_url={entry.server!r}, or for another job under "
            "another key",
        )

    async def _seen_through(self, key: str) -> Entry | None:
        """Return what stands under a key once nobody is submitting it."""
        pause = FIRST_LOOK
        until = asyncio.get_running_loop().time() + LONGEST_SUBMISSION
        while True:
            entry = await self.journal.find(key)
            if entry is None or entry.state is not EntryState.SUBMITTING:
                return entry
            why = entry.reason
            if why is None and asyncio.get_running_loop().time() >= until:
                why = f"It has been on its way for {LONGEST_SUBMISSION:g} s. Ask for it later"
            if why is not None:
                raise JournalError(
                    f"{key!r} is being submitted by somebody else. {why}; nothing was submitted."
                )
            with anyio.move_on_after(pause):
                await self._closing.begun.wait()
                raise ClientClosedError(f"The client was closed while {key!r} was being submitted.")
            pause = min(pause * 1.5, LONGEST_LOOK)

    def _watch(self, entry: Entry) -> VideoTask:
        generation = Generation(
            id=entry.id or "",
            state=State.PENDING,
            prompt=entry.request.get("prompt"),
            created_at=entry.submitted_at,
        )
        return self._manager.add(
            generation,
            kind=kind_of(entry.verb, entry.request),
            key=entry.key,
            look_now=True,
        )


def _ids_of(entry: Entry) -> tuple[str, ...]:
    """Return every id that a key has named so far."""
    return (*entry.earlier_ids, entry.id) if entry.id else entry.earlier_ids


def _request_id(stands: Entry | None) -> str:
    """Return the id that goes with a submission: that of an uncertain one, if it repeats that."""
    is_repeat = stands is not None and stands.state is EntryState.UNCERTAIN
    return (stands.request_id if stands and is_repeat else None) or str(uuid4())


def _named(entry: Entry) -> str:
    prompt = str(entry.request.get("prompt", ""))
    shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
    return f" ({entry.verb} {shown!r}{f', task {entry.id}' if entry.id else ''})"


def _uncertain(entry: Entry, submission: Submission) -> SubmissionUncertainError:
    return SubmissionUncertainError(
        LumaError(entry.reason or "Its answer was lost."),
        request=submission.request,
        source_id=submission.source_id,
        key=entry.key,
        request_id=entry.request_id,
    )


def _failure(entry: Entry) -> LumaError:
    if entry.generation is not None:
        return GenerationFailedError(entry.generation)
    return NotFoundError(
        entry.reason or "the server no longer knows it",
        status=404,
        call=f"the server of task {entry.id}",
        next_step="retry_failed=True submits it again",
    )
