"""The tables of a journal are brought forward when it is opened, and never back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from luma_async import SQLJournal
from luma_async.journal import End, EntryState
from luma_async.journal.sql import schema
from luma_async.journal.sql.error_explanations import UnusableError
from tests.journal.databases import execute
from tests.journal.test_owners import LONG_ID, new_entry

CATALOG = {
    "sqlite": "SELECT name, sql FROM sqlite_master",
    "postgresql": "SELECT table_name, column_name, data_type, is_nullable"
    " FROM information_schema.columns WHERE table_schema = 'public'"
    " UNION SELECT tablename, indexname, indexdef, NULL FROM pg_indexes"
    " WHERE schemaname = 'public'",
}
"""Queries for all that a database has of its tables and indexes."""


def add_colour(connection: sa.Connection) -> None:
    connection.execute(sa.text("ALTER TABLE luma_jobs ADD COLUMN colour TEXT"))


async def test_an_older_journal_is_brought_forward(tmp_path: Path) -> None:
    """Only the migrations that it lacks are run, and what is in it stays."""
    place = tmp_path / "jobs.db"
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
    engine = sa.create_engine(f"sqlite:///{place}")
    try:
        with engine.begin() as connection:
            schema.migrate(connection, (*schema.MIGRATIONS, add_colour))
        with engine.begin() as connection:
            schema.migrate(connection, (*schema.MIGRATIONS, add_colour))
            rows = connection.execute(sa.text("SELECT key, colour FROM luma_jobs")).all()
            version = connection.scalar(sa.text("SELECT version FROM luma_schema"))
            with pytest.raises(UnusableError, match=f"version {len(schema.MIGRATIONS) + 1}"):
                schema.migrate(connection)
    finally:
        engine.dispose()

    assert rows == [("cat", None)]
    assert version == len(schema.MIGRATIONS) + 1


async def test_a_new_journal_has_the_tables_that_migrations_lead_to(place: str) -> None:
    """It is created in one step, and differs in nothing."""

    def migrate_in_turn(connection: sa.Connection) -> None:
        for migration in schema.MIGRATIONS:
            migration(connection)

    def catalog(connection: sa.Connection, make: Callable[[sa.Connection], None]) -> set[str]:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")  # otherwise tables would stay
        assert sa.inspect(connection).get_table_names() == []
        make(connection)
        rows = connection.exec_driver_sql(CATALOG[connection.dialect.name]).all()
        connection.rollback()
        return {str(row) for row in rows}

    scheme = "postgresql+asyncpg:" if "://" in place else "sqlite+aiosqlite:///"
    engine = create_async_engine(scheme + place.removeprefix("postgresql:"))
    try:
        async with engine.connect() as connection:
            created = await connection.run_sync(catalog, schema.migrate)
            migrated = await connection.run_sync(catalog, migrate_in_turn)
    finally:
        await engine.dispose()

    assert len(created) > 10
    assert created == migrated


async def test_a_journal_of_version_1_still_opens_and_works(place: str) -> None:
    """What it lacks is added; what it knows of its jobs stays."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        await journal.mark_accepted(new_entry("cat"), "job-1")
    await execute(place, "ALTER TABLE luma_jobs DROP COLUMN request_id")
    await execute(place, "ALTER TABLE luma_owners DROP COLUMN start")
    await execute(place, "UPDATE luma_schema SET version = 1")

    async with SQLJournal(place) as journal:
        old = await journal.find("cat")
        await journal.claim(replace(new_entry("dog"), request_id="a-request"))
        new = await journal.find("dog")
        await journal.mark_rejected(new_entry("dog"))

    assert old is not None
    assert (old.id, old.request_id) == ("job-1", None)
    assert new is not None
    assert new.request_id == "a-request"
    newest = len(schema.MIGRATIONS)
    assert await execute(place, "SELECT version FROM luma_schema") == [(newest,)]


async def test_a_journal_of_version_2_takes_long_ids_as_well(postgres_place: str) -> None:
    """Its index of ids is made anew, and the jobs in it are found by their ids as before."""
    async with SQLJournal(postgres_place) as journal:
        await journal.claim(new_entry("cat"))
        await journal.mark_accepted(new_entry("cat"), "job-1")
        await journal.claim(new_entry("dog"))
        await execute(postgres_place, "DROP INDEX luma_jobs_task_id")
        await execute(postgres_place, "CREATE INDEX luma_jobs_task_id ON luma_jobs (task_id)")
        await execute(postgres_place, "UPDATE luma_schema SET version = 2")

        async with SQLJournal(postgres_place) as newer:
            await newer.finish([End(server="http://host", id="job-1", reason="gone")])
        await journal.mark_accepted(new_entry("dog"), LONG_ID)

        assert await journal.states() == {"cat": EntryState.LOST, "dog": EntryState.RUNNING}
    assert await execute(postgres_place, "SELECT version FROM luma_schema") == [
        (len(schema.MIGRATIONS),)
    ]


async def test_a_journal_of_version_3_gets_metadata(place: str) -> None:
    """The jobs in it have none and are not forgotten; new ones have all that they are given."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        await journal.mark_accepted(new_entry("cat"), "job-1")
    await execute(place, "ALTER TABLE luma_jobs DROP COLUMN metadata")
    await execute(place, "ALTER TABLE luma_jobs DROP COLUMN forgotten")
    await execute(place, "UPDATE luma_schema SET version = 3")

    async with SQLJournal(place) as journal:
        await journal.claim(replace(new_entry("dog"), metadata={"user": 7}))
        old, new = await journal.find("cat"), await journal.find("dog")
        await journal.mark_forgotten("http://host", ["job-1"], forgotten=True)
        [running] = await journal.unfinished("http://host")

    assert old is not None
    assert (old.metadata, old.forgotten) == ({}, False)
    assert new is not None
    assert (new.metadata, new.forgotten) == ({"user": 7}, False)
    assert (running.key, running.forgotten) == ("cat", True)
    newest = len(schema.MIGRATIONS)
    assert await execute(place, "SELECT version FROM luma_schema") == [(newest,)]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The next try begins where this one did."""

    def fail(connection: sa.Connection) -> None:
        add_colour(connection)
        raise ZeroDivisionError

    engine = sa.create_engine(f"sqlite:///{tmp_path / 'jobs.db'}")
    try:
        with engine.begin() as connection:
            schema.migrate(connection)
        with pytest.raises(ZeroDivisionError), engine.begin() as connection:
            connection.exec_driver_sql("BEGIN")
            schema.migrate(connection, (*schema.MIGRATIONS, fail))
        with engine.begin() as connection:
            assert "colour" not in {
                c["name"] for c in sa.inspect(connection).get_columns("luma_jobs")
            }
            schema.migrate(connection)
    finally:
        engine.dispose()


async def test_many_may_open_a_new_journal_at_once(place: str) -> None:
    """One of them makes the tables."""
    journals = [SQLJournal(place) for _ in range(8)]

    await asyncio.gather(*(journal.open() for journal in journals))
    for journal in journals:
        await journal.aclose()
