"""PostgreSQL in trouble while jobs are on the wire: their ids are written as soon as it is over."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from luma_async import JournalError, LumaClient, SQLJournal
from luma_async.journal import EntryState
from luma_async.journal.sql import postgres
from luma_async.journal.sql.store import Store
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect, until
from tests.journal.databases import execute
from tests.journal.postgres import Server, running_postgres
from tests.journal.test_owners import new_entry

JOBS = 20

_numbers = count()


@pytest.fixture(scope="module", name="troubled_server")
def _troubled_server() -> Iterator[Server]:
    """Run a server that nobody else is hurt by."""
    with running_postgres() as server:
        yield server


class Database:
    """A database, and a role that is allowed no more than a user's."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.place = server.url(name, role=name)

    async def do(self, *statements: str, at: str | None = None) -> None:
        """Run statements as the superuser."""
        for statement in statements:
            await execute(self.server.url(at or self.name), statement)

    async def end_connections(self) -> None:
        """End every connection of the role's."""
        mine = f"usename = '{self.name}'"
        ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"  # noqa: S608
        await self.do(ending, at="postgres")


async def accepting(database: Database) -> None:
    """Return when the server serves; it listens before."""
    deadline = time.monotonic() + 120
    while True:
        try:
            await database.do("SELECT 1", at="postgres")
        except (asyncpg.PostgresError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


@pytest.fixture(name="database")
async def _database(troubled_server: Server) -> Database:
    database = Database(troubled_server, f"troubled_{next(_numbers)}")
    await accepting(database)
    await database.do(f"CREATE ROLE {database.name} LOGIN", at="postgres")
    await database.do(f"CREATE DATABASE {database.name} OWNER {database.name}", at="postgres")
    return database


@asynccontextmanager
async def changed(database: Database, begin: str, end: str, at: str | None) -> AsyncIterator[None]:
    """Change something for every connection, and change it back."""
    await database.do(begin, at=at)
    await database.end_connections()
    try:
        yield
    finally:
        await database.do(end, at=at)
        await database.end_connections()


def read_only(database: Database) -> AbstractAsyncContextManager[None]:
    """Be the standby that a failover has not promoted yet."""
    setting = f"ALTER ROLE {database.name} SET default_transaction_read_only"
    return changed(database, f"{setting} = on", f"{setting} = off", "postgres")


def refusing_logins(database: Database) -> AbstractAsyncContextManager[None]:
    role = f"ALTER ROLE {database.name}"
    return changed(database, f"{role} NOLOGIN", f"{role} LOGIN", "postgres")


def without_a_free_connection(database: Database) -> AbstractAsyncContextManager[None]:
    limit = f"ALTER ROLE {database.name} CONNECTION LIMIT"
    return changed(database, f"{limit} 0", f"{limit} -1", "postgres")


@asynccontextmanager
async def without_a_right_to_update(database: Database) -> AsyncIterator[None]:
    await database.do(f"REVOKE UPDATE ON luma_jobs FROM {database.name}")
    try:
        yield
    finally:
        await database.do(f"GRANT UPDATE ON luma_jobs TO {database.name}")


@asynccontextmanager
async def without_its_table(database: Database) -> AsyncIterator[None]:
    await database.do("ALTER TABLE luma_jobs RENAME TO elsewhere")
    try:
        yield
    finally:
        await database.do("ALTER TABLE elsewhere RENAME TO luma_jobs")


@asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Keep the table locked, with a role that waits for no lock for long."""
    await database.do(f"ALTER ROLE {database.name} SET lock_timeout = '100ms'", at="postgres")
    await database.end_connections()
    connection = await asyncpg.connect(database.server.url(database.name))
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE luma_jobs IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def recovering(database: Database) -> AsyncIterator[None]:
    """Crash it whenever the role is connected: it ends all connections then, and recovers."""
    ended = asyncio.Event()

    async def crash() -> None:
        while not ended.is_set():
            for process in database.server.processes()[:-1]:
                with suppress(ProcessLookupError, FileNotFoundError):
                    if database.name in Path(f"/proc/{process}/cmdline").read_text():
                        os.kill(process, signal.SIGKILL)
            await asyncio.sleep(0.1)

    crashing = asyncio.create_task(crash())
    try:
        yield
    finally:
        ended.set()
        await crashing
        await accepting(database)


@asynccontextmanager
async def frozen(database: Database) -> AsyncIterator[None]:
    with database.server.frozen():
        yield


Trouble = Callable[[Database], AbstractAsyncContextManager[None]]


async def ids(place: str) -> dict[str, str | None]:
    """Return the ids of the running jobs, as another process sees them."""
    async with SQLJournal(place) as journal:
        entries = [await journal.find(f"cat-{number}") for number in range(JOBS)]
        return {
            entry.key: entry.id for entry in entries if entry and entry.state is EntryState.RUNNING
        }


async def ask(luma: LumaClient, jobs: int = JOBS) -> dict[str, str]:
    """Submit jobs, and return the ids that their callers see."""
    tasks = await asyncio.gather(
        *(luma.generate(f"cat {number}", key=f"cat-{number}") for number in range(jobs))
    )
    return {str(task.key): task.id for task in tasks}


@pytest.mark.parametrize("seconds", [1.0, pytest.param(6.0, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "trouble",
    [
        read_only,
        refusing_logins,
        without_a_free_connection,
        without_a_right_to_update,
        without_its_table,
        locked,
        recovering,
        frozen,
    ],
)
async def test_ids_are_written_once_the_trouble_is_over(
    database: Database, trouble: Trouble, seconds: float
) -> None:
    """Twenty jobs are on the wire when it begins; none of their ids is missing afterwards."""
    async with Simulator(durations=Fixed(60)) as sim:
        journal = SQLJournal(database.place)
        async with journal, connect(sim, journal=journal, max_requests=JOBS + 2) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(ask(luma))
            await until(lambda: len(sim.ledger.jobs) == JOBS)
            async with trouble(database):
                sim.faults.clear()
                await asyncio.sleep(seconds)
            over = time.monotonic()

            async with asyncio.timeout(120):
                seen = await asked
                assert journal._store is not None
                await journal._store.commits.idle()
            took = time.monotonic() - over

            assert await ids(database.place) == seen
            assert took < 10
            print(f"{trouble.__name__}, {seconds:g} s: written {took:.2f} s after its end")  # noqa: T201
    assert sorted(seen.values()) == sorted(job.id for job in sim.ledger.jobs)
    assert len(seen) == JOBS


@pytest.fixture(name="_patient_drivers")
def _patient_drivers(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what closes wait for a frozen server for an hour, unless it sees to it that it does not.

    So that a test of closing need not be quick to tell the one from the other.
    """
    assert Store.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Store.__init__.__kwdefaults__, "server_timeout", 3600.0)
    monkeypatch.setattr(postgres, "ANSWER_TIMEOUT", 3600.0)


@pytest.mark.usefixtures("_patient_drivers")
async def test_a_client_closes_while_the_server_is_frozen(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """In `timeout` and five seconds at most; the log has the key and id of each job."""
    async with Simulator(durations=Fixed(60)) as sim:
        sim.faults.add(Fault.slow(math.inf, after=True))
        luma = connect(sim, journal=database.place)
        asked = asyncio.create_task(ask(luma, 5))
        await until(lambda: len(sim.ledger.jobs) == 5)
        async with frozen(database):
            sim.faults.clear()
            luma._timeout = 0.5
            began = time.monotonic()
            async with asyncio.timeout(60):
                await luma.aclose()
            took = time.monotonic() - began
            await asyncio.wait([asked])
        jobs = list(sim.ledger.jobs)

    print(f"closed in {took:.2f} s")  # noqa: T201
    assert took < 0.5 + 5
    for job in jobs:
        number = job.prompt.removeprefix("cat ")
        assert any(job.id in text and f"'cat-{number}'" in text for text in caplog.messages)


def is_at_work(journal: SQLJournal) -> bool:
    """Whether a journal waits for the server."""
    return journal._store is not None and bool(journal._store._connections._running)


@pytest.mark.usefixtures("_patient_drivers")
async def test_a_journal_closes_while_the_server_is_frozen(database: Database) -> None:
    """Whatever it has under way: a write, a read, or nothing."""
    writes, reads, rests = (SQLJournal(database.place) for _ in range(3))
    for number, journal in enumerate((writes, reads, rests)):
        await journal.claim(new_entry(f"cat-{number}"))
    async with frozen(database):
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(writes.mark_accepted(new_entry("cat-0"), "job-1")),
            asyncio.create_task(reads.states()),
        ]
        await until(lambda: is_at_work(writes) and is_at_work(reads))
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.aclose(timeout=0.5) for each in (writes, reads, rests)))
    await asyncio.wait(tasks)
    for task in tasks:
        assert isinstance(task.exception(), JournalError | asyncio.CancelledError)
