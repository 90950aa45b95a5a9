"""Whose submissions are under way: the living are left alone, the dead are not waited for."""

from __future__ import annotations

import asyncio
import math
import os
import random
import string
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from luma_async import SQLJournal, SubmissionUncertainError
from luma_async.journal import End, Entry, EntryState
from luma_async.journal.sql.owner import has_ended_here, start_of, this_host
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.testing import running_simulator
from tests.clients import connect, until
from tests.journal.clocks import RunningClock
from tests.journal.databases import execute
from tests.journal.workers import worker
from tests.loops import skip
from tests.platforms import needs_posix

LONG_ID = "".join(random.Random(7).choices(string.ascii_letters, k=20_000))
"""More than an index of PostgreSQL's takes, however it is compressed."""


def new_entry(key: str) -> Entry:
    now = datetime.now(UTC)
    return Entry(
        key=key,
        state=EntryState.SUBMITTING,
        request={"prompt": "a cat"},
        server="http://host",
        submitted_at=now,
        updated_at=now,
        fingerprint="0",
        claim=f"claim of {key}",
    )


async def put_elsewhere(place: str) -> None:
    """Let whoever is submitting be a process of another machine."""
    await execute(place, "UPDATE luma_owners SET host = 'another machine'")


async def test_a_living_process_keeps_its_submission(
    place: str, running_clock: RunningClock
) -> None:
    """However slow the server, as long as its heart beats; nobody calls it uncertain."""
    async with (
        Simulator() as sim,
        SQLJournal(place, owner_timeout=1000) as journal,
        connect(sim, journal=journal, timeout=10_000) as luma,
        SQLJournal(place, owner_timeout=0.02) as other,
    ):
        sim.faults.add(Fault.slow(math.inf))
        asked = asyncio.create_task(luma.generate("a cat", key="cat"))
        await until(lambda: sim.ledger.requests["generate"])
        await put_elsewhere(place)
        try:
            for _ in range(5):
                assert await other.uncertain() == []
                entry = await other.find("cat")
                assert entry is not None
                assert entry.state is EntryState.SUBMITTING
                before = await heartbeat(place)
                skip(200)  # five times in each `owner_timeout`
                async with asyncio.timeout(60):
                    while await heartbeat(place) == before:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                running_clock.advance(200)
        finally:
            sim.faults.clear()
        await asked
        assert await other.uncertain() == []


async def heartbeat(place: str) -> float:
    """Return when the one owner of a submission was last heard of."""
    [(moment,)] = await execute(place, "SELECT max(heartbeat) FROM luma_owners")
    return float(moment)


async def test_a_silent_process_counts_as_dead(place: str) -> None:
    """One elsewhere, whose end nobody sees, after `owner_timeout` seconds without a heartbeat."""
    silent = SQLJournal(place, owner_timeout=1000)  # it beats every 200 s
    async with silent, SQLJournal(place, owner_timeout=0.3) as other:
        await silent.claim(new_entry("cat"))
        await put_elsewhere(place)
        entry = await other.find("cat")
        assert entry is not None
        assert entry.state is EntryState.SUBMITTING
        await asyncio.sleep(0.4)

        [entry] = await other.uncertain()

        assert entry.key == "cat"
        assert "ended before the answer" in str(entry.reason)


async def test_an_answer_after_all_ends_the_uncertainty(place: str) -> None:
    """Whoever was thought dead, and was not, still knows best."""
    slow = SQLJournal(place, owner_timeout=1000)
    async with slow, SQLJournal(place, owner_timeout=0.1) as other:
        cat, dog, cow, pig = map(new_entry, ("cat", "dog", "cow", "pig"))
        for entry in (cat, dog, cow, pig):
            await slow.claim(entry)
        await put_elsewhere(place)
        await asyncio.sleep(0.2)
        assert len(await other.uncertain()) == 4
        await other.settle("dog", resubmit=True)
        await other.settle("pig", resubmit=True)
        await other.settle("cow", id="job-3")

        await slow.mark_accepted(cat, "job-1")
        await slow.mark_accepted(dog, "job-2")
        await slow.mark_accepted(cow, "job-3")
        await slow.mark_accepted(pig, LONG_ID)

        running = {entry.id: entry.key for entry in await other.unfinished("http://host")}
        assert set(running) == {"job-1", "job-2", "job-3", LONG_ID}
        assert running["job-1"] == "cat"
        for id in ("job-2", LONG_ID):  # their keys were given to somebody else
            assert running[id].startswith("auto-")
        assert running["job-3"] == "cow"
        assert await other.uncertain() == []


async def test_a_refusal_after_all_ends_the_uncertainty(place: str) -> None:
    """The job was not accepted, so its key is free, or its entry is restored."""
    slow = SQLJournal(place, owner_timeout=1000)
    async with slow, SQLJournal(place, owner_timeout=0.1) as other:
        cat, dog = new_entry("cat"), new_entry("dog")
        await slow.claim(cat)
        await slow.claim(dog)
        await slow.mark_uncertain(dog, "lost")
        uncertain = await other.find("dog")
        assert uncertain is not None
        again = replace(new_entry("dog"), claim="another")
        await slow.claim(again, instead_of=uncertain)
        await put_elsewhere(place)
        await asyncio.sleep(0.2)
        assert len(await other.uncertain()) == 2

        await slow.mark_rejected(cat)
        await slow.mark_rejected(again, instead_of=uncertain)

        assert await other.find("cat") is None
        stands = await other.find("dog")
        assert stands == replace(uncertain, claim="another")


@pytest.mark.parametrize("rounds", [25, pytest.param(100, marks=pytest.mark.long)])
async def test_a_claim_that_is_won_stands(place: str, rounds: int) -> None:
    """However its rivals come and go: whoever is told so has an entry under the key."""
    async with SQLJournal(place) as one, SQLJournal(place) as other:
        for number in range(rounds):
            mine = replace(new_entry(f"cat-{number}"), claim=f"mine {number}")
            theirs = replace(mine, claim=f"theirs {number}")
            await one.claim(mine)

            _, stands = await asyncio.gather(one.mark_rejected(mine), other.claim(theirs))

            found = await other.find(mine.key)
            assert stands in (mine, theirs)
            assert (found is not None) is (stands == theirs)


async def test_a_claim_in_place_of_what_is_gone_is_a_new_one(place: str) -> None:
    """A failed job that was purged meanwhile leaves its key free."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        await journal.mark_accepted(new_entry("cat"), "job-1")
        await journal.finish([End(server="http://host", id="job-1", reason="gone")])
        lost = await journal.find("cat")
        await journal.purge(0)
        again = replace(new_entry("cat"), claim="again")

        assert await journal.claim(again, instead_of=lost) == again
        assert await journal.find("cat") == again


async def test_a_journal_that_is_closed_leaves_nothing_under_way(place: str) -> None:
    """What it cannot see the end of is uncertain at once."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
    async with SQLJournal(place) as journal:
        assert [entry.key for entry in await journal.uncertain()] == ["cat"]


@pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
def test_the_end_of_a_process_of_this_machine_is_seen_at_once(place: str) -> None:
    """Killed in the middle of a submission: asked again, it is uncertain without any waiting."""
    with running_simulator(durations=Fixed(0.1)) as sim:
        sim.faults.add(Fault.slow(math.inf, after=True))
        with worker(sim.url, place, 0, 1) as running:
            running.begin()
            while not sim.ledger.jobs:
                time.sleep(0.01)
            running.kill()
            running.results()

        async def ask_again() -> None:
            journal = SQLJournal(place, owner_timeout=1000)
            async with journal, connect(sim, journal=journal) as luma, asyncio.timeout(60):
                with pytest.raises(SubmissionUncertainError, match="ended before the answer"):
                    await luma.generate("cat 0", key="row-0")

        asyncio.run(ask_again())
        assert len(sim.ledger.jobs) == 1


@needs_posix
def test_only_a_process_that_is_certainly_gone_is_gone() -> None:
    """One that lives is not, nor one of which nobody here can know."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        pid = process.pid

    me, start = os.getpid(), start_of(os.getpid())
    another = f"1{start}"
    assert has_ended_here("it", this_host(), pid, None) is True
    assert has_ended_here("it", this_host(), 1, None) is False
    assert has_ended_here("it", this_host(), os.getppid(), start_of(os.getppid())) is False
    assert has_ended_here("it", this_host(), os.getppid(), another) is True  # its id is used again
    assert has_ended_here("it", "another machine", pid, None) is None
    assert has_ended_here("one of an event loop before", this_host(), me, start) is True
