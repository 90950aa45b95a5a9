"""The file of a journal: where it is, whose it is, and that no other takes its place."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy.exc import OperationalError

from luma_async import ConfigurationError, JournalError, SQLJournal
from luma_async.journal.sql import engine
from luma_async.journal.sql.database_url import is_url
from luma_async.journal.sql.error_explanations import UnusableError
from luma_async.journal.sql.sqlite_file import SQLiteFile
from luma_async.simulator import Fault, Simulator
from tests.clients import connect, until
from tests.journal.test_owners import new_entry
from tests.journal.workers import ROOT
from tests.platforms import needs_posix


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()}


@pytest.mark.parametrize(
    "named", ["jobs.db", Path("jobs.db"), "./jobs.db", "sqlite:///jobs.db", b"jobs.db"], ids=str
)
async def test_a_relative_path_is_fixed_when_the_journal_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """A program that changes its folder, before or after the opening, keeps its journal."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    journal = SQLJournal(named)

    monkeypatch.chdir(there)
    async with journal:
        await journal.claim(new_entry("cat"))
    async with journal:
        await asyncio.gather(*(journal.states() for _ in range(3)))
        assert set(await journal.states()) == {"cat"}

    assert [file.name for file in here.iterdir()] == ["jobs.db"]
    assert list(there.iterdir()) == []


async def test_an_answer_that_comes_late_goes_to_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal was closed and the folder changed while the job was on its way."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    async with Simulator() as sim:
        journal = SQLJournal("jobs.db")
        async with connect(sim, journal=journal) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(luma.generate("a cat", key="cat"))
            await until(lambda: sim.ledger.jobs)
            monkeypatch.chdir(there)
            await journal.aclose()
            sim.faults.clear()
            task = await asked
        async with SQLJournal(here / "jobs.db") as journal:
            entry = await journal.find("cat")

    assert entry is not None
    assert entry.id == task.id
    assert list(there.iterdir()) == []


@needs_posix
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
async def test_a_new_journal_is_nobody_elses_to_read(tmp_path: Path, mask: int) -> None:
    """Nor are the files beside it, whatever the umask: prompts and signed links are in it."""
    with umask(mask):
        async with SQLJournal(tmp_path / "jobs.db") as journal:
            await journal.claim(new_entry("cat"))
            found = modes(tmp_path)

    assert found == {"jobs.db": "0o600", "jobs.db-wal": "0o600", "jobs.db-shm": "0o600"}


@needs_posix
async def test_the_mode_of_a_journal_that_is_there_is_respected(tmp_path: Path) -> None:
    """It may be shared with a group on purpose, and then the files beside it are as well."""
    place = tmp_path / "jobs.db"
    place.touch()
    place.chmod(0o660)

    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        found = modes(tmp_path)

    assert set(found.values()) == {"0o660"}


def move_away(place: Path) -> None:
    place.rename(place.with_name("elsewhere.db"))


def move_its_folder_away(place: Path) -> None:
    place.parent.rename(place.parent.with_name("elsewhere"))


def replace_with_nothing(place: Path) -> None:
    move_away(place)
    place.touch()


def replace_with_a_copy(place: Path) -> None:
    move_away(place)
    shutil.copy(place.with_name("elsewhere.db"), place)


changes = pytest.mark.parametrize(
    "change", [move_away, move_its_folder_away, replace_with_nothing, replace_with_a_copy]
)


def content(place: Path) -> bytes | None:
    return place.read_bytes() if place.exists() else None


@needs_posix
@changes
async def test_nothing_is_submitted_once_the_file_is_gone(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """An empty journal in its place would know of no job, and so would pay for each again."""
    place = tmp_path / "journal" / "jobs.db"
    place.parent.mkdir()
    async with Simulator() as sim, connect(sim, journal=place) as luma:
        await luma.generate("a cat", key="cat")
        change(place)
        there = content(place)

        for key in ("cat", "dog"):
            with pytest.raises(JournalError, match="deleted or replaced"):
                await luma.generate(f"a {key}", key=key)

        assert len(sim.ledger.jobs) == 1
        assert content(place) == there


@needs_posix
@changes
async def test_a_further_connection_makes_no_file(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Those that read at the same time are connected when they are first needed."""
    place = tmp_path / "journal" / "jobs.db"
    place.parent.mkdir()
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        change(place)
        there = content(place)

        found = await asyncio.gather(*(journal.states() for _ in range(5)), return_exceptions=True)

        assert {type(error) for error in found} == {JournalError}
        assert content(place) == there


@changes
async def test_opening_again_makes_no_file(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """A journal that was once open is the one that is meant; put back, it is used again."""
    place = tmp_path / "journal" / "jobs.db"
    place.parent.mkdir()
    journal = SQLJournal(place)
    async with journal:
        await journal.claim(new_entry("cat"))
    kept = tmp_path / "kept"
    os.link(place, kept)
    change(place)
    there = content(place)

    with pytest.raises(JournalError, match="Put it back"):
        await journal.open()

    assert content(place) == there
    place.parent.mkdir(exist_ok=True)
    kept.replace(place)
    async with journal:
        assert set(await journal.states()) == {"cat"}


async def test_a_late_answer_makes_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal was closed and its file moved meanwhile; the handle comes, and the log tells."""
    place = tmp_path / "jobs.db"
    async with Simulator() as sim:
        journal = SQLJournal(place)
        async with connect(sim, journal=journal) as luma:
            sim.faults.add(Fault.slow(math.inf, after=True))
            asked = asyncio.create_task(luma.generate("a cat", key="cat"))
            await until(lambda: sim.ledger.jobs)
            await journal.aclose()
            move_away(place)
            sim.faults.clear()

            task = await asked

    assert not place.exists()
    assert task.id in caplog.text


async def test_a_failed_first_opening_may_be_tried_again(tmp_path: Path) -> None:
    """Only a journal that was open once must be there."""
    place = tmp_path / "jobs.db"
    journal = SQLJournal(place)
    place.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(JournalError, match="is not a journal"):
        await journal.open()
    place.unlink()

    async with journal:
        await journal.claim(new_entry("cat"))


async def test_a_link_that_leads_nowhere_yet_is_followed(tmp_path: Path) -> None:
    """The journal is made where it leads."""
    link = tmp_path / "jobs.db"
    link.symlink_to(tmp_path / "disk.db")

    async with SQLJournal(link) as journal:
        await journal.claim(new_entry("cat"))

    assert link.is_symlink()
    assert modes(tmp_path)["disk.db"] == "0o600"


async def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    """Those that mean something in a URL mean nothing in a path."""
    folder = tmp_path / "50% off?mode=memory#cats & dogs"
    folder.mkdir()

    async with SQLJournal(folder / "jöbs #1?.db") as journal:
        await journal.claim(new_entry("cat"))

    assert [file.name for file in folder.iterdir()] == ["jöbs #1?.db"]
    assert len(list(tmp_path.iterdir())) == 1


def make_folder(place: Path) -> None:
    place.mkdir()


def make_fifo(place: Path) -> None:
    os.mkfifo(place)


def make_link_to_device(place: Path) -> None:
    place.symlink_to("/dev/null")


def make_loop(place: Path) -> None:
    place.symlink_to(place)


@needs_posix
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_folder, r"it is a folder\. Give the path of a file"),
        (make_fifo, r"it is a pipe \(FIFO\)\. Use a regular file"),
        (make_link_to_device, r"it is a device\. Use a regular file"),
        (make_loop, "it cannot be created .*Use another path"),
    ],
)
async def test_what_is_no_regular_file(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    """It is left alone, and nobody waits for it."""
    place = tmp_path / "jobs.db"
    make(place)

    with pytest.raises(JournalError, match=why):
        await SQLJournal(place).open()


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """The error names it."""
    (tmp_path / "jobs").touch()

    with pytest.raises(JournalError, match=r"jobs is not a folder\. Use another path"):
        await SQLJournal(tmp_path / "jobs" / "jobs.db").open()


@needs_posix
def test_a_folder_that_this_user_may_not_write_in() -> None:
    """The error names it, and what to allow."""
    is_root = os.geteuid() == 0
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        if is_root:  # who may write anywhere
            os.seteuid(65534)
        try:
            with pytest.raises(
                UnusableError, match=r"may not write in .*Allow reading and writing"
            ):
                SQLiteFile(f"{folder}/jobs.db").prepare()
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o700)


def test_a_home_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a bare user id."""

    def expanduser(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)

    with pytest.raises(ConfigurationError, match="Set HOME, or give an absolute path"):
        SQLJournal("~/jobs.db")


@needs_posix
def test_a_current_folder_that_was_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path leads nowhere then."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with pytest.raises(ConfigurationError, match="current folder, which was deleted"):
        SQLJournal("jobs.db")


@pytest.mark.parametrize(
    "place",
    [
        "sqlite://me:hunter2@host/jobs.db",
        "sqlite:///jobs.db?password=hunter2",
        "sqlite:me:hunter2@host/jobs.db",
        "sqlite+pysqlcipher://:hunter2@/jobs.db?cipher=aes",
        "mysql://me:hunter2@host/jobs",
        "postgres:me:hunter2@host/jobs",
        "psql 'postgresql://me:hunter2@host/jobs'",
        "host=db user=me password=hunter2 dbname=jobs",
        "host=db.example.com passwd=hunter2",
        "hostname=db.example.com passwd=hunter2",
        " HOST = db passwd = hunter2",
        "Server=db.example.com;User Id=me;Password=hunter2",
        "db.example.com/jobs?user=me&password=hunter2",
        "jobs\0hunter2.db",
    ],
)
def test_a_place_that_is_none_shows_no_password(place: str) -> None:
    """Not in the error, nor in what caused it."""
    with pytest.raises(ConfigurationError) as caught:
        SQLJournal(place)

    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_file_that_goes_between_the_look_and_the_connection_is_not_made(
    tmp_path: Path,
) -> None:
    """SQLite itself is told to open it only."""
    file = SQLiteFile(str(tmp_path / "jobs.db"))
    file.prepare()
    opened = engine.connect(file, timeout=1)
    move_away(file.path)
    threads = set(threading.enumerate())

    with pytest.raises(OperationalError, match="unable to open"):
        await opened.connect()

    assert not file.path.exists()
    await opened.dispose()
    # The driver's thread has a last word for this loop, which must not be closed before.
    await until(lambda: not set(threading.enumerate()) - threads)


@pytest.mark.parametrize(
    "place", ["dbname=jobs", "service=prod", "host=/run/postgresql user = me", "sslmode=require"]
)
def test_connection_parameters_are_to_be_written_as_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """They are no file's name, although they could be one."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="as a URL: postgresql://user:password@host"):
        SQLJournal(place)


@pytest.mark.parametrize(
    ("place", "is_meant"),
    [
        (r"C:\Users\me@work\jobs.db", False),
        ("C:/Users/me@work/jobs.db", False),
        (r"D:\jobs.db", False),
        ("me:hunter2@host/jobs", True),
        (r"me:\hunter2@host/jobs", True),
        (r"C:\jobs password=hunter2", True),
    ],
)
def test_a_path_of_windows_is_not_a_login(place: str, is_meant: bool) -> None:
    """The letter of a drive is not a user, and a @ in a folder is not the end of a password."""
    assert is_url(place) is is_meant


@pytest.mark.parametrize(
    "place", ["run=3.db", "a=b/jobs.db", "./host=a.db", "dbname.db", "hosts=2.db"]
)
async def test_a_file_may_have_an_equals_sign_in_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """As folders of data that is split by a column have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()

    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))

    assert (tmp_path / place).is_file()


async def test_a_file_that_is_there_is_opened_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a journal that knows of jobs that are paid for."""
    monkeypatch.chdir(tmp_path)
    async with SQLJournal("./host=a.db") as journal:
        await journal.claim(new_entry("cat"))

    async with SQLJournal("host=a.db") as journal:
        assert set(await journal.states()) == {"cat"}


WITHOUT_EXTRAS = """
import sys
for package in ("sqlalchemy", "greenlet", "aiosqlite", "asyncpg"):
    sys.modules[package] = None  # as if it was not installed
from luma_async import ConfigurationError, SQLJournal
try:
    SQLJournal("jobs.db")
except ConfigurationError as error:
    print(error)
"""


def test_a_journal_without_its_packages() -> None:
    """The library is imported without SQLAlchemy and the drivers; the error names the extra."""
    said = subprocess.check_output(
        [sys.executable, "-c", WITHOUT_EXTRAS], cwd=ROOT, text=True, timeout=120
    )

    assert said == 'The journal needs sqlalchemy: pip install "luma-async[journal]"\n'
