"""The decision about a place in the transaction of a claim: what it reads, and whom it delays."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from luma_async import SQLJournal
from luma_async.journal.shared_journal import Change, Limit
from luma_async.journal.sql import running_limit
from luma_async.journal.sql.change_signals import parse_change, payloads_of
from luma_async.journal.sql.operations import Claim
from luma_async.journal.sql.running_limit import RunningLimit
from tests.clients import until
from tests.journal.databases import execute
from tests.journal.test_owners import new_entry


async def test_the_count_reads_only_a_few_rows(place: str) -> None:
    """A journal may have a million rows; each kind of row that counts is found by an index."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("row"))
    query = str(running_limit._TAKEN_BY_ALL)
    for name, value in (("server", "'s'"), ("most", "5"), ("since", "0"), ("until", "1")):
        query = query.replace(f":{name}", value)
    if "://" not in place:
        plan = [row[-1] for row in await execute(place, f"EXPLAIN QUERY PLAN {query}")]
        assert sum("USING INDEX luma_jobs_" in step for step in plan) == 3
        assert not any("SCAN luma_jobs" in step for step in plan)
        return
    connection = await asyncpg.connect(place)
    try:
        await connection.execute("SET enable_seqscan = off")
        found = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {query}"))
    finally:
        await connection.close()
    assert "Seq Scan" not in found


async def test_a_process_that_is_suspended_in_its_claim_holds_the_others_up_only_for_a_while(
    postgres_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction, and its lock with it."""
    monkeypatch.setattr(running_limit, "_IDLE_TIMEOUT", 300)
    claims = [Claim(entry=new_entry("suspended"), limit=Limit(1, 60.0))]
    engine = create_async_engine(postgres_place.replace("://", "+asyncpg://"))
    async with SQLJournal(postgres_place) as journal, engine.connect() as suspended:
        assert not await RunningLimit("postgresql", print).beyond(suspended, claims)  # type: ignore[arg-type]

        assert await journal.claim_within(Limit(1, 60.0), new_entry("row")) is not None
        with suppress(DBAPIError):
            await suspended.close()
    await engine.dispose()


async def test_an_uncertain_entry_keeps_its_place_while_it_is_repeated(place: str) -> None:
    """Neither a clock that is wrong nor a claim in the same transaction gives it to another."""
    async with SQLJournal(place) as journal:
        entry = new_entry("uncertain")
        await journal.claim(entry)
        await journal.mark_uncertain(entry, "The answer was lost.")
        uncertain = await journal.find("uncertain")
        again = replace(entry, claim="again")
        other, repeated = await asyncio.gather(
            journal.claim_within(Limit(1, 60.0), new_entry("other")),
            journal.claim_within(Limit(1, 60.0), again, instead_of=uncertain),
        )
        assert other is None
        assert repeated == again
        await journal.mark_uncertain(again, "The answer was lost.")
        await execute(place, "UPDATE luma_jobs SET updated_at = updated_at + 100000")
        assert await journal.claim_within(Limit(1, 60.0), new_entry("other")) is not None


async def test_the_others_hear_that_the_last_place_is_taken(place: str) -> None:
    """They need not try to take it any more; as long as others are free, nothing is said."""
    heard: list[Change] = []
    async with (
        SQLJournal(place) as one,
        SQLJournal(place) as two,
        two.changes(heard.append),
    ):
        for number in range(3):
            await one.claim_within(Limit(2, 60.0), new_entry(f"{number}"))
        await one.mark_rejected(new_entry("0"))
        await until(lambda: any(change.freed for change in heard))
    assert [(change.taken, change.freed) for change in heard] == [(1, 0), (0, 1)]


def test_a_change_of_any_size_passes_through_its_payloads() -> None:
    """Each place that became free is counted once, and each ended job is named in one of them."""
    ended = frozenset(f"{number:012x}" for number in range(1000))
    changes = [parse_change(payload) for payload in payloads_of(Change(ended, 1007, 3, True))]
    assert len(changes) > 1
    assert frozenset().union(*(change.ended for change in changes)) == ended
    assert sum(change.freed for change in changes) == 1007
    assert sum(change.taken for change in changes) == 3
    assert parse_change("free:x taken:99999999999 ") == Change(frozenset(), 1, 1)
