"""Places for journals: a file, and a database of a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests.journal.postgres import Server, running_pgbouncer, running_postgres

_numbers = count()


def new_database(server: Server) -> str:
    """Return the URL of a new database of a server."""
    name = f"jobs_{next(_numbers)}"

    async def create() -> None:
        connection = await asyncpg.connect(server.url("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()

    deadline = time.monotonic() + 30
    while True:
        try:
            asyncio.run(create())
        except asyncpg.CannotConnectNowError:  # it listens before it serves
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return server.url(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: Server) -> Iterator[Server]:
    """Run a pooler in transaction mode before the server."""
    with running_pgbouncer(postgres_server) as pooler:
        yield pooler


@pytest.fixture
def postgres_place(postgres_server: Server) -> str:
    """Return the URL of a new database."""
    return new_database(postgres_server)


@pytest.fixture
def pooled_place(postgres_place: str, pgbouncer: Server) -> str:
    """Return the URL of a new database, by way of a pooler."""
    return pgbouncer.url(postgres_place.rpartition("/")[2])


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a new journal can be, in each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    return str(request.getfixturevalue("postgres_place"))
