"""A journal that the code before wrote opens, and the jobs in it are known and not paid again.

`journal_of_schema_3.sql` is a dump of such a file, with an entry in each state. The server and the
running job have placeholders.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from luma_async import GenerationFailedError, SQLJournal, SubmissionUncertainError
from luma_async.journal import EntryState
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect

DUMP = Path(__file__).with_name("journal_of_schema_3.sql")


def restore(place: Path, *, server: str, running: str) -> None:
    """Write the journal as a file, with a running job of a server."""
    text = DUMP.read_text("utf-8").replace("http://server.example", server)
    with closing(sqlite3.connect(place)) as file:
        file.executescript(text.replace("id-of-the-running-job", running))


async def test_a_journal_of_the_code_before(tmp_path: Path) -> None:
    """All entries are listed, the running job is resumed, and no key is submitted again."""
    place = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim) as luma:
            running = await luma.generate("a cat that is running")
        restore(place, server=sim.url, running=running.id)

        async with SQLJournal(place, owner_timeout=0.2) as journal:
            assert await journal.states() == {
                "completed": EntryState.COMPLETED,
                "failed": EntryState.FAILED,
                "lost": EntryState.LOST,
                "running": EntryState.RUNNING,
                "submitting": EntryState.SUBMITTING,
                "uncertain": EntryState.UNCERTAIN,
            }
            uncertain = [entry.key for entry in await journal.uncertain()]
            assert uncertain == ["uncertain", "submitting"]  # whose process died
            assert len([line async for line in journal.export()]) == 6

            async with connect(sim, journal=journal) as luma:
                [resumed] = await luma.resume()
                video = await luma.generate(
                    "a cat that is completed", key="completed", aspect_ratio="16:9"
                )
                with pytest.raises(GenerationFailedError, match="could not be rendered"):
                    await luma.generate("a cat that is failed", key="failed")
                with pytest.raises(SubmissionUncertainError):
                    await luma.generate("a cat that is uncertain", key="uncertain")
                sim.advance(HOUR)
                assert (await resumed).id == running.id

            assert (resumed.key, resumed.id) == ("running", running.id)
            assert video.state.value == "completed"
            entry = await journal.find("running")
            assert entry is not None
            assert entry.state is EntryState.COMPLETED
        assert len(sim.ledger.jobs) == 1
