"""A journal behind pgbouncer, where each transaction may get another session of the server's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from luma_async import JournalError, SQLJournal
from luma_async.simulator import Fixed, Simulator
from tests.clients import connect
from tests.journal.postgres import Server, running_pgbouncer
from tests.journal.test_owners import new_entry


async def test_jobs_are_written_through_a_pooler_in_transaction_mode(pooled_place: str) -> None:
    """Four clients at once share two sessions of the server's, and each job is in the journal."""
    async with Simulator(durations=Fixed(0)) as sim:
        clients = [connect(sim, journal=pooled_place) for _ in range(4)]
        await asyncio.gather(
            *(
                luma.generate(f"cat {number}", key=f"cat-{number}")
                for number in range(20)
                for luma in clients
            )
        )
        for luma in clients:
            await luma.aclose()
        async with SQLJournal(pooled_place) as journal:
            states = await journal.states()

        assert len(sim.ledger.jobs) == 20
        assert set(states) == {f"cat-{number}" for number in range(20)}


async def test_readers_and_writers_share_the_sessions_of_a_pooler(pooled_place: str) -> None:
    """Statements that were prepared in one session are never asked for in another."""
    journals = [SQLJournal(pooled_place) for _ in range(4)]
    await asyncio.gather(*(journal.open() for journal in journals))

    async def use(journal: SQLJournal, number: int) -> None:
        for step in range(10):
            entry = await journal.claim(new_entry(f"{number}-{step}"))
            await journal.mark_accepted(entry, f"id-{number}-{step}")
            assert (await journal.find(entry.key)) is not None
            await journal.states()

    await asyncio.gather(*(use(journal, number) for number, journal in enumerate(journals)))

    assert len(await journals[0].states()) == 40
    for journal in journals:
        await journal.aclose()


async def test_many_open_a_new_journal_through_a_pooler_at_once(pooled_place: str) -> None:
    """One of them makes the tables, and the others wait for it."""
    journals = [SQLJournal(pooled_place) for _ in range(8)]

    await asyncio.gather(*(journal.open() for journal in journals))

    for journal in journals:
        await journal.aclose()


async def test_a_pooler_that_does_no_transactions_is_refused(
    new_database: str, postgres_server: Server
) -> None:
    """The error says what to set."""
    with running_pgbouncer(postgres_server, pool_mode="statement") as pooler:
        place = pooler.url(Path(new_database).name)

        with pytest.raises(JournalError, match="pool_mode=transaction"):
            await SQLJournal(place).open()


async def test_a_pooler_that_refuses_a_parameter_is_explained(pooled_place: str) -> None:
    """The error names where it can be allowed."""
    place = f"{pooled_place}?options=-c%20statement_timeout%3D5000"

    with pytest.raises(JournalError, match="ignore_startup_parameters"):
        await SQLJournal(place).open()
