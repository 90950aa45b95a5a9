"""KnownKeys: finds the job of a key in the journal, or the entry that a new job may replace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from luma_async.concurrency import EndableWaits
from luma_async.dialects.known_apis import api_with_url
from luma_async.errors import (
    ClientClosedError,
    JournalError,
    KeyConflictError,
    LumaError,
    NotFoundError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation, State, failure_of
from luma_async.journal.journal import End, Entry, EntryState, Journal, lost_error
from luma_async.journal.write_behind import Ends
from luma_async.requests import JobRequest
from luma_async.tasks import Looks, VideoTask
from luma_async.tasks.submitter import Submission, Submitter, kind_of
from luma_async.text_values import bounded

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two reads of an entry that another caller is submitting: the first pause, and the
longest."""

LONGEST_SUBMISSION = 900.0
"""Seconds to wait for the submission of another caller. No successful submission takes that
long."""


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """A submission in the form that the journal compares and stores.

    `request` has its images read, and `kept` is its form in the journal. `confirmed` holds the
    claims of failed or lost jobs whose end the server has confirmed when asked once more.
    """

    submission: Submission
    request: JobRequest
    kept: dict[str, Any]
    fingerprint: str
    confirmed: set[str] = field(default_factory=set)


class KnownKeys:
    """Lookup of job keys in the journal, before a job is submitted.

    An entry is replaced only if the caller has allowed it. Before that, the server is asked once
    more about a failed or lost job, so that no second video is paid for.

    Args:
        journal: the journal.
        ends: the writer of the ends of jobs, which knows those that the journal does not know yet.
        submitter: the submitter of the client.
        looks: the status requests.
        server: the URL of the API of the client.
        waits: the waits for the submissions of other callers, which end with the client.
        watch: watches the unfinished or lost job of an entry, and returns its handle.

    """

    def __init__(
        self,
        journal: Journal,
        ends: Ends,
        submitter: Submitter,
        looks: Looks,
        *,
        server: str,
        waits: EndableWaits,
        watch: Callable[[Entry], VideoTask],
    ) -> None:
        self._journal = journal
        self._ends = ends
        self._submitter = submitter
        self._manager = submitter.manager
        self._looks = looks
        self._server = server
        self._waits = waits
        self._watch = watch

    async def find(self, prepared: PreparedSubmission) -> VideoTask | Entry | None:
        """Return the handle on a key's job, the entry to replace, or `None` if the key is free."""
        submission, key = prepared.submission, prepared.submission.key
        if key is None:
            return None
        await self._ends.write_marks()
        entry = await self._after_submission(key)
        if entry is None:
            return None
        if submission.redo is not None and submission.redo not in entry.earlier_ids and entry.id:
            return await self._to_replace(entry, submission.redo)
        if submission.retry_failed and entry.state is EntryState.RUNNING:
            # Ends are written in the background, so that the journal may not know this one yet.
            end = self._ends.find_failure(entry.id)
            if end is not None:
                await self._journal.finish([end])
                entry = await self._journal.find(key) or entry
        has_failed = entry.state is EntryState.FAILED or entry.state is EntryState.LOST
        if has_failed and submission.retry_failed:
            return await self._to_retry(entry, prepared)
        is_same = entry.fingerprint == prepared.fingerprint
        if not is_same and not (submission.any_request and entry.id):
            raise _used_for_another_request(entry)
        return self._handle_or_entry(entry, submission)

    async def _to_retry(self, entry: Entry, prepared: PreparedSubmission) -> VideoTask | Entry:
        """Return the entry of a failed or lost job to replace, or its handle if it has not failed.

        Raises:
            KeyConflictError: the job was for another request, and may have a video.
            LumaError: as in `_look_again()`.

        """
        task = await self._look_again(entry, prepared)
        if entry.fingerprint == prepared.fingerprint:
            return task or entry
        if entry.state is EntryState.FAILED and task is None:
            return entry  # a failed job has no video to lose
        if task is not None and prepared.submission.any_request:
            return task
        after_all = f", whose job is {task.state} after all" if task else ""
        raise _used_for_another_request(entry, after_all)

    async def _to_replace(self, entry: Entry, id: str) -> Entry:
        """Return the entry of a job that is to be submitted anew, if the job has ended.

        Raises:
            KeyConflictError: the key has another job, or the job is still running.
            LumaError: the server cannot be asked if the job has ended.

        """
        if entry.id != id:
            raise KeyConflictError(
                entry.key,
                f"has the job {entry.id}, and not {id}",
                next_step=f"redo={entry.id!r} submits that job anew",
            )
        if entry.state is not EntryState.RUNNING:
            return entry
        if entry.server != self._server:
            raise self._at_another_server(entry)
        # Ends are written in the background, so that the journal may not know this one yet.
        seen = await self._looks.one(id)
        if seen.state.terminal:
            await self._journal.finish([End(server=self._server, id=id, generation=seen)])
            entry = await self._journal.find(entry.key) or entry
        if entry.state is EntryState.RUNNING:
            raise KeyConflictError(
                entry.key,
                f"has the job {id}, which is still running",
                next_step="Wait until it has ended to submit it anew",
            )
        return entry

    async def _look_again(self, entry: Entry, prepared: PreparedSubmission) -> VideoTask | None:
        """Request the status of a failed or lost job once more, before paying for another one.

        If the job has succeeded after all, the journal records that; if it is running, it is
        watched. A job that failed at another server is not asked about: that server itself reported
        the failure.

        Raises:
            KeyConflictError: the job was lost at another server, which this client cannot ask.
            LumaError: the server cannot be asked, so the state of the job is unknown; nothing is
                submitted.

        """
        if not entry.id or entry.claim in prepared.confirmed:
            return None
        if entry.server != self._server:
            if entry.state is EntryState.FAILED:
                return None
            raise self._at_another_server(entry)
        try:
            seen = await self._looks.one(entry.id)
        except NotFoundError:
            seen = None
        if seen is None or seen.state is State.FAILED:
            prepared.confirmed.add(entry.claim)
            return None
        return self._manager.add(
            seen,
            kind=kind_of(entry.verb, entry.request),
            key=entry.key,
            metadata=entry.metadata,
            look_now=True,
            request_id=entry.request_id if self._submitter.has_hooks else None,
        )

    def _handle_or_entry(self, entry: Entry, submission: Submission) -> VideoTask | Entry:
        """Return the handle on the job of an equal request, or its entry if it may be replaced."""
        is_lost = entry.state is EntryState.LOST and not submission.retry_failed
        if entry.state is EntryState.RUNNING or is_lost:  # a lost job may reappear
            if entry.server != self._server:
                raise self._at_another_server(entry)
            # The journal may not know yet that the job has ended here.
            video = self._ends.find_video(entry.id)
            return self._watch(entry) if video is None else self._finished(entry, video)
        if entry.state is EntryState.COMPLETED and entry.generation is not None:
            return self._finished(entry, entry.generation)
        if entry.state is EntryState.UNCERTAIN:
            if not submission.may_repeat(entry.claim):
                raise _uncertain(entry, submission, self._submitter.search)
        elif not submission.retry_failed:
            raise _failure(entry)
        return entry

    def _finished(self, entry: Entry, video: Generation) -> VideoTask:
        return VideoTask.finished(video, self._manager, key=entry.key, metadata=entry.metadata)

    def _at_another_server(self, entry: Entry) -> KeyConflictError:
        """Return the error for an unfinished or lost job whose state only another server knows."""
        return KeyConflictError(
            entry.key,
            f"belongs to job {entry.id} at {entry.server}, but this client is at {self._server}",
            next_step=f"Use base_url={entry.server!r} and its dialect (by the form of the URL, "
            f"{api_with_url(entry.server).name!r}) to get this job, or another job key for another "
            "job",
        )

    async def _after_submission(self, key: str) -> Entry | None:
        """Return the entry with this key as soon as no other caller is submitting it."""
        pause = FIRST_PAUSE
        until = asyncio.get_running_loop().time() + LONGEST_SUBMISSION
        while True:
            entry = await self._journal.find(key)
            if entry is None or entry.state is not EntryState.SUBMITTING:
                return entry
            why = entry.reason
            if why is None and asyncio.get_running_loop().time() >= until:
                why = f"The submission has taken {LONGEST_SUBMISSION:g} s so far. Try again later"
            if why is not None:
                raise JournalError(
                    f"The job {key!r} is being submitted by another caller. {why}; "
                    "nothing was submitted."
                )
            await self._waits.run(asyncio.sleep(pause), partial(_closed, key))
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _closed(key: str) -> ClientClosedError:
    return ClientClosedError(f"The client was closed while the job {key!r} was being submitted.")


def _used_for_another_request(entry: Entry, after_all: str = "") -> KeyConflictError:
    return KeyConflictError(
        entry.key, f"was used for another request{_description(entry)}{after_all}", id=entry.id
    )


def _description(entry: Entry) -> str:
    shown = bounded(str(entry.request.get("prompt", "")), 60)
    return f" ({entry.verb} {shown!r}{f', job {entry.id}' if entry.id else ''})"


def _uncertain(
    entry: Entry, submission: Submission, search: str | None
) -> SubmissionUncertainError:
    return SubmissionUncertainError(
        LumaError(entry.reason or "The answer was lost."),
        prompt=submission.request.prompt,
        source_id=submission.source_id,
        key=entry.key,
        request_id=entry.request_id,
        search=search,
    )


def _failure(entry: Entry) -> LumaError:
    if entry.generation is not None:
        return failure_of(entry.generation)
    return lost_error(entry)
