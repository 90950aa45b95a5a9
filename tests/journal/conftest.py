"""Places for journals: a file, and a database of a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from tests.journal.postgres import Server, running_postgres

_numbers = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_place(postgres_server: Server) -> str:
    """Return the URL of a new database."""
    name = f"jobs_{next(_numbers)}"

    async def create() -> None:
        connection = await asyncpg.connect(postgres_server.url("postgres"))
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
            return postgres_server.url(name)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a new journal can be, in each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    return str(request.getfixturevalue("postgres_place"))
