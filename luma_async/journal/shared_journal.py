"""SharedJournal: a journal with which several processes share an account and its jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from luma_async.journal.journal import Entry, Journal


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of the jobs that run at a server, of all processes that use a journal.

    Attributes:
        max_tasks: maximum number of jobs.
        uncertain_for: seconds for which an uncertain submission counts as a running job. The job
            may have been accepted, and then it ends by itself.

    """

    max_tasks: int
    uncertain_for: float


@dataclass(frozen=True, slots=True)
class Change:
    """News of another process about jobs. It may get lost, so it only saves time.

    Attributes:
        ended: digests of the ids of jobs whose ends were recorded.
        freed: number of places of a `Limit` that became free.
        taken: number of places that were taken, if there is no free one after that.
        is_released: `True` if jobs are not watched any more, and another process may do it.

    """

    ended: frozenset[str] = frozenset()
    freed: int = 0
    taken: int = 0
    is_released: bool = False

    def has_ended(self, id: str) -> bool:
        """Return `True` if the end of a job is probably recorded."""
        return digest_of(id) in self.ended


def digest_of(id: str) -> str:
    """Return a short digest of the id of a job. An id itself may be of any length."""
    return hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:12]


class SharedJournal(Journal, Protocol):
    """Journal with a common limit of running jobs, and with leases.

    A running job has one process that watches it. If that process is silent for a while, or has
    ended, another one may take the lease of the job. A lease prevents no process from looking at a
    job: it saves looks, and is not needed for safety.
    """

    async def claim_within(
        self, limit: Limit, entry: Entry, *, instead_of: Entry | None = None
    ) -> Entry | None:
        """Claim a job key like `claim()`, if fewer jobs run at its server than the limit allows.

        Return `None` if there is no free place, and the job key has no other entry.
        """

    async def lease(self, entries: Sequence[Entry]) -> AbstractSet[str]:
        """Let this process watch running jobs, and return the claims of those that it may watch.

        A job is left out if it has ended, or if another process was faster.
        """

    async def release(self, server: str, ids: Sequence[str]) -> None:
        """Record that this process does not watch some running jobs any more."""

    async def mark_ended(self, server: str, ids: Sequence[str]) -> None:
        """Record that running jobs have ended, but that their results are yet to be delivered.

        Such a job stays a running one, and takes no place of a `Limit`.
        """

    async def find_jobs(self, server: str, ids: Sequence[str]) -> list[Entry]:
        """Return the entries of jobs by their ids, in any order."""

    async def watched_elsewhere(self, server: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return the ids of those jobs that other live processes watch until they end.

        A job is left out if its end is recorded or known, and if it is forgotten or unknown.
        """

    async def unwatched(self, server: str) -> list[Entry]:
        """Return the running jobs of a server that no live process watches, oldest first.

        Forgotten jobs are left out.
        """

    def changes(self, on_change: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Call a function in the event loop with each change of another process.

        While the context is open, `on_change(change)` is called for other open journals at the same
        place.
        """


_METHODS = (
    "claim_within",
    "lease",
    "release",
    "mark_ended",
    "find_jobs",
    "watched_elsewhere",
    "unwatched",
    "changes",
)


def as_shared(journal: Any) -> SharedJournal | None:
    """Return a journal that can be shared, or `None` if it has not all of the methods for that."""
    can_share = all(callable(getattr(journal, name, None)) for name in _METHODS)
    return cast("SharedJournal", journal) if can_share else None
