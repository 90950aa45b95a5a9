"""The place of the journal, as the command line finds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from luma_async import JournalError
from luma_async.cli.connection import Connection
from luma_async.settings import Settings
from tests.cli.commands import Shell

if sys.platform != "win32":
    import pwd


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Return a shell as in a container with a bare user id: no HOME, no entry for the user."""
    if sys.platform == "win32":
        pytest.skip("every user of Windows has a home folder")

    def no_entry(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    return Shell(tmp_path, "http://127.0.0.1:9", more={"LUMA_JOURNAL": ""})


def test_watching_needs_no_home_folder(no_home: Shell) -> None:
    """There is no journal then, and only the gateway is asked."""
    done = no_home.run("resume")

    assert "home" not in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments", [("generate", "a cat"), ("settle", "cat", "--resubmit")], ids=str
)
def test_a_journal_that_would_be_in_a_home_folder(
    arguments: tuple[str, ...], no_home: Shell
) -> None:
    """Without one, the error says how to name another place, and nothing is submitted."""
    done = no_home.run(*arguments)

    assert "there is no home folder" in done.stderr
    assert "--journal or LUMA_JOURNAL" in done.stderr
    assert done.returncode != 0


def test_a_relative_place_is_fixed_at_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later change of folder does not matter."""
    monkeypatch.chdir(tmp_path)
    connection = Connection(journal="jobs.db", settings=Settings({}))

    assert connection.journal_place == str(tmp_path / "jobs.db")
    assert not connection.journal_is_there
    with pytest.raises(JournalError, match=r"Journal not found: .*jobs\.db"):
        _ = connection.journal_that_exists


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://me:hunter2@host/jobs",
        "postgresql://me:hunter2@two#hunter2@host/jobs",
        "postgresql://host/jobs?user=me&password=hunter2&sslpassword=hunter2",
        "postgres:me:hunter2@host/jobs",
        "host=db password=hunter2",
    ],
)
def test_no_command_that_is_told_has_a_password(place: str) -> None:
    """However the URL is written."""
    connection = Connection(journal=place, settings=Settings({}))

    assert "hunter2" not in connection.journal_command("settle", "cat")
    assert connection.journal_is_url
