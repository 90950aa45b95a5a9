"""Standard streams that are closed."""

from __future__ import annotations

import asyncio
import errno
import subprocess
from pathlib import Path

import pytest

from luma_async import SQLJournal
from luma_async.cli.streams import broken_pipes
from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.cli.commands import COMMAND, PATIENCE, Shell
from tests.platforms import needs_posix


@needs_posix
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_end_no_command(closed: str, tmp_path: Path) -> None:
    """A service may start a batch without streams: videos are made, and the journal is sound."""
    (tmp_path / "rows.csv").write_text("key,prompt\na,a cat\n")
    with running_simulator(durations=Fixed(0.1), short_side=90) as sim:
        shell = Shell.at(sim, tmp_path)
        done = subprocess.run(
            ["/bin/sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "batch", "rows.csv"],
            env=shell.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        jobs = shell.lines("jobs", "--journal", "rows/jobs.db")

    assert done.returncode == 0
    assert [job["state"] for job in jobs] == ["completed"]
    assert (tmp_path / "rows" / "videos" / "a.mp4").exists()


@needs_posix
def test_a_closed_standard_input_is_an_empty_list(tmp_path: Path) -> None:
    """`settle --ids - <&-` settles nothing, as with an empty list, and prints no traceback."""
    shell = Shell(tmp_path)
    asyncio.run(new_journal(shell))

    empty = shell.run("settle", "--ids", "-")
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" <&-', "sh", *COMMAND, "settle", "--ids", "-"],
        env=shell.environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (closed.returncode, closed.stdout, closed.stderr) == (
        empty.returncode,
        empty.stdout,
        empty.stderr,
    )


async def new_journal(shell: Shell) -> None:
    shell.journal.parent.mkdir(exist_ok=True)
    async with SQLJournal(shell.journal) as journal:
        assert await journal.uncertain() == []


def test_a_pipe_without_a_reader_is_the_same_everywhere() -> None:
    """Windows calls it an invalid argument, which would be an error that a person has to read."""
    with pytest.raises(BrokenPipeError), broken_pipes():
        raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(OSError, match="No space left") as raised, broken_pipes():
        raise OSError(errno.ENOSPC, "No space left")
    assert not isinstance(raised.value, BrokenPipeError)
