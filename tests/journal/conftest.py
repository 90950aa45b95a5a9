"""Places for journals: a file, and a database of a real PostgreSQL server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from luma_async.journal.sql.connections import Connections
from tests.journal.clocks import RunningClock
from tests.journal.databases import empty, execute
from tests.journal.postgres import Server, running_pgbouncer, running_postgres

_numbers = count()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a journal break off what does not end, as it does where it is closed in bounded time."""
    assert Connections.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Connections.__init__.__kwdefaults__, "end_timeout", 0.7)
    monkeypatch.setitem(Connections.__init__.__kwdefaults__, "cancel_timeout", 0.3)


@pytest.fixture
def running_clock(monkeypatch: pytest.MonkeyPatch) -> RunningClock:
    return RunningClock(monkeypatch)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: Server) -> Iterator[Server]:
    """Run a pooler in transaction mode before the server."""
    with running_pgbouncer(postgres_server) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def shared_database(postgres_server: Server) -> str:
    """Return the URL of a database for one test after another, which each has to empty."""
    asyncio.run(execute(postgres_server.url("postgres"), "CREATE DATABASE jobs"))
    return postgres_server.url("jobs")


@pytest.fixture
def postgres_place(shared_database: str) -> Iterator[str]:
    """Yield the URL of an empty database. To empty one takes a third of making and dropping it."""
    yield shared_database
    asyncio.run(empty(shared_database))


@pytest.fixture
def new_database(postgres_server: Server) -> Iterator[str]:
    """Yield the URL of a new database, which takes memory until it is dropped."""
    name = f"jobs_{next(_numbers)}"
    superuser = postgres_server.url("postgres")
    asyncio.run(execute(superuser, f"CREATE DATABASE {name}"))
    yield postgres_server.url(name)
    asyncio.run(execute(superuser, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def pooled_place(new_database: str, pgbouncer: Server) -> str:
    """Return the URL of a new database, by way of a pooler."""
    return pgbouncer.url(new_database.rpartition("/")[2])


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a new journal can be, in each kind of database."""
    if request.param == "sqlite":
        return str(tmp_path / "jobs.db")
    return str(request.getfixturevalue("postgres_place"))
