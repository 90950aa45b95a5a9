"""Journal: what the client expects of the place where jobs are written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from luma_async.journal.entry import End, Entry, EntryState


class Journal(Protocol):
    """Keeps what must survive a crash: one entry for each job, under its key.

    What returns is durable: a power cut after it changes nothing. Any of it raises `JournalError`
    where that cannot be had. `SQLJournal` is the one that comes with this library.
    """

    async def open(self) -> None:
        """Make it ready, which the first use does, too; a journal that cannot be used says so."""

    async def aclose(self) -> None:
        """Write what is still to be written, and let go of the place."""

    async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
        """Write an entry that is `submitting`, and return what stands under its key then.

        That is the entry itself, told by its `claim`, or another one: of those who claim a key at
        once, one gets it. `instead_of` is an entry that this one may replace, if it still stands
        there as it is.
        """

    async def hold(self, entry: Entry) -> bool:
        """Return whether a claim still stands, right before its submission leaves.

        A process that was stopped counts as dead after a while, and its key may be somebody else's
        by the time that it goes on. If the claim stands, nobody may think so from now on.
        """

    async def taken(self, entry: Entry, id: str) -> None:
        """Write down the id of a job that was submitted; where it fails, go on trying."""

    async def refused(self, entry: Entry, *, instead_of: Entry | None = None) -> None:
        """Take back a claim: the job was not taken. What it was instead of stands there again."""

    async def unclear(self, entry: Entry, reason: str) -> None:
        """Write down that nobody knows whether a job was taken."""

    async def finish(self, ends: Sequence[End]) -> None:
        """Write down how jobs ended; those that are not in here are passed over."""

    async def find(self, key: str) -> Entry | None:
        """Return what stands under a key."""

    async def states(self) -> Mapping[str, EntryState]:
        """Return how each key stands."""

    async def unfinished(self, server: str) -> list[Entry]:
        """Return the running jobs of a server, the oldest first."""

    async def uncertain(self) -> list[Entry]:
        """Return the jobs that may have been taken, the oldest first."""

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        """Say what became of an uncertain job: its `id`, or that it may be submitted anew."""

    async def purge(self, older_than: timedelta | float) -> int:
        """Delete the jobs that ended longer ago than that, and return how many."""

    def export(self) -> AsyncIterator[str]:
        """Yield each job as a line of JSON, the oldest first."""

    async def learned(self, server: str) -> Mapping[str, Any]:
        """Return what was kept of how long a server's jobs take."""

    async def keep_learned(self, server: str, learned: Mapping[str, Any]) -> None:
        """Keep how long a server's jobs take."""
