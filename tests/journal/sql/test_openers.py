"""Several who open a journal at once: all open it, and one of them makes its tables."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from luma_async import SQLJournal
from luma_async.journal.sql import schema, store
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.test_owners import new_entry
from tests.journal.workers import ROOT

OPENERS = 8

LEVELS = ["read committed", "repeatable read", "serializable"]


async def execute(place: str, *statements: str) -> None:
    connection = await asyncpg.connect(place)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def set_level(place: str, level: str) -> None:
    name = place.rpartition("/")[2]
    await execute(place, f"ALTER DATABASE {name} SET default_transaction_isolation TO '{level}'")


async def open_all(place: str) -> None:
    """Open journals at once, have each write an entry, and look that all entries are there."""
    journals = [SQLJournal(place) for _ in range(OPENERS)]
    try:
        await asyncio.gather(*(journal.open() for journal in journals))
        await asyncio.gather(
            *(journal.claim(new_entry(f"cat-{number}")) for number, journal in enumerate(journals))
        )
        assert len(await journals[0].states()) >= OPENERS
    finally:
        await asyncio.gather(*(journal.aclose() for journal in journals))


@pytest.mark.parametrize("level", LEVELS)
async def test_many_open_a_new_journal_at_any_isolation_level(
    postgres_place: str, level: str
) -> None:
    """The level that the database has by default makes no difference."""
    await set_level(postgres_place, level)

    await open_all(postgres_place)


@pytest.mark.parametrize("level", LEVELS)
async def test_many_bring_an_older_journal_forward_at_any_isolation_level(
    postgres_place: str, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """One of them does, and what is in it stays."""
    await set_level(postgres_place, level)

    await bring_forward(postgres_place, monkeypatch)


async def test_many_bring_an_older_file_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them does, and what is in it stays."""
    await bring_forward(str(tmp_path / "jobs.db"), monkeypatch)


async def bring_forward(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open an older journal many times at once, and look that it was changed once."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("old"))
    runs = 0

    def add_colour(connection: sa.Connection) -> None:
        nonlocal runs
        runs += 1
        connection.execute(sa.text("ALTER TABLE luma_jobs ADD COLUMN colour TEXT"))

    def migrate(connection: sa.Connection) -> None:
        schema.migrate(connection, (*schema.MIGRATIONS, add_colour))

    with monkeypatch.context() as patch:
        patch.setattr(store, "migrate", migrate)

        await open_all(place)

        assert runs == 1
        async with SQLJournal(place) as journal:
            assert "old" in await journal.states()


@pytest.mark.parametrize("processes", [3, pytest.param(OPENERS, marks=pytest.mark.long)])
def test_processes_open_a_new_journal_at_once(place: str, processes: int) -> None:
    """Each of them writes to the same one."""
    if "://" in place:
        asyncio.run(set_level(place, "serializable"))
    with ExitStack() as stack:
        openers = [
            stack.enter_context(
                ForkedProgram(
                    [*PYTHON, "-m", "tests.journal.opener", place],
                    loaded=True,
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(processes)
        ]
        for opener in openers:
            assert opener.stdout is not None
            assert opener.stdout.readline() == "ready\n"
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write("\n")
            opener.stdin.flush()
        told = [opener.communicate(timeout=120)[0] for opener in openers]

    assert told == ["open\n"] * processes

    async def states() -> int:
        async with SQLJournal(place) as journal:
            return len(await journal.states())

    assert asyncio.run(states()) == processes


async def test_who_finds_the_tables_made_waits_for_nobody(postgres_place: str) -> None:
    """Not even for a process that was stopped while it opened the journal."""
    async with SQLJournal(postgres_place):
        pass
    stopped = await asyncpg.connect(postgres_place)
    transaction = stopped.transaction()
    await transaction.start()
    await stopped.execute(f"SELECT pg_advisory_xact_lock({schema._LOCK})")

    async with asyncio.timeout(60), SQLJournal(postgres_place) as journal:
        await journal.claim(new_entry("cat"))

    await transaction.rollback()
    await stopped.close()


async def test_owners_that_died_hold_up_no_opening(postgres_place: str) -> None:
    """Each opening deletes the rows of those; several at once do not wait for each other."""
    async with SQLJournal(postgres_place):
        pass
    await execute(
        postgres_place,
        "INSERT INTO luma_owners (owner, host, pid, heartbeat) "
        "SELECT 'dead-' || n, 'host', 1, 0 FROM generate_series(1, 500) n",
    )
    other = await asyncpg.connect(postgres_place)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("DELETE FROM luma_owners WHERE owner = 'dead-7'")

    async with asyncio.timeout(60):
        await open_all(postgres_place)

    assert await other.fetchval("SELECT count(*) FROM luma_owners WHERE owner LIKE 'dead-%'") == 0
    await transaction.rollback()
    await other.close()
