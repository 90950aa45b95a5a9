"""Settle calls: the methods of `SQLJournal` by which a person settles uncertain jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from luma_async.errors import InvalidRequestError, JournalError
from luma_async.journal.journal import Entry, EntryState
from luma_async.text_values import has_lone_surrogate

if TYPE_CHECKING:
    from luma_async.journal.sql.store import Store

_MOST_SHOWN = 20
"""Maximum number of jobs named in one error."""


class SettleCalls:
    """Base of `SQLJournal` with the methods that record the outcome of uncertain submissions."""

    async def settle(self, key: str, *, id: str | None = None, resubmit: bool = False) -> None:
        """Settle an uncertain job, once you know if the server has it.

        Gateways have a list of tasks, and for the Dream Machine API `LumaClient.generations()`
        lists the jobs. The Agents API has no list: Luma's support finds the job by its request id.
        If the server has the job, give its `id`. It is running from now on, and
        `LumaClient.resume()` or another call with its job key watches it. If it has not,
        `resubmit=True` frees the job key, and another call with it submits the job again.

        Raises:
            InvalidRequestError: neither `id` nor `resubmit=True` was given, or both were.
            JournalError: there is no uncertain job with this job key, or another job has this
                id.

        """
        if (id is None) is not resubmit:
            raise InvalidRequestError.of("settle", "give either id='...' or resubmit=True")
        await self.settle_many({key: id})

    async def settle_many(self, ids: Mapping[str, str | None]) -> None:
        """Settle many uncertain jobs by their job keys: with an id, or with `None` to free the key.

        Either all of them are settled, or none. `settle()` describes the effect on each.

        Raises:
            InvalidRequestError: a key or an id is not valid.
            JournalError: some of the jobs cannot be settled; `unsettleable()` returns them.

        """
        problems = await self.unsettleable(ids) or await self._query("settle", ids)
        if problems:
            shown = "; ".join(list(problems.values())[:_MOST_SHOWN])
            more = len(problems) - _MOST_SHOWN
            rest = f"; and {more:,} more" if more > 0 else ""
            shown_place = (await self._opened()).shown
            raise JournalError(f"Nothing was settled in the journal {shown_place}: {shown}{rest}.")

    async def unsettleable(self, ids: Mapping[str, str | None]) -> Mapping[str, str]:
        """Return the reasons why jobs cannot be settled with these ids, by key; empty if all can.

        Raises:
            InvalidRequestError: a key or an id is not valid.
            JournalError: the journal could not be read.

        """
        for id in ids.values():
            if id is not None:
                _check_id(id)
        # Reading a job makes it uncertain if its submitter is dead.
        store = await self._opened()
        entries = await store.read_decided(lambda: asyncio.gather(*map(self.find, ids)))
        problems = dict(await self._query("unsettleable", ids))
        for entry in entries:
            if entry and entry.state is EntryState.SUBMITTING and entry.reason:
                problems[entry.key] = f"{problems.get(entry.key, repr(entry.key))}. {entry.reason}"
        return problems

    async def find(self, key: str) -> Entry | None:
        """Return the entry with this job key, or `None`."""
        raise NotImplementedError

    async def _opened(self) -> Store:
        raise NotImplementedError

    async def _query(self, name: str, *arguments: Any) -> Any:
        raise NotImplementedError


def _check_id(id: Any) -> None:
    if not isinstance(id, str) or not id.strip():
        raise InvalidRequestError.of("id", f"must be the id of a job, got {id!r}")
    if "\0" in id or has_lone_surrogate(id):
        raise InvalidRequestError.of(
            "id", f"must not contain null characters or lone surrogates, got {id!r}"
        )
