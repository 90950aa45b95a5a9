"""The journal from a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from luma_async import LumaClient, SubmissionUncertainError
from luma_async.simulator import Fault
from luma_async.testing import running_simulator
from tests.cli.commands import Done, Shell


def luma(*arguments: str, journal: Path) -> Done:
    return Shell(journal.parent, more={"LUMA_JOURNAL": str(journal)}).run(*arguments)


def a_journal_with_an_uncertain_job(folder: Path) -> Path:
    place = folder / "jobs.db"

    async def make() -> None:
        with running_simulator() as sim:
            async with LumaClient("sk-simulated", base_url=sim.url, journal=place) as client:
                await client.generate("a cat [bold]dances", key="cat")
                sim.faults.add(Fault.cut(after=True))
                try:
                    await client.generate("a dog", key="dog")
                except SubmissionUncertainError:
                    return

    asyncio.run(make())
    return place


def test_jobs_are_listed(tmp_path: Path) -> None:
    """All jobs or those in a state are listed, as a table on a terminal or as JSON."""
    place = a_journal_with_an_uncertain_job(tmp_path)

    shell = Shell(tmp_path, more={"LUMA_JOURNAL": str(place)})
    code, table = shell.run_on_a_terminal("jobs")
    uncertain = luma("jobs", "--state", "uncertain", "--json", journal=place)
    none = luma("jobs", "--state", "failed", journal=place)

    assert "a cat [bold]dances" in table
    assert "uncertain" in table
    assert [json.loads(line)["key"] for line in uncertain.stdout.splitlines()] == ["dog"]
    assert (none.stdout, none.stderr) == ("", "No such jobs.\n")
    assert code == uncertain.returncode == none.returncode == 0
    assert uncertain.stderr == ""


def test_a_pipe_gets_a_line_for_each_job(tmp_path: Path) -> None:
    """`cut` and `awk` find the key, the state and the rest, at any width of the terminal."""
    place = a_journal_with_an_uncertain_job(tmp_path)
    shell = Shell(tmp_path, more={"LUMA_JOURNAL": str(place), "COLUMNS": "40"})

    cat, dog = (line.split("\t") for line in shell.run("jobs").stdout.splitlines())
    found_cat, found_dog = shell.lines("jobs")

    assert cat == [
        *("cat", "running", found_cat["id"], found_cat["submitted_at"], "a cat [bold]dances"),
        *("", "", found_cat["request_id"], ""),
    ]
    assert dog[:2] == ["dog", "uncertain"]
    assert dog[6:] == [found_dog["reason"], found_dog["request_id"], ""]


def test_metadata_are_in_the_lines_of_json(tmp_path: Path) -> None:
    """As they were given, whatever characters are in them."""
    place = tmp_path / "jobs.db"
    metadata = {"user": 42, "name": "Jürgen \ud83d", "tags": ["a\0"]}

    async def make() -> None:
        with running_simulator() as sim:
            async with LumaClient("sk-simulated", base_url=sim.url, journal=place) as client:
                await client.generate("a cat", key="cat", metadata=metadata)

    asyncio.run(make())
    listed = luma("jobs", "--json", journal=place)

    assert (listed.returncode, listed.stderr) == (0, "")
    assert json.loads(listed.stdout)["metadata"] == metadata


def test_an_uncertain_job_is_settled(tmp_path: Path) -> None:
    """Once; then there is nothing to settle any more."""
    place = a_journal_with_an_uncertain_job(tmp_path)

    unsaid = luma("settle", "dog", journal=place)
    settled = luma("settle", "dog", "--id", "job-1", journal=place)
    again = luma("settle", "dog", "--resubmit", journal=place)
    running = luma("jobs", "--state", "running", "--json", journal=place)

    assert (unsaid.returncode, settled.returncode, again.returncode) == (2, 0, 1)
    assert settled.stdout == "dog: accepted as job-1\n"
    assert "'dog' is running" in again.stderr
    assert "job-1" in running.stdout


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A journal that was not found is probably misspelled."""
    done = luma("jobs", journal=tmp_path / "jobs.db")

    assert done.returncode == 1
    assert "Journal not found:" in done.stderr
    assert not list(tmp_path.iterdir())
