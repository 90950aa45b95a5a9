"""A submission leaves only while its claim stands, however long its process was stopped."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from luma_async import JournalError, SQLJournal
from luma_async.journal import EntryState
from luma_async.journal.sql.operations import Beat
from luma_async.simulator import Fixed
from luma_async.testing import running_simulator
from tests.cli.commands import wait_for
from tests.clients import connect
from tests.forked_programs import PYTHON, ForkedProgram
from tests.journal.clocks import RunningClock
from tests.journal.databases import execute
from tests.journal.test_owners import new_entry, put_elsewhere
from tests.journal.workers import ROOT


async def step_clock(place: str, seconds: int) -> None:
    """Let the database's clock be set: every heartbeat is that much older."""
    await execute(place, f"UPDATE luma_owners SET heartbeat = heartbeat - {seconds}")  # noqa: S608


@contextmanager
def stopped_process(url: str, place: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process until it is stopped between its claim and its request."""
    with ForkedProgram(
        [*PYTHON, "-m", "tests.journal.stopper", url, place],
        loaded=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        status = Path(f"/proc/{process.pid}/status")
        wait_for(lambda: "State:\tT" in status.read_text())
        try:
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGCONT)
    return process.communicate(timeout=120)[0]


def test_a_stopped_process_whose_key_was_settled_sends_nothing(place: str) -> None:
    """It goes on after its key was given to somebody else: one job is paid for, and it says why."""
    with running_simulator(durations=Fixed(60)) as sim, stopped_process(sim.url, place) as process:

        async def settle_and_submit() -> None:
            await put_elsewhere(place)
            async with SQLJournal(place, owner_timeout=1.0) as journal:
                await asyncio.sleep(1.2)
                await journal.settle("cat", resubmit=True)
                async with connect(sim, journal=journal) as luma:
                    await luma.generate("a cat", key="cat")

        asyncio.run(settle_and_submit())
        said = go_on(process)

        assert len(sim.ledger.jobs) == 1
    assert "JournalError" in said
    assert "was not submitted" in said
    assert "silent for" in said


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_stopped_process_whose_key_is_still_its_own_goes_on(place: str) -> None:
    """Called uncertain meanwhile, it is submitting again, and then running."""
    with running_simulator(durations=Fixed(60)) as sim, stopped_process(sim.url, place) as process:

        async def call_it_uncertain() -> None:
            await put_elsewhere(place)
            async with SQLJournal(place, owner_timeout=1.0) as journal:
                await asyncio.sleep(1.2)
                assert [entry.key for entry in await journal.uncertain()] == ["cat"]

        async def entry_state() -> EntryState | None:
            async with SQLJournal(place) as journal:
                return (await journal.states()).get("cat")

        asyncio.run(call_it_uncertain())
        said = go_on(process)

        [job] = sim.ledger.jobs
    assert said == f"{job.id}\n"
    assert asyncio.run(entry_state()) is EntryState.RUNNING


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_stopped_process_of_this_machine_is_not_dead(place: str) -> None:
    """Its key is not uncertain, so nobody settles it; who waits is told which process it is."""
    with running_simulator(durations=Fixed(60)) as sim, stopped_process(sim.url, place) as process:

        async def wait_for_it() -> None:
            async with (
                SQLJournal(place, owner_timeout=1.0) as journal,
                connect(sim, journal=journal) as luma,
                asyncio.timeout(120),
            ):
                with pytest.raises(JournalError, match=rf"kill -CONT {process.pid}"):
                    await luma.generate("a cat", key="cat")
                assert await journal.uncertain() == []
                with pytest.raises(JournalError, match=f"Process {process.pid}"):
                    await journal.settle("cat", resubmit=True)

        asyncio.run(wait_for_it())
        said = go_on(process)

        assert [f"{job.id}\n" for job in sim.ledger.jobs] == [said]


async def test_holding_a_claim_costs_nothing_while_its_owner_is_heard_of(place: str) -> None:
    """No more than a look at a clock, so that it can be done before each request."""
    async with SQLJournal(place, owner_timeout=1000) as journal:
        entry = new_entry("cat")
        await journal.claim(entry)
        await execute(place, "ALTER TABLE luma_jobs RENAME TO elsewhere")

        assert await journal.hold(entry)

        await execute(place, "ALTER TABLE elsewhere RENAME TO luma_jobs")
        await journal.mark_rejected(entry)


async def test_a_claim_that_cannot_be_looked_at_is_not_held(place: str) -> None:
    """The database may know better."""
    async with SQLJournal(place, owner_timeout=1000) as journal:
        entry = new_entry("cat")
        await journal.claim(entry)
        assert journal._store is not None
        journal._store._owner.last_beat -= 501  # as after being stopped
        await execute(place, "ALTER TABLE luma_jobs RENAME TO elsewhere")

        with pytest.raises(JournalError):
            await journal.hold(entry)

        await execute(place, "ALTER TABLE elsewhere RENAME TO luma_jobs")
        assert await journal.hold(entry)
        journal._store._owner.last_beat -= 501
        assert not await journal.hold(replace(entry, claim="another"))
        await journal.mark_rejected(entry)


@pytest.mark.parametrize("step", [7200, -7200])
async def test_a_clock_that_steps_makes_nobody_dead(
    place: str, step: int, running_clock: RunningClock
) -> None:
    """For a moment everybody seems silent for hours, or from the future; those who live beat on."""
    mine = SQLJournal(place, owner_timeout=1000)
    async with mine, SQLJournal(place, owner_timeout=0.02) as other:
        await mine.claim(new_entry("cat"))
        await put_elsewhere(place)

        for _ in range(3):
            await step_clock(place, step)
            assert await other.uncertain() == []
            assert mine._store is not None
            await mine._store.commits.put(Beat())
            running_clock.advance(0.02)
            assert await other.uncertain() == []
            entry = await other.find("cat")
            assert entry is not None
            assert entry.state is EntryState.SUBMITTING

        await step_clock(place, step)
        assert await other.uncertain() == []
        running_clock.advance(0.02)  # and it beats no more
        assert [entry.key for entry in await other.uncertain()] == ["cat"]

        await mine.mark_rejected(new_entry("cat"))


@pytest.mark.parametrize("step", [7200, -7200])
async def test_a_clock_that_steps_keeps_nobody_alive(place: str, step: int) -> None:
    """A heartbeat from the future that stands still is that of a dead process."""
    silent = SQLJournal(place, owner_timeout=1000)
    async with silent, SQLJournal(place, owner_timeout=0.4) as other:
        await silent.claim(new_entry("cat"))
        await put_elsewhere(place)
        await step_clock(place, step)

        async with asyncio.timeout(60):
            assert [entry.key for entry in await other.uncertain()] == ["cat"]


LEFT_BEHIND = """
import asyncio, sys
from luma_async import SQLJournal
from luma_async.concurrency import Worker
from tests.journal.test_owners import new_entry

# The heart beats as long as that at the end of its loop.
Worker.__init__.__kwdefaults__["grace"] = 0.1

async def claim(journal):
    await journal.claim(new_entry("cat"))

async def look():
    async with SQLJournal(sys.argv[1]) as journal:
        print([entry.key for entry in await journal.uncertain()])

journal = SQLJournal(sys.argv[1])
asyncio.run(claim(journal))
asyncio.run(look())
"""


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_loop_that_is_closed_submits_no_more(place: str) -> None:
    """Its process lives, but nobody will ever hear of what it had under way."""
    said = subprocess.check_output(
        [sys.executable, "-c", LEFT_BEHIND, place], cwd=ROOT, text=True, timeout=120
    )

    assert said == "['cat']\n"
