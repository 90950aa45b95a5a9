"""Journal: the protocol of a durable store of jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from luma_async.errors import NotFoundError
from luma_async.generation import Generation
from luma_async.metadata import no_metadata
from luma_async.tasks.job_log import GENERATED_KEY


class Journal(Protocol):
    """Durable store of jobs, with one entry for each job key.

    Changes are durable when a method returns: they survive a power cut. Each method raises
    `JournalError` if that cannot be achieved. `SQLJournal` is the implementation in this library.

    A journal may also have the methods `find_file(server, sha256)` and `remember_file(server,
    sha256, id)` of `SQLJournal`. With them, a file is not uploaded again by a later process.

    The methods `send_hint(request_id, *, says_ended=False)` and `hints(on_hint)` of `SQLJournal`
    are optional as well. With them, a callback that arrives at another process than the one that
    watches the job is passed on. `hints` is an async context manager. While it is open, it calls
    `on_hint(hint)` in the event loop with each `Hint` that another process sends. A hint may be
    lost.

    A journal with all methods of `SharedJournal` may limit the running jobs of all processes that
    use it, and lets one process watch each job. With another one, each process watches all jobs
    that it resumes.

    With the method `newest(limit, *, state=None)` of `SQLJournal`, which is optional, too, an AI
    agent can list jobs without an export.
    """

    async def open(self) -> None:
        """Open the journal, and raise an error if it cannot be used.

        The first use of a journal opens it as well.
        """

    async def aclose(self) -> None:
        """Write the pending changes, and release the store."""

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        """Claim a job key with an entry, and return the entry that the job key has then.

        That is the given entry, with the same `claim`, or another one: if several callers claim a
        job key at once, only one succeeds. `instead_of` is an entry that the new one may replace,
        if it has not changed since it was read.
        """

    async def hold(self, entry: Entry) -> bool:
        """Return `True` if a claim is still valid, right before its submission is sent.

        A process that was suspended counts as dead after a while, and by the time that it continues
        its job key may belong to another caller. If the claim is valid, this process does not count
        as dead from now on.
        """

    async def mark_accepted(self, entry: Entry, id: str) -> None:
        """Record that a job was accepted, with its id. If writing fails, continue to try."""

    async def mark_rejected(self, entry: Entry, *, instead_of: Entry | None = None) -> None:
        """Remove the claim of a rejected job, and restore the entry that it replaced, if any."""

    async def mark_uncertain(self, entry: Entry, reason: str) -> None:
        """Record that a submission is uncertain: the job may have been accepted."""

    async def finish(self, ends: Sequence[End]) -> None:
        """Record the ends of jobs; jobs that are not in the journal are ignored."""

    async def mark_forgotten(self, server: str, ids: Sequence[str], *, forgotten: bool) -> None:
        """Record that running jobs of a server are forgotten, or that they are not any more.

        A forgotten job stays a running job, and its end is recorded as that of any other. Jobs that
        are not running are ignored.
        """

    async def find(self, key: str) -> Entry | None:
        """Return the entry with this job key, or `None`."""

    async def states(self) -> Mapping[str, EntryState]:
        """Return the state of each job key."""

    async def unfinished(self, server: str) -> list[Entry]:
        """Return the running jobs of a server, oldest first, with the forgotten ones."""

    async def uncertain(self) -> list[Entry]:
        """Return the jobs that may have been accepted, oldest first."""

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        """Settle an uncertain job with its `id`, or free its job key with `resubmit=True`."""

    async def purge(self, older_than: timedelta | float) -> int:
        """Delete the jobs that ended more than `older_than` ago, and return their number.

        A number is in seconds.
        """

    def export(self) -> AsyncIterator[str]:
        """Yield each job as a line of JSON, oldest first."""

    async def learned(self, server: str) -> Mapping[str, Any]:
        """Return the learned durations of the jobs of a server."""

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        """Store the learned durations of the jobs of a server."""


class EntryState(StrEnum):
    """State of a job in the journal."""

    SUBMITTING = "submitting"
    """Claimed by a live process that is submitting the job."""
    UNCERTAIN = "uncertain"
    """Sent, but no answer confirmed or denied that the job was accepted. The user settles it."""
    RUNNING = "running"
    """Accepted by the server; the id is known."""
    COMPLETED = "completed"
    """The job has its output."""
    FAILED = "failed"
    """The job failed at the server."""
    LOST = "lost"
    """No longer known to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job in a journal.

    Attributes:
        key: the job key; generated (`auto-...`) if the caller gave none.
        state: the state of the job.
        request: the fields that were requested; the data URI of an image is replaced by its
            SHA-256.
        source_id: the id of the job whose output the request works on, such as the extended one.
        server: the URL of the API that the job was submitted to: the base URL, and the path with
            which the calls of the dialect begin.
        id: the server's id of the job, if it is known.
        generation: the last status of the job, if it is completed or failed.
        reason: why the job is uncertain or lost; for a job that is being submitted, why its outcome
            may not be known for long.
        earlier_ids: ids of the earlier jobs with the same key, from before it was submitted again:
            jobs that failed, and jobs that were redone.
        submitted_at, updated_at: when the job was submitted, and when its state changed last.
        fingerprint: equal for equal requests.
        claim: identifies this one submission of the job.
        request_id: sent with each try as `Idempotency-Key` and `X-Request-Id`; `None` in journals
            of releases that sent none.
        metadata: the caller's own data about the job, a JSON object. It is not part of the
            request and its fingerprint.
        forgotten: `True` if the job is running, and was given up with `VideoTask.forget()`.
            `resume()` leaves it.
        has_ended: `True` if the job is running only because its result is yet to be delivered.
        owner: identifies the open journal, and with it the process, that submitted the job, or that
            watches it if it is running. Empty if nobody does.
        is_watched_elsewhere: `True` if the job is running, and another live process watches it.

    """

    key: str
    state: EntryState
    request: Mapping[str, Any]
    source_id: str | None = None
    server: str
    id: str | None = None
    generation: Generation | None = None
    reason: str | None = None
    earlier_ids: tuple[str, ...] = ()
    submitted_at: datetime
    updated_at: datetime
    fingerprint: str
    claim: str
    request_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=no_metadata)
    forgotten: bool = False
    has_ended: bool = False
    owner: str = field(default="", compare=False)
    is_watched_elsewhere: bool = field(default=False, compare=False)

    @property
    def verb(self) -> str:
        """Name of the call that submitted the job, such as `generate` or `extend`."""
        kind = self.request.get("kind")
        return str(kind or ("generate" if self.source_id is None else "extend"))


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """End of a job: its last generation, or the reason why the job is lost.

    `server` and `id` identify the job. `key` is its job key, if that is known here.
    """

    server: str
    id: str
    generation: Generation | None = None
    reason: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        end = self.generation.state if self.generation is not None else "lost"
        named = f" with the job key {self.key!r}" if self.key is not None else ""
        return f"the job {self.id}{named} is {end}"


@dataclass(frozen=True, slots=True)
class Hint:
    """Advice of another process to look at a job now. It is never a fact.

    Attributes:
        request_id: the `Entry.request_id` of the submission, a UUID.
        says_ended: `True` if a callback said that the job has ended. Then the job is looked at
            again soon if the server does not show the end yet.

    """

    request_id: str
    says_ended: bool = False


def lost_error(entry: Entry) -> NotFoundError:
    """Return the error for a lost job."""
    return NotFoundError(
        entry.reason or "the server no longer knows the job",
        status=404,
        call=f"the server of job {entry.id}",
        next_step="retry_failed=True submits it again",
    )


def made_up_key(claim: str) -> str:
    """Return the generated job key of a job that was submitted without one."""
    return f"{GENERATED_KEY}{claim}"


def forgetting(id: str, *, forgotten: bool) -> str:
    """Return the description of a mark of `Journal.mark_forgotten()`, for the log."""
    return f"the job {id} is {'forgotten' if forgotten else 'not forgotten any more'}"
