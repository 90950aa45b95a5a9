"""A journal that cannot be written says so before anything is paid for, and loses nothing."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from luma_async import (
    ClientClosedError,
    ConfigurationError,
    JournalError,
    LumaClient,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.journal import EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect, until
from tests.disks import run, small_disk
from tests.journal.postgres import running_postgres
from tests.journal.test_owners import new_entry
from tests.platforms import needs_posix


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a disk with 600 kB."""
    with small_disk(tmp_path / "disk", kilobytes=600) as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Write a file until the disk is full."""
    filler = folder / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"0" * 512)
    return filler


async def states(luma: LumaClient) -> dict[str, EntryState]:
    assert isinstance(luma.journal, SQLJournal)
    keys = [f"cat-{n}" for n in range(40)]
    found = [await luma.journal.find(key) for key in keys]
    return {entry.key: entry.state for entry in found if entry is not None}


async def test_a_full_disk(small_disk: Path) -> None:
    """Nothing is submitted while it is full, and what was recorded is still there afterwards."""
    async with Simulator() as sim, connect(sim, journal=small_disk / "jobs.db") as luma:
        await luma.generate("cat 0", key="cat-0")
        filler = fill(small_disk)
        refused = 0
        for number in range(1, 30):  # the log may have some room left
            try:
                await luma.generate(f"cat {number} {'a' * 4000}", key=f"cat-{number}")
            except JournalError as error:
                assert "disk is full" in str(error)  # noqa: PT017  some succeed
                assert "was not submitted" in str(error)  # noqa: PT017
                refused += 1
        assert refused
        assert len(sim.ledger.jobs) == 30 - refused
        filler.unlink()

        await luma.generate("cat 30", key="cat-30")

        assert len(await states(luma)) == len(sim.ledger.jobs) == 31 - refused
        assert set((await states(luma)).values()) == {EntryState.RUNNING}


async def test_a_disk_that_fills_up_while_a_job_is_submitted(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The job is paid for: its handle comes, the log has its id, and so has the journal later."""
    async with Simulator() as sim, connect(sim, journal=small_disk / "jobs.db") as luma:
        sim.faults.add(Fault.slow(math.inf, after=True, times=1))
        asked = asyncio.create_task(luma.generate("cat 0", key="cat-0"))
        await until(lambda: sim.ledger.jobs)
        filler = fill(small_disk)
        filling = True
        while filling:  # until its log has no room left, either
            try:
                await luma.generate(f"cat 1 {'a' * 4000}")
            except JournalError:
                filling = False

        sim.faults.clear()
        task = await asked

        if "does not know it yet" in caplog.text:
            assert task.id in caplog.text
        filler.unlink()
        async with asyncio.timeout(60):
            while (await states(luma)).get("cat-0") is not EntryState.RUNNING:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert task.id == sim.ledger.jobs[0].id


async def test_a_read_only_journal(small_disk: Path) -> None:
    """It is refused when it is opened."""
    place = small_disk / "jobs.db"
    async with Simulator() as sim:
        async with connect(sim, journal=place) as luma:
            await luma.generate("cat 0", key="cat-0")
        content = place.read_bytes()
        run("mount", "-o", "remount,ro", str(small_disk))

        with pytest.raises(JournalError, match=r"read-only|cannot be opened"):
            await connect(sim, journal=place).generate("cat 1", key="cat-1")

        assert len(sim.ledger.jobs) == 1
        assert place.read_bytes() == content


async def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    """It is left as it is."""
    place = tmp_path / "jobs.db"
    place.write_bytes(b"Dear diary, " * 1000)
    async with Simulator() as sim:
        with pytest.raises(JournalError, match=r"jobs\.db.*is not a journal, or is damaged"):
            await connect(sim, journal=place).generate("a cat", key="cat")

        assert sim.ledger.jobs == []
        assert place.read_bytes() == b"Dear diary, " * 1000


@pytest.mark.parametrize("damage", ["overwritten", "cut short"])
async def test_a_damaged_journal(tmp_path: Path, damage: str) -> None:
    """Damage in its middle is found when it is opened, before anything is paid for."""
    place = tmp_path / "jobs.db"
    async with Simulator() as sim:
        async with SQLJournal(place) as journal:
            entries = [new_entry(f"cat-{number}") for number in range(200)]
            await asyncio.gather(*map(journal.claim, entries))
        content = place.read_bytes()
        assert len(content) > 16 * 4096
        place.write_bytes(
            content[: 8 * 4096] + os.urandom(4 * 4096) + content[12 * 4096 :]
            if damage == "overwritten"
            else content[: 9 * 4096]
        )
        damaged = place.read_bytes()

        with pytest.raises(JournalError, match="damaged"):
            await connect(sim, journal=place).generate("a dog", key="dog")

        assert sim.ledger.jobs == []
        assert place.read_bytes() == damaged


async def test_a_locked_journal(tmp_path: Path) -> None:
    """It is waited for, then an error; once it is free all is as it should be."""
    place = tmp_path / "jobs.db"
    journal = SQLJournal(place, lock_timeout=0.2)
    async with Simulator() as sim, journal, connect(sim, journal=journal) as luma:
        await luma.generate("cat 0", key="cat-0")
        locking = sqlite3.connect(place, isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")

        with pytest.raises(JournalError, match=r"locked.*was not submitted"):
            await luma.generate("cat 1", key="cat-1")
        with pytest.raises(JournalError, match="locked"):
            await SQLJournal(place, lock_timeout=0.1).uncertain()
        assert len(sim.ledger.jobs) == 1
        locking.close()
        assert journal._store is not None
        journal._store._connections._lock_timeout = (
            120.0  # what it left is being closed, and may be locked yet
        )
        await luma.generate("cat 1", key="cat-1")

        assert len(sim.ledger.jobs) == 2


async def test_a_journal_that_is_locked_while_a_job_is_submitted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The handle comes, the log has the id, and the journal has it as soon as it can."""
    place = tmp_path / "jobs.db"
    journal = SQLJournal(place, lock_timeout=0.1)
    async with Simulator(durations=Fixed(0)) as sim:
        async with journal, connect(sim, journal=journal) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(luma.generate("cat 0", key="cat-0"))
            await until(lambda: sim.ledger.jobs)
            locking = sqlite3.connect(place, isolation_level=None)
            locking.execute("BEGIN EXCLUSIVE")
            sim.faults.clear()

            task = await asked
            video = await task

            assert f"with the id {task.id}, but the journal does not know it yet" in caplog.text
            locking.close()
        async with connect(sim, journal=place) as luma:
            assert await (await luma.generate("cat 0", key="cat-0")) == video
        assert len(sim.ledger.jobs) == 1


def threads_of_drivers() -> list[threading.Thread]:
    """Return the threads of SQLite connections, by any release of the driver."""
    return [
        thread
        for thread in threading.enumerate()
        if "_connection_worker_thread" in thread.name or "aiosqlite" in repr(thread)
    ]


# A connection that was broken off while it was being opened is closed when it is collected.
@pytest.mark.filterwarnings("ignore:.*deleted before being closed:ResourceWarning")
@pytest.mark.usefixtures("impatient")
async def test_a_client_closes_while_its_journal_stays_locked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In `timeout` and five seconds at most; the log has the key and id of each job."""
    place = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(60)) as sim:
        luma = connect(sim, journal=place)
        sim.faults.add(Fault.slow(math.inf, after=True))
        asked = asyncio.create_task(luma.generate("cat 0", key="cat-0"))
        await until(lambda: sim.ledger.jobs)
        with closing(sqlite3.connect(place, isolation_level=None)) as locking:
            locking.execute("BEGIN EXCLUSIVE")
            sim.faults.clear()

            luma._timeout = 1.0
            async with asyncio.timeout(1 + 5):  # the file stays locked for longer
                await luma.aclose()
            await asyncio.wait([asked])

        [id] = [job.id for job in sim.ledger.jobs]
    assert any(id in text and "'cat-0'" in text for text in caplog.messages)
    assert all(thread.daemon for thread in threads_of_drivers())


async def test_a_journal_that_is_closed_while_it_is_locked_opens_no_connection_again(
    tmp_path: Path,
) -> None:
    """A transaction that was waiting for the lock gives up, so nothing stays open."""
    place = tmp_path / "jobs.db"
    before = set(threads_of_drivers())
    journal = SQLJournal(place)
    entry = new_entry("cat")
    await journal.claim(entry)
    with closing(sqlite3.connect(place, isolation_level=None)) as locking:
        locking.execute("BEGIN EXCLUSIVE")
        writing = asyncio.create_task(journal.mark_accepted(entry, "job-1"))
        store = journal._store
        assert store is not None
        await until(lambda: store._connections._running)

        await journal.aclose(timeout=0.2)

        await asyncio.wait([writing])
    assert isinstance(writing.exception(), JournalError)
    await until(lambda: set(threads_of_drivers()) <= before)


async def test_a_risked_repeat_that_cannot_be_written_stays_uncertain(tmp_path: Path) -> None:
    """What the first try may have done is what the caller must know."""
    place = tmp_path / "jobs.db"
    async with (
        Simulator() as sim,
        SQLJournal(place, lock_timeout=0.1) as journal,
        connect(sim, journal=journal) as luma,
    ):
        sim.faults.add(Fault(after=True, delay=math.inf, drop=True))
        asked = asyncio.create_task(luma.generate("cat 0", key="cat-0", retry_uncertain=True))
        await until(lambda: sim.ledger.jobs)
        locking = sqlite3.connect(place, isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        sim.faults.clear()

        with pytest.raises(SubmissionUncertainError):
            await asked

        locking.close()
        assert len(sim.ledger.jobs) == 1
        assert journal._store is not None
        await journal._store.commits.idle()
        journal._store._connections._lock_timeout = (
            120.0  # what it left is being closed, and may be locked yet
        )
        uncertain = await journal.uncertain()
        assert [entry.key for entry in uncertain] == ["cat-0"]


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The error names the place."""
    place = tmp_path / "missing" / "jobs.db"
    async with Simulator() as sim:
        with pytest.raises(
            JournalError, match=r"missing/jobs\.db.*missing does not exist\. Create it"
        ):
            async with connect(sim, journal=place):
                pass


async def test_a_journal_of_a_later_release(place: str) -> None:
    """Its tables may mean anything."""
    async with SQLJournal(place) as journal:
        assert await journal.uncertain() == []
    if "://" in place:
        connection = await asyncpg.connect(place)
        await connection.execute("UPDATE luma_schema SET version = 99")
        await connection.close()
    else:
        with sqlite3.connect(place) as file:
            file.execute("UPDATE luma_schema SET version = 99")
        file.close()

    with pytest.raises(JournalError, match=r"version 99.*Use a newer luma-async"):
        await SQLJournal(place).open()


@needs_posix
async def test_a_journal_whose_file_is_deleted(tmp_path: Path) -> None:
    """What is written to it would be gone with it, so nothing is submitted."""
    place = tmp_path / "jobs.db"
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        await luma.generate("cat 0", key="cat-0")
        place.unlink()

        with pytest.raises(JournalError, match="deleted or replaced"):
            await luma.generate("cat 1", key="cat-1")

        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.answer(b"\0\0 \xff bad \0", status=502), id="binary body"),
        pytest.param(
            Fault(status=502, body=b"bad", headers=(("X-Request-Id", "caf\xe9"),)), id="header"
        ),
    ],
)
async def test_what_a_server_says_breaks_no_journal(place: str, fault: Fault) -> None:
    """Whatever bytes it has for words: the job is uncertain, and the next one is submitted."""
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        sim.faults.add(fault)
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("cat 0", key="cat-0")
        sim.faults.clear()

        await luma.generate("cat 1", key="cat-1")

        assert await states(luma) == {
            "cat-0": EntryState.UNCERTAIN,
            "cat-1": EntryState.RUNNING,
        }


async def test_a_closed_session_leaves_the_key_free(tmp_path: Path) -> None:
    """Nothing was sent on it."""
    async with Simulator() as sim, aiohttp.ClientSession() as session:
        async with connect(sim, journal=tmp_path / "jobs.db", session=session) as luma:
            await session.close()
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="session"):
                    await luma.generate("cat 0", key="cat-0")

            assert await states(luma) == {}


async def test_an_answer_that_comes_after_the_journal_was_closed(place: str) -> None:
    """It is of a paid job, so it is written down for all that."""
    async with Simulator() as sim:
        journal = SQLJournal(place)
        async with connect(sim, journal=journal) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(luma.generate("cat 0", key="cat-0"))
            await until(lambda: sim.ledger.jobs)
            await journal.aclose()
            sim.faults.clear()
            task = await asked
        async with connect(sim, journal=place) as luma:
            assert [resumed.id for resumed in await luma.resume()] == [task.id]


async def test_everything_cancelled_at_once(place: str) -> None:
    """As a program's last act: what had left is uncertain, what had not is not there."""
    async with Simulator() as sim, SQLJournal(place) as journal:
        sim.faults.add(Fault.slow(math.inf))
        luma = connect(sim, journal=journal, max_requests=3)
        before = asyncio.all_tasks()
        for number in range(5):
            asyncio.create_task(luma.generate(f"cat {number}", key=f"cat-{number}"))  # noqa: RUF006
        await until(lambda: sim.ledger.requests["generate"] == 2)
        mine = asyncio.all_tasks() - before
        for task in mine:
            if "GatewayHandler" not in repr(task) and "RequestHandler" not in repr(task):
                task.cancel()
        await asyncio.wait(mine, timeout=0.5)

        async with asyncio.timeout(60):
            while len(await journal.uncertain()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await luma.aclose()
        found = [await journal.find(f"cat-{number}") for number in range(5)]
        assert [entry.state for entry in found if entry] == [EntryState.UNCERTAIN] * 2


async def test_closing_that_is_cancelled_loses_no_words(tmp_path: Path) -> None:
    """A submission that had not left stays out of the journal."""
    place = tmp_path / "jobs.db"
    async with Simulator() as sim:
        journal = SQLJournal(place)
        luma = connect(sim, journal=journal)
        await luma.generate("cat 0", key="cat-0")
        locking = sqlite3.connect(place, isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        asked = asyncio.create_task(luma.generate("cat 1", key="cat-1"))
        assert journal._store is not None
        store = journal._store
        await until(lambda: store._owner.claims)
        closing = asyncio.create_task(luma.aclose())
        await asyncio.sleep(0.1)
        closing.cancel()
        locking.close()
        await asyncio.wait([asked, closing])
        assert isinstance(asked.exception(), ClientClosedError)
        await journal.aclose()

        async with connect(sim, journal=place) as luma:
            assert set(await states(luma)) == {"cat-0"}
        assert len(sim.ledger.jobs) == 1


async def test_a_lost_connection_to_the_server_is_made_again(postgres_place: str) -> None:
    """A claim does not fail because a connection went stale."""
    async with Simulator() as sim, connect(sim, journal=postgres_place) as luma:
        await luma.generate("cat 0", key="cat-0")
        connection = await asyncpg.connect(postgres_place)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()

        await luma.generate("cat 1", key="cat-1")

        assert set(await states(luma)) == {"cat-0", "cat-1"}


async def test_a_database_server_that_is_gone(tmp_path: Path) -> None:
    """Nothing is submitted; without it from the start, the error says what is missing."""
    async with Simulator() as sim:
        with running_postgres() as server:
            place = server.url("postgres")
            journal = SQLJournal(place)
            luma = connect(sim, journal=journal)
            await luma.generate("cat 0", key="cat-0")
            for process in server.processes():  # or those that are connected serve a little longer
                with suppress(ProcessLookupError):  # the end of one ends others
                    os.kill(process, signal.SIGKILL)
            server.process.wait()

            with pytest.raises(JournalError, match="was not submitted"):
                await luma.generate("cat 1", key="cat-1")
            await luma.aclose()
            await journal.aclose()

        with pytest.raises(JournalError, match="cannot be reached") as caught:
            await connect(sim, journal=place).generate("cat 2", key="cat-2")
        assert "not-secret" not in str(caught.value)
        assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("mysql://host/jobs", "PostgreSQL"),
        (":memory:", "does not survive"),
        ("", "does not survive"),
        ("sqlite:///file:jobs.db?uri=true", "a path and nothing else"),
        ("sqlite://", "does not survive"),
        ("a journal://", "cannot be read"),
    ],
)
async def test_a_place_that_can_be_no_journal(place: str, why: str) -> None:
    """It is a slip of the set-up's."""
    with pytest.raises(ConfigurationError, match=why):
        await SQLJournal(place).open()


def test_settings_that_make_no_sense() -> None:
    """They are seen when the journal is made."""
    with pytest.raises(ConfigurationError, match="lock_timeout"):
        SQLJournal("jobs.db", lock_timeout=0)
    with pytest.raises(ConfigurationError, match="owner_timeout"):
        SQLJournal("jobs.db", owner_timeout=float("nan"))
    for setting in ("lock_timeout", "owner_timeout"):
        none: dict[str, Any] = {setting: None}
        with pytest.raises(ConfigurationError, match=f"^{setting} must be a number, got None"):
            SQLJournal("jobs.db", **none)


def test_a_journal_belongs_to_one_event_loop(tmp_path: Path) -> None:
    """Left open, it cannot be used in another; closed, it can."""
    journal = SQLJournal(tmp_path / "jobs.db")
    with asyncio.Runner() as runner:
        runner.run(journal.open())
        with pytest.raises(ConfigurationError, match="another event loop"):
            asyncio.run(journal.find("cat"))
        runner.run(journal.aclose())

    async def use() -> None:
        async with journal:
            assert await journal.find("cat") is None

    asyncio.run(use())
