"""Bookkeeper: submits jobs through the journal, and pays for each job key only once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import anyio

from luma_async.concurrency import EndableWaits
from luma_async.errors import ClientClosedError, ConfigurationError
from luma_async.journal.closing import GRACE, Closing
from luma_async.journal.deliveries import Deliveries
from luma_async.journal.fingerprint import checked_key, fingerprint, kept_request
from luma_async.journal.journal import Entry, EntryState, Journal, made_up_key
from luma_async.journal.known_keys import KnownKeys, PreparedSubmission
from luma_async.journal.running_jobs import RunningJobs, status_of
from luma_async.journal.served_jobs import ServedJobs
from luma_async.journal.shared_journal import as_shared
from luma_async.journal.shared_places import SharedPlaces
from luma_async.journal.sql_journal import SQLJournal
from luma_async.journal.submission_record import AlreadyClaimed, JournalRecord
from luma_async.journal.write_behind import Ends, Learned
from luma_async.metadata import NO_METADATA
from luma_async.schedules import PollSchedule
from luma_async.tasks import Looks, TaskManager, VideoTask
from luma_async.tasks.job_log import counted
from luma_async.tasks.submitter import Submission, Submitter, kind_of

logger = logging.getLogger("luma_async")

PAGE = 200
"""Number of jobs to resume before other tasks of the event loop have their turn."""


class Bookkeeper:
    """Submission of jobs through a journal, and polling of the jobs that the journal knows.

    `server` is the URL of the API to submit jobs to: a host may offer several, each with its jobs.
    `own` is the journal to close at the end; it is `None` if the caller passed in a journal.
    `places` are those that all processes share, if the number of running jobs is limited by them.
    `connect()` must be called before jobs are submitted.
    """

    _submitter: Submitter
    _manager: TaskManager
    _known: KnownKeys
    _running: RunningJobs | None = None

    def __init__(
        self,
        journal: Journal,
        schedule: PollSchedule,
        *,
        server: str,
        own: SQLJournal | None,
        places: SharedPlaces | None = None,
    ) -> None:
        self.journal = journal
        self._server = server
        self._own = own
        self._learned = Learned(journal, schedule, server=server)
        self._places = places
        self._ends = Ends(
            journal,
            server=server,
            afterwards=self._learned.keep,
            freed=None if places is None else places.freed,
        )
        self._opening = asyncio.Lock()
        self._is_open = False
        self._closing = Closing()
        self._waits = EndableWaits()
        self._expects_known = False

    def connect(self, submitter: Submitter, looks: Looks) -> None:
        """Submit jobs with a submitter, and look at jobs with `looks`.

        The task manager of the submitter reports to `ended()`, so it is created after this object.
        """
        self._submitter = submitter
        self._manager = submitter.manager
        self._known = KnownKeys(
            self.journal,
            self._ends,
            submitter,
            looks,
            server=self._server,
            waits=self._waits,
            watch=self._watch,
        )
        shared = as_shared(self.journal)
        if shared is not None:
            self._running = RunningJobs(
                shared,
                submitter.manager,
                self._ends,
                server=self._server,
                open_journal=self.open,
                has_hooks=submitter.has_hooks,
                owns_journal=self._own is not None,
            )

    async def open(self) -> None:
        """Open the journal, and load the learned job durations.

        Raises:
            ClientClosedError: the client is closed.
            JournalError: the journal cannot be used.

        """
        if self._is_open and not self._waits.have_ended:
            return
        async with self._opening:
            if self._waits.have_ended:
                raise ClientClosedError("The client is closed; nothing was submitted.")
            if not self._is_open:
                await self.journal.open()
                await self._learned.recall()
                self._is_open = True

    def stop(self, *, within: float) -> None:
        """Accept no new submissions, and end all waits for the submissions of other callers.

        After `within` seconds, only the last writes to the journal are waited for.
        """
        self._closing.begin(within=within)
        self._waits.end()
        if self._running is not None:
            self._running.stop()

    async def aclose(self) -> None:
        """Write the pending changes in the remaining time, and log those that were not written.

        Nothing may be submitted or watched any more when this is called.
        """
        try:
            if self._places is not None:
                await self._places.aclose()
            if self._is_open:
                await self.deliveries.wait(self._closing.left - GRACE)
                with anyio.move_on_after(self._closing.left):
                    await self._closing.wait_for_writes()
                    await self._ends.aclose()
                    await self._learned.keep(now=True)
                    if self._running is not None:
                        await self._running.aclose()
        finally:
            await self._ends.stop()
            if self._running is not None:
                await self._running.cancel()
            if self._own is not None:
                await self._own.aclose(timeout=self._closing.left)

    def ended(self, task: VideoTask) -> None:
        """Record that the handle of a job is done."""
        if self._is_open and self._running is not None:
            self._running.ended(task)
        elif self._is_open:
            self._ends.add(task)

    @property
    def deliveries(self) -> Deliveries:
        """Jobs whose ends are recorded only when their results have been delivered."""
        return self._ends.deliveries

    def watched(self, task: VideoTask) -> None:
        """Record that a job is watched by its id, and so is not forgotten any more."""
        if self._is_open and not task.done():
            self._ends.remember(task.id)

    async def resume(self, *, forgotten: bool = False) -> list[VideoTask]:
        """Watch the unfinished jobs of this server, and return their handles.

        Forgotten jobs are among them only with `forgotten=True`, and are no longer forgotten then.

        Raises:
            ClientClosedError: the client is closed.

        """
        self._check_not_closed("resume()")
        await self.open()
        await self._ends.write_marks()
        tasks = []
        for entry in await self.journal.unfinished(self._server):
            if self._ends.is_forgotten(entry) and not forgotten:
                continue
            tasks.append(self._watch(entry))
            if len(tasks) % PAGE == 0:
                await asyncio.sleep(0)  # there may be thousands of jobs
        logger.info("Resumed from the journal: %s.", counted(len(tasks)))
        return tasks

    def serve(self, only: Callable[[Entry], bool] | None) -> ServedJobs:
        """Return an iterator over the jobs that no live process watches, now and later.

        Raises:
            ClientClosedError: the client is closed.
            ConfigurationError: the journal cannot be shared.

        """
        self._check_not_closed("serve()")
        if self._running is None:
            raise ConfigurationError(
                "serve() needs a journal that processes can share, such as SQLJournal. This one "
                "lacks methods of luma_async.journal.shared_journal.SharedJournal."
            )
        return self._running.serve(only)

    def _check_not_closed(self, call: str) -> None:
        if self._waits.have_ended:
            raise ClientClosedError(f"{call}: the client is closed.")

    async def uncertain_claims(self, key: str | None = None) -> AbstractSet[str]:
        """Return the claims of all submissions that are uncertain now, or of the one with a key.

        `retry_uncertain="once"` repeats exactly these. If several callers repeat the same
        submission, the journal lets only one of them replace its entry. If the answer to that
        repeat is lost as well, the entry has a new claim, and none of the other callers repeats it.

        Raises:
            InvalidRequestError: the key is not valid.
            JournalError: the journal cannot be read.

        """
        await self.open()
        if key is None:
            return {entry.claim for entry in await self.journal.uncertain()}
        entry = await self.journal.find(checked_key(key))
        if entry is None or entry.state is not EntryState.UNCERTAIN:
            return frozenset()
        return {entry.claim}

    async def submit(self, submission: Submission) -> VideoTask:
        """Return the handle on the job with this key, and submit the job first if there is none.

        A source that is still running is awaited only if the job is to be submitted.

        Raises:
            InvalidRequestError: the key is not valid.
            KeyConflictError: the key was used for another request, or for a job at another server.
            SubmissionUncertainError: the job may have been accepted.
            GenerationFailedError: the job with this key failed, or the source did.
            JournalError: the journal cannot be read or written; the job was not submitted.
            LumaError: as in `Submitter.send()`.

        """
        key, source = submission.key, submission.source
        if key is not None:
            checked_key(key)
        if submission.retry_uncertain == "once" and submission.claims is None:
            claims = frozenset() if key is None else await self.uncertain_claims(key)
            submission = replace(submission, claims=claims)
        is_known = source is not None and key is not None and await self.knows(key)
        if source is not None and not is_known:
            await self._submitter.finish(source)
        # The fingerprint covers the images, so they are read before the key is looked up.
        async with self._submitter.images.read(submission.request) as request:
            if not self._is_open or self._waits.have_ended:
                await self.open()
            kept = kept_request(request)
            digest = fingerprint(submission.source_id, kept)
            prepared = PreparedSubmission(submission, request, kept, digest)
            if source is not None and is_known:
                known = await self._known.find(prepared)
                if isinstance(known, VideoTask):
                    return submission.handle(known)
                await self._submitter.finish(source)
            return await self._find_or_send(prepared)

    async def knows(self, key: str) -> bool:
        """Return `True` if the journal has an entry with this job key.

        Raises:
            InvalidRequestError: the key is not valid.
            JournalError: the journal cannot be read.

        """
        await self.open()
        return await self.journal.find(checked_key(key)) is not None

    async def has_job(self, key: str, *, retry_failed: bool, retry_uncertain: bool) -> bool:
        """Return `True` if the journal has this job key, and no other job is submitted with it.

        Raises:
            InvalidRequestError: the key is not valid.
            JournalError: the journal cannot be read.

        """
        await self.open()
        entry = await self.journal.find(checked_key(key))
        if entry is None:
            return False
        if entry.state is EntryState.FAILED or entry.state is EntryState.LOST:
            return not retry_failed
        return entry.state is not EntryState.UNCERTAIN or not retry_uncertain

    async def _find_or_send(self, prepared: PreparedSubmission) -> VideoTask:
        # If the submission need not wait, claiming the key also shows if it is known. But if the
        # last key was known, this is probably a repeated run, and reading first is cheaper.
        is_redo = prepared.submission.redo is not None
        must_wait = self._submitter.must_wait or self._submitter.must_upload(prepared.request)
        reads_first = self._expects_known or must_wait or is_redo
        known = await self._known.find(prepared) if reads_first else None
        while not isinstance(known, VideoTask):
            entry = self._new_entry(prepared, known)
            record = JournalRecord(
                self.journal,
                entry,
                instead_of=known,
                closing=self._closing,
                limiter=self._places,
            )
            submission = prepared.submission
            if submission.metadata is None and entry.metadata:
                submission = replace(submission, metadata=entry.metadata)
            try:
                task = await self._submitter.send(submission, prepared.request, record, record.key)
            except AlreadyClaimed:
                known = await self._known.find(prepared)
            else:
                self._expects_known = False
                return task
        self._expects_known = True
        return prepared.submission.handle(known)

    def _new_entry(self, prepared: PreparedSubmission, known: Entry | None) -> Entry:
        claim = uuid4().hex
        now = datetime.now(UTC)
        earlier_ids: tuple[str, ...] = ()
        request_id: str | None = None
        metadata = prepared.submission.metadata
        if known is not None:
            metadata = known.metadata if metadata is None else metadata
            earlier_ids = (*known.earlier_ids, known.id) if known.id else known.earlier_ids
            # A repeat has the request id of the submission that it repeats, so that the server can
            # tell that both are for one job.
            request_id = known.request_id if known.state is EntryState.UNCERTAIN else None
        redo = prepared.submission.redo
        if redo is not None and redo not in earlier_ids:
            earlier_ids = (*earlier_ids, redo)  # settling an earlier try has freed the key
        return Entry(
            key=prepared.submission.key or made_up_key(claim),
            state=EntryState.SUBMITTING,
            request=prepared.kept,
            source_id=prepared.submission.source_id,
            server=self._server,
            earlier_ids=earlier_ids,
            submitted_at=now,
            updated_at=now,
            fingerprint=prepared.fingerprint,
            claim=claim,
            request_id=request_id or str(uuid4()),
            metadata=NO_METADATA if metadata is None else metadata,
        )

    def _watch(self, entry: Entry) -> VideoTask:
        if self._running is not None and entry.state is EntryState.RUNNING:
            task = self._running.watch(entry)
        else:
            task = self._manager.add(
                status_of(entry),
                kind=kind_of(entry.verb, entry.request),
                key=entry.key,
                metadata=entry.metadata,
                look_now=True,
                request_id=entry.request_id if self._submitter.has_hooks else None,
            )
        if self._ends.is_forgotten(entry):
            self._ends.remember(task.id)
        return task
