"""Reading a long journal does not hold the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from luma_async import SQLJournal
from luma_async.journal import sql_journal
from luma_async.journal.journal import Entry, EntryState
from luma_async.journal.sql import queries, row_mapping, transactions

ENTRIES = 120


@asynccontextmanager
async def long_journal(path: Path) -> AsyncIterator[SQLJournal]:
    """Open a journal of running jobs, each submitted before the one with the next lower number."""
    now = datetime.now(UTC)
    async with SQLJournal(path) as journal:
        entries = [
            Entry(
                key=f"row-{number:03}",
                state=EntryState.SUBMITTING,
                request={"prompt": f"cat {number}"},
                server="https://host",
                submitted_at=now - timedelta(seconds=number),
                updated_at=now,
                fingerprint=f"{number}",
                claim=f"{number}",
            )
            for number in range(ENTRIES)
        ]
        await asyncio.gather(*map(journal.claim, entries))
        await asyncio.gather(
            *(journal.mark_accepted(entry, f"id-{entry.key}") for entry in entries)
        )
        yield journal


class Turns:
    """Counts how often something is done between two turns of the event loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> None:
        self.done = 0
        self._seen: list[int] = []
        work: Callable[..., Any] = getattr(place, name)

        def counted(*arguments: Any) -> Any:
            self.done += 1
            return work(*arguments)

        monkeypatch.setattr(place, name, counted)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._take())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _take(self) -> None:
        while True:
            self._seen.append(self.done)
            await asyncio.sleep(0)

    @property
    def most(self) -> int:
        return max(later - earlier for earlier, later in pairwise([*self._seen, self.done]))


async def test_states_are_read_a_page_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two turns of the loop no more than a page of rows is taken in, and none is missed."""
    monkeypatch.setattr(queries, "_ROWS", 10)
    async with long_journal(tmp_path / "jobs.db") as journal:
        async with Turns(monkeypatch, queries, "EntryState") as turns:
            states = await journal.states()

    assert states == {f"row-{number:03}": EntryState.RUNNING for number in range(ENTRIES)}
    assert turns.done == ENTRIES
    assert turns.most <= 10


async def test_an_export_takes_turns_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries are made, and lines written, a few at a time; their order is that of submission."""
    monkeypatch.setattr(queries, "_ROWS", 10)
    monkeypatch.setattr(sql_journal, "_STEP", 1000)
    monkeypatch.setattr(transactions, "_STEP", 100)
    async with long_journal(tmp_path / "jobs.db") as journal:
        async with (
            Turns(monkeypatch, row_mapping, "entry_of") as entries,
            Turns(monkeypatch, row_mapping, "line_of") as lines,
        ):
            exported = [line async for line in journal.export()]

    numbers = range(ENTRIES - 1, -1, -1)
    assert all(f'"row-{number:03}"' in line for number, line in zip(numbers, exported, strict=True))
    assert entries.done == lines.done == ENTRIES
    assert entries.most <= 10
    assert lines.most <= 10
