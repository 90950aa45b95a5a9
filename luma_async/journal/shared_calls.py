"""Shared calls: the methods of `SQLJournal` by which processes share an account and its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from luma_async.journal.journal import Entry
from luma_async.journal.shared_journal import Limit
from luma_async.journal.sql.operations import Claim, MarkEnded, Operation, Release

if TYPE_CHECKING:
    from luma_async.journal.sql.store import Store


class SharedCalls:
    """Base of `SQLJournal` with the methods of `SharedJournal`."""

    _store: Store | None

    async def claim_within(
        self, limit: Limit, entry: Entry, *, instead_of: Entry | None = None
    ) -> Entry | None:
        """Claim a job key like `claim()`, if fewer jobs run at its server than the limit allows.

        The jobs of all processes count that use this journal. Return `None` if there is no free
        place, and the job key has no other entry.

        Raises:
            JournalError: the entry could not be written.

        """
        claim = Claim(entry=entry, instead_of=instead_of, limit=limit)
        return await (await self._opened()).claim(claim)

    async def lease(self, entries: Sequence[Entry]) -> AbstractSet[str]:
        """Let this process watch running jobs, and return the claims of those that it may watch.

        A job is left out if it has ended, or if another process was faster. From then on, this
        process writes a heartbeat every few seconds, until the jobs have ended or are released.

        Raises:
            JournalError: the leases could not be written.

        """
        return await (await self._opened()).lease(entries)

    async def release(self, server: str, ids: Sequence[str]) -> None:
        """Record that this process does not watch some running jobs any more.

        Raises:
            JournalError: this could not be written.

        """
        await self._write(Release(server=server, ids=ids))

    async def mark_ended(self, server: str, ids: Sequence[str]) -> None:
        """Record that running jobs have ended, but that their results are yet to be delivered.

        Such a job stays a running one, and takes no place of a `Limit`.

        Raises:
            JournalError: this could not be written.

        """
        await self._write(MarkEnded(server=server, ids=ids))

    async def find_jobs(self, server: str, ids: Sequence[str]) -> list[Entry]:
        """Return the entries of jobs by their ids, in any order. Unknown ids are left out.

        Raises:
            JournalError: the journal could not be read.

        """
        return await (await self._opened()).find_jobs(server, ids)

    async def watched_elsewhere(self, server: str, ids: Sequence[str]) -> AbstractSet[str]:
        """Return the ids of those jobs that other live processes watch until they end.

        A job is left out if its end is recorded or known, and if it is forgotten or unknown.

        Raises:
            JournalError: the journal could not be read.

        """
        return await (await self._opened()).watched_elsewhere(server, ids)

    async def unwatched(self, server: str) -> list[Entry]:
        """Return the running jobs of a server that no live process watches, oldest first.

        Forgotten jobs are left out.

        Raises:
            JournalError: the journal could not be read.

        """
        return await (await self._opened()).unwatched(server)

    async def _opened(self) -> Store:
        raise NotImplementedError

    async def _write(self, operation: Operation) -> None:
        raise NotImplementedError
