"""Operations on the database of a journal, as data. Several can share one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from luma_async.journal.journal import End, Entry, forgetting, made_up_key
from luma_async.journal.shared_journal import Limit


@dataclass(slots=True, eq=False, kw_only=True)
class Operation:
    """One operation on the database.

    `done` is set when the operation is queued: the future of its result, which is there when the
    operation is durable, or of its first failure.
    """

    done: asyncio.Future[Any] = field(init=False, repr=False)

    only_reads: ClassVar[bool] = False
    """`True` if the operation writes nothing."""

    is_retried: ClassVar[bool] = False
    """`True` if the operation is repeated until it succeeds, because it concerns a job that may be
    paid for."""

    is_cleanup: ClassVar[bool] = False
    """`True` if the operation need not be reported when it never succeeds."""

    def jobs(self) -> list[str]:
        """Return a description of each job that the operation concerns, for the log."""
        return []


@dataclass(slots=True, eq=False, kw_only=True)
class Claim(Operation):
    """Write an entry, unless its key has another one than `instead_of`, or `limit` is reached."""

    entry: Entry
    instead_of: Entry | None = None
    limit: Limit | None = None

    @property
    def is_contested(self) -> bool:
        """`True` if another caller may claim the same key."""
        return self.entry.key != made_up_key(self.entry.claim)


@dataclass(slots=True, eq=False, kw_only=True)
class ClaimOutcome(Operation):
    """Record the outcome of a claim; base of the operations that do."""

    entry: Entry

    is_retried: ClassVar[bool] = True


@dataclass(slots=True, eq=False, kw_only=True)
class Accepted(ClaimOutcome):
    """Record the id of an accepted job."""

    id: str

    def jobs(self) -> list[str]:
        """Describe the job and its id."""
        return [f"the job with the job key {self.entry.key!r} was accepted, with the id {self.id}"]


@dataclass(slots=True, eq=False, kw_only=True)
class Rejected(ClaimOutcome):
    """Remove the claim of a rejected job, and restore the entry that it replaced, if any."""

    instead_of: Entry | None = None

    def jobs(self) -> list[str]:
        """Describe the rejected job."""
        return [f"the job with the job key {self.entry.key!r} was rejected"]


@dataclass(slots=True, eq=False, kw_only=True)
class Withdrawn(Rejected):
    """Remove a claim that failed or was cancelled: it may have been written all the same."""

    is_cleanup: ClassVar[bool] = True

    def jobs(self) -> list[str]:
        """Return nothing: without its claim, there is no job to report."""
        return []


@dataclass(slots=True, eq=False, kw_only=True)
class Uncertain(ClaimOutcome):
    """Record that a job may have been accepted."""

    reason: str

    def jobs(self) -> list[str]:
        """Describe the uncertain job and the reason."""
        return [f"the job with the job key {self.entry.key!r} was uncertain: {self.reason}"]


@dataclass(slots=True, eq=False, kw_only=True)
class Finish(Operation):
    """Record the ends of jobs."""

    ends: Sequence[End]

    is_retried: ClassVar[bool] = True

    def jobs(self) -> list[str]:
        """Describe each of the ends."""
        return [str(end) for end in self.ends]


@dataclass(slots=True, eq=False, kw_only=True)
class Forget(Operation):
    """Record that running jobs of a server are forgotten, or that they are not any more."""

    server: str
    ids: Sequence[str]
    forgotten: bool

    is_retried: ClassVar[bool] = True

    def jobs(self) -> list[str]:
        """Describe each of the jobs."""
        return [forgetting(id, forgotten=self.forgotten) for id in self.ids]


@dataclass(slots=True, eq=False, kw_only=True)
class MarkEnded(Operation):
    """Record that running jobs of a server have ended, and are yet to be delivered."""

    server: str
    ids: Sequence[str]


@dataclass(slots=True, eq=False, kw_only=True)
class Lease(Operation):
    """Let this owner watch running jobs, if their entries have the same owner as when read."""

    entries: Sequence[Entry]


@dataclass(slots=True, eq=False, kw_only=True)
class Release(Operation):
    """Record that this owner does not watch some running jobs of a server any more."""

    server: str
    ids: Sequence[str]


@dataclass(slots=True, eq=False, kw_only=True)
class Find(Operation):
    """Read the entry with a key."""

    key: str

    only_reads: ClassVar[bool] = True


@dataclass(slots=True, eq=False, kw_only=True)
class Beat(Operation):
    """Record a heartbeat of this process."""


@dataclass(slots=True, eq=False, kw_only=True)
class Hold(Operation):
    """Confirm that a claim is still valid, and record a heartbeat of this process."""

    entry: Entry
