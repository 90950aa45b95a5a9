"""Journal: the protocol of a durable store of jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from luma_async.journal.entry import End, Entry, EntryState


class Journal(Protocol):
    """Durable store of jobs, with one entry for each job key.

    Changes are durable when a method returns: they survive a power cut. Each method raises
    `JournalError` if that cannot be achieved. `SQLJournal` is the implementation in this library.
    """

    async def open(self) -> None:
        """Open the journal, and raise an error if it cannot be used.

        The first use of a journal opens it as well.
        """

    async def aclose(self) -> None:
        """Write the pending changes, and release the store."""

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        """Write an entry with the state `submitting`, and return the entry that the key has then.

        That is the given entry, with the same `claim`, or another one: if several callers claim a
        key at once, only one succeeds. `instead_of` is an entry that the new one may replace, if it
        has not changed since it was read.
        """

    async def hold(self, entry: Entry) -> bool:
        """Return `True` if a claim is still valid, right before its submission is sent.

        A process that was suspended counts as dead after a while, and by the time that it continues
        its key may belong to another caller. If the claim is valid, this process does not count as
        dead from now on.
        """

    async def taken(self, entry: Entry, id: str) -> None:
        """Record that a job was accepted, with its id. If writing fails, continue to try."""

    async def refused(self, entry: Entry, *, instead_of: Entry | None = None) -> None:
        """Remove the claim of a rejected job, and restore the entry that it replaced, if any."""

    async def unclear(self, entry: Entry, reason: str) -> None:
        """Record that a submission is uncertain: the job may have been accepted."""

    async def finish(self, ends: Sequence[End]) -> None:
        """Record the ends of jobs; jobs that are not in the journal are ignored."""

    async def find(self, key: str) -> Entry | None:
        """Return the entry with this key, or `None`."""

    async def states(self) -> Mapping[str, EntryState]:
        """Return the state of each key."""

    async def unfinished(self, server: str) -> list[Entry]:
        """Return the running jobs of a server, oldest first."""

    async def uncertain(self) -> list[Entry]:
        """Return the jobs that may have been accepted, oldest first."""

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        """Settle an uncertain job with its `id`, or free its key with `resubmit=True`."""

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
