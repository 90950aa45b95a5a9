"""A journal remembers uploaded files, so that no later process uploads them again."""

from __future__ import annotations

import asyncio
import math
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from luma_async import JournalError, SQLJournal
from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.journal.sql import schema
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import connect, until
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.databases import execute
from tests.journal.workers import ROOT
from tests.media.image_files import an_image

DIGEST, OTHER_DIGEST = "0" * 64, "1" * 64
LARGE = an_image() + bytes(AgentsFileCalls.inline_limit)


async def test_files_are_remembered_by_server_and_content(place: str) -> None:
    """The latest file counts, also in a later process; `purge()` forgets old files."""
    async with SQLJournal(place) as journal:
        assert await journal.find_file("http://host", DIGEST) is None
        await journal.remember_file("http://host", DIGEST, "file-1")
        await journal.remember_file("http://host", DIGEST, "file-2")
        await journal.remember_file("http://other", DIGEST, "file-3")
        await journal.remember_file("http://host", OTHER_DIGEST, "f" * 5000)

    async with SQLJournal(place) as journal:
        assert await journal.find_file("http://host", DIGEST) == "file-2"
        assert await journal.find_file("http://other", DIGEST) == "file-3"
        assert await journal.find_file("http://host", OTHER_DIGEST) == "f" * 5000
        assert await journal.purge(older_than=3600) == 0
        assert await journal.find_file("http://host", DIGEST) == "file-2"
        assert await journal.purge(older_than=-1) == 0  # the files are no jobs
        assert await journal.find_file("http://host", DIGEST) is None


async def test_programs_that_upload_one_file_at_once_do_not_disturb_each_other(place: str) -> None:
    """Two uploads are allowed, and one of them is remembered."""
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        writes = [
            journal.remember_file("http://host", DIGEST, f"file-{number}")
            for number in range(5)
            for journal in (one, other)
        ]
        await asyncio.gather(*writes)

        found = {await journal.find_file("http://host", DIGEST) for journal in (one, other)}
    assert len(found) == 1
    assert found <= {f"file-{number}" for number in range(5)}


async def test_a_journal_of_version_4_gets_the_files(place: str) -> None:
    """Its jobs stay, and it remembers files from now on."""
    async with SQLJournal(place):
        pass
    await execute(place, "DROP TABLE luma_files")
    await execute(place, "UPDATE luma_schema SET version = 4")

    async with SQLJournal(place) as journal:
        await journal.remember_file("http://host", DIGEST, "file-1")
        assert await journal.find_file("http://host", DIGEST) == "file-1"
    newest = len(schema.MIGRATIONS)
    assert await execute(place, "SELECT version FROM luma_schema") == [(newest,)]


async def test_a_file_that_cannot_be_remembered_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The job is submitted, and the log says that the file will be uploaded again."""

    class Forgetful(SQLJournal):
        async def remember_file(self, server: str, sha256: str, id: str) -> None:
            raise JournalError("The disk is full.")

    async with (
        Forgetful(tmp_path / "jobs.db") as journal,
        Simulator(speed=100) as sim,
        connect(sim, dialect="agents", journal=journal) as luma,
    ):
        await luma.generate("a cat", image=LARGE)

    assert len(sim.ledger.jobs) == 1
    assert "will be uploaded again next time. The disk is full." in caplog.text


async def test_a_program_killed_between_upload_and_submission(tmp_path: Path) -> None:
    """The next one uses the file that is there, and each job is submitted once."""
    image = tmp_path / "large.png"
    image.write_bytes(LARGE)
    async with Simulator(speed=100, durations=Fixed(0.0)) as sim:
        program = [*PYTHON, "-m", "tests.journal.uploader", sim.url, str(tmp_path / "jobs")]

        def start() -> ForkedProgram:
            return ForkedProgram(
                [*program, str(image)], loaded=True, cwd=ROOT, stdout=subprocess.PIPE
            )

        sim.faults.add(Fault(on=["agents.get_file"], delay=math.inf))
        killed = start()
        await until(lambda: sim.ledger.requests["agents.get_file"])
        killed.kill()
        await asyncio.to_thread(killed.communicate)
        sim.faults.clear()
        said, _ = await asyncio.to_thread(start().communicate)
        again, _ = await asyncio.to_thread(start().communicate)

    ids = {f"row-{job.prompt[-1]}": job.id for job in sim.ledger.jobs}
    assert len(sim.ledger.jobs) == 2
    assert dict(line.split() for line in said.splitlines()) == ids
    assert Counter(again.split()) == Counter(said.split())
    assert sim.ledger.requests["agents.create_file"] == 1
    assert sim.ledger.requests["agents.upload"] == 1
    assert sim.ledger.keys_seen_by_media == []
