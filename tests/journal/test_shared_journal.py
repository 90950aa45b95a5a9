"""What processes share by one journal: a limit of running jobs, and who watches which job."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from luma_async import JournalError, SQLJournal
from luma_async.generation import Generation, State
from luma_async.journal import End, Entry, EntryState
from luma_async.journal.shared_journal import Change, Limit, as_shared
from tests.clients import until
from tests.journal.databases import execute
from tests.journal.test_owners import new_entry

SERVER = "http://host"


async def submitted(journal: SQLJournal, key: str) -> Entry:
    """Put a running job into the journal, which its own process watches."""
    entry = new_entry(key)
    await journal.claim(entry)
    await journal.mark_accepted(entry, f"id of {key}")
    found = await journal.find(key)
    assert found is not None
    return found


async def test_no_more_jobs_are_claimed_than_the_limit_of_all_processes(place: str) -> None:
    """Four processes that claim at once get as many places together as there are."""
    limit = Limit(7, uncertain_for=60.0)
    async with (
        SQLJournal(place) as one,
        SQLJournal(place) as two,
        SQLJournal(place) as three,
        SQLJournal(place) as four,
    ):
        claimed = await asyncio.gather(
            *(
                journal.claim_within(limit, new_entry(f"{number}-{position}"))
                for number, journal in enumerate((one, two, three, four))
                for position in range(10)
            )
        )
        assert sum(entry is not None for entry in claimed) == 7
        entries = [entry for entry in claimed if entry is not None]
        await one.mark_rejected(entries[0])  # frees a place
        assert await four.claim_within(limit, new_entry("more")) is not None
        assert await four.claim_within(limit, new_entry("too-many")) is None
        assert len(await one.states()) == 7


async def test_a_job_that_waits_for_its_delivery_takes_no_place(place: str) -> None:
    """Nor does a forgotten one, nor an uncertain one after a while; a known key needs no place."""
    limit = Limit(1, uncertain_for=60.0)
    async with SQLJournal(place) as journal:
        await submitted(journal, "first")
        known = await journal.claim_within(limit, replace(new_entry("first"), claim="other"))
        assert known is not None
        assert known.id == "id of first"
        assert await journal.claim_within(limit, new_entry("second")) is None
        await journal.mark_ended(SERVER, ["id of first"])
        second = await journal.claim_within(limit, new_entry("second"))
        assert second is not None
        await journal.mark_uncertain(second, "The answer was lost.")
        assert await journal.claim_within(limit, new_entry("third")) is None
        uncertain = await journal.find("second")
        again = replace(new_entry("second"), claim="again")
        assert await journal.claim_within(limit, again, instead_of=uncertain) == again
        await journal.mark_uncertain(again, "The answer was lost.")
        assert await journal.claim_within(Limit(1, 0.0), new_entry("third")) is not None


async def test_a_job_of_a_process_that_left_goes_to_one_other(place: str) -> None:
    """Of two processes that ask for its lease at once, one gets it; the other sees that."""
    async with SQLJournal(place) as one, SQLJournal(place) as two:
        async with SQLJournal(place) as first:
            await submitted(first, "job")
            [entry] = await one.unfinished(SERVER)
            assert entry.is_watched_elsewhere
            assert await one.unwatched(SERVER) == []
        [entry] = await one.unwatched(SERVER)
        assert not entry.is_watched_elsewhere
        won = await asyncio.gather(one.lease([entry]), two.lease([entry]))
        assert sorted(map(len, won)) == [0, 1]
        loser = one if not won[0] else two
        [entry] = await loser.unfinished(SERVER)
        assert entry.is_watched_elsewhere
        winner = two if loser is one else one
        await winner.release(SERVER, ["id of job"])
        assert [entry.key for entry in await loser.unwatched(SERVER)] == ["job"]


async def test_a_silent_process_loses_its_jobs(place: str) -> None:
    """Its heartbeat is written while it watches; without it, another process may watch the jobs."""
    async with SQLJournal(place) as one, SQLJournal(place) as two:
        await submitted(one, "job")
        assert await two.unwatched(SERVER) == []
        await execute(place, "UPDATE luma_owners SET host = 'elsewhere', pid = 1")
        transactions = two._store._transactions  # type: ignore[union-attr]
        transactions._dead_watchers._clock = lambda: 1e6
        await execute(place, "UPDATE luma_owners SET heartbeat = heartbeat - 1000")
        assert await two.unwatched(SERVER) == []  # the clock of the database may have been set
        transactions._dead_watchers._clock = lambda: 1e6 + 60
        [entry] = await two.unwatched(SERVER)
        assert entry.key == "job"


async def test_an_outage_of_the_database_makes_no_process_silent(tmp_path: Path) -> None:
    """After it, the others have the time for a heartbeat before one of them counts as dead."""
    place = str(tmp_path / "jobs.db")
    async with SQLJournal(place) as one, SQLJournal(place, lock_timeout=0.01) as two:
        await submitted(one, "job")
        dead_watchers = two._store._transactions._dead_watchers  # type: ignore[union-attr]
        await execute(place, "UPDATE luma_owners SET heartbeat = heartbeat - 1000")
        dead_watchers._clock = lambda: 1e6
        assert await two.unwatched(SERVER) == []
        with closing(sqlite3.connect(place, isolation_level=None)) as program:
            program.execute("BEGIN EXCLUSIVE")
            with pytest.raises(JournalError, match="locked"):
                await two.claim(new_entry("another"))
        dead_watchers._clock = lambda: 1e6 + 60
        assert await two.unwatched(SERVER) == []
        dead_watchers._clock = lambda: 1e6 + 120
        assert [entry.key for entry in await two.unwatched(SERVER)] == ["job"]


async def test_a_process_that_is_silent_itself_takes_no_others_for_dead(place: str) -> None:
    """If it could not write its heartbeat, the others perhaps could not either."""
    async with SQLJournal(place) as one, SQLJournal(place) as two:
        await submitted(one, "job")
        await submitted(two, "own")
        assert two._store is not None
        dead_watchers = two._store._transactions._dead_watchers
        await execute(place, "UPDATE luma_owners SET heartbeat = heartbeat - 1000")
        last_beat, two._store._owner.last_beat = two._store._owner.last_beat, 0.0
        dead_watchers._clock = lambda: 1e6
        assert await two.unwatched(SERVER) == []
        dead_watchers._clock = lambda: 1e6 + 60
        assert await two.unwatched(SERVER) == []
        two._store._owner.last_beat = last_beat
        dead_watchers._clock = lambda: 1e6 + 120
        assert [entry.key for entry in await two.unwatched(SERVER)] == ["job"]


async def test_processes_tell_each_other_what_they_change(place: str) -> None:
    """An end and a released job are heard by the others, and not by the process itself."""
    heard: list[Change] = []
    own: list[Change] = []
    async with (
        SQLJournal(place) as one,
        SQLJournal(place) as two,
        two.changes(heard.append),
        one.changes(own.append),
    ):
        assert as_shared(one) is one
        await submitted(one, "job")
        await one.release(SERVER, ["id of job"])
        await until(lambda: any(change.is_released for change in heard))
        end = Generation(id="id of job", state=State.COMPLETED)
        await one.finish([End(server=SERVER, id="id of job", generation=end)])
        await until(lambda: any(change.has_ended("id of job") for change in heard))
        assert heard[-1].freed == 1
        assert not heard[-1].has_ended("another")
        assert own == []
        [entry] = await two.find_jobs(SERVER, ["id of job", "unknown"])
        assert entry.state is EntryState.COMPLETED
