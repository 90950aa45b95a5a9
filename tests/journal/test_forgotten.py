"""A job that is forgotten stays forgotten, and stays in the journal."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from luma_async import End, LumaClient, SQLJournal
from luma_async.journal import EntryState, write_behind
from luma_async.journal import closing as closing_module
from luma_async.simulator import Fixed, Simulator
from tests.clients import HOUR, connect, until
from tests.journal.databases import counted_commits
from tests.journal.test_entries import ended, entry_of, journal_of
from tests.journal.test_owners import new_entry


async def keys_of_resumed(luma: LumaClient, **options: bool) -> list[str | None]:
    return [task.key for task in await luma.resume(**options)]


async def written(luma: LumaClient) -> None:
    """Return once all marks are written, which nobody waits for."""
    assert luma._bookkeeper is not None
    marks = luma._bookkeeper._ends._marks
    await until(lambda: not marks.queued)


async def test_a_forgotten_job_is_not_resumed(place: str) -> None:
    """Neither by this client nor by a later one, and it is a running job all the same."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            await luma.generate("a cat", key="cat")
            (await luma.generate("a dog", key="dog")).forget()
            at_once = await keys_of_resumed(luma)
        async with connect(sim, journal=place) as luma:
            later = await keys_of_resumed(luma)
            states = await journal_of(luma).states()
            dog = await entry_of(luma, "dog")
            journal = journal_of(luma)
            assert isinstance(journal, SQLJournal)
            lines = [json.loads(line) async for line in journal.export()]

    assert at_once == later == ["cat"]
    assert states == {"cat": EntryState.RUNNING, "dog": EntryState.RUNNING}
    assert dog.forgotten
    assert {line["key"]: line["forgotten"] for line in lines} == {"cat": False, "dog": True}


async def test_forgotten_jobs_are_resumed_on_demand(place: str) -> None:
    """They are not forgotten any more then, and end as others do."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            (await luma.generate("a dog", key="dog", metadata={"user": 7})).forget()
        async with connect(sim, journal=place) as luma:
            [task] = await luma.resume(forgotten=True)
            again = await luma.resume()
        async with connect(sim, journal=place) as luma:
            later = await keys_of_resumed(luma)
            sim.advance(HOUR)
            entry = await ended(luma, "dog")

    assert task.metadata == {"user": 7}
    assert again == [task]
    assert later == ["dog"]
    assert (entry.state, entry.forgotten) == (EntryState.COMPLETED, False)


@pytest.mark.parametrize("way", ["its key", "its id"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_job_that_is_asked_for_again_is_not_forgotten(
    way: str, at_once: bool, place: str
) -> None:
    """By its key or its id, however soon: the next program resumes it."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            dog = await luma.generate("a dog", key="dog")
            dog.forget()
            if not at_once:
                await written(luma)
                assert (await entry_of(luma, "dog")).forgotten
            again = await (
                luma.generate("a dog", key="dog") if way == "its key" else luma.watch(dog.id)
            )
            assert again.id == dog.id
            assert not again.done()
        async with connect(sim, journal=place) as luma:
            assert await keys_of_resumed(luma) == ["dog"]
        assert len(sim.ledger.jobs) == 1


async def test_the_last_of_many_marks_counts(place: str) -> None:
    """Even if all of them are made before the first is written."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            dog = await luma.generate("a dog", key="dog")
            for _ in range(3):
                dog.forget()
                dog = await luma.watch(dog.id)
            cat = await luma.generate("a cat", key="cat")
            for _ in range(3):
                cat = await luma.watch(cat.id)
                cat.forget()
        async with connect(sim, journal=place) as luma:
            assert await keys_of_resumed(luma) == ["dog"]


async def test_the_end_of_a_job_that_is_forgotten_elsewhere_is_recorded(place: str) -> None:
    """Another client still watches it."""
    async with (
        Simulator(durations=Fixed(HOUR)) as sim,
        connect(sim, journal=place) as one,
        connect(sim, journal=place) as other,
    ):
        await one.generate("a dog", key="dog")
        [watched] = await other.resume()
        (await one.generate("a dog", key="dog")).forget()
        await written(one)
        async with connect(sim, journal=place) as third:
            assert await third.resume() == []
        sim.advance(HOUR)
        await watched
        entry = await ended(other, "dog")
        video = await one.generate("a dog", key="dog")

    assert (entry.state, entry.forgotten) == (EntryState.COMPLETED, False)
    assert video.done()


async def test_a_mark_about_a_job_that_has_ended_is_ignored(place: str) -> None:
    """Or about one that the journal does not know; the time of the last change stays as well."""
    async with SQLJournal(place) as journal:
        for key in ("cat", "dog"):
            await journal.claim(new_entry(key))
            await journal.mark_accepted(new_entry(key), f"id of {key}")
        await journal.finish([End(server="http://host", id="id of cat", reason="gone")])
        before = {line["key"]: line async for line in lines_of(journal)}
        ids = ["id of cat", "id of dog", "unknown"]
        await journal.mark_forgotten("http://host", ids, forgotten=True)
        await journal.mark_forgotten("http://another", ids, forgotten=False)
        after = {line["key"]: line async for line in lines_of(journal)}

    assert after == {"cat": before["cat"], "dog": {**before["dog"], "forgotten": True}}


async def lines_of(journal: SQLJournal) -> Any:
    async for line in journal.export():
        yield json.loads(line)


async def test_many_forgotten_jobs_are_marked_together(place: str) -> None:
    """A bot that gives up a thousand jobs does not write a thousand times."""
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=place) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(20)]
            with counted_commits() as commits:
                for task in tasks:
                    task.forget()
                await luma.aclose()
        async with connect(sim, journal=place) as luma:
            assert await luma.resume() == []

    assert len(commits) <= 3


class _Failing:
    """A journal of one's own that fails to mark jobs, so many times."""

    def __init__(self, journal: SQLJournal, error: Exception, *, times: int) -> None:
        self._journal = journal
        self._error = error
        self._times = times
        self.calls: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def mark_forgotten(self, server: str, ids: Sequence[str], *, forgotten: bool) -> None:
        self.calls.append([*ids])
        self._times -= 1
        if self._times >= 0:
            raise self._error
        await self._journal.mark_forgotten(server, ids, forgotten=forgotten)


async def test_a_mark_is_written_once_for_all_who_read(place: str) -> None:
    """Calls with job keys must see it, and each of them would write it."""
    async with Simulator(durations=Fixed(HOUR)) as sim, SQLJournal(place) as journal:
        counting = _Failing(journal, OSError("no"), times=0)
        async with connect(sim, journal=counting) as luma:
            tasks = [await luma.generate("a cat", key=f"cat-{n}") for n in range(10)]
            tasks[0].forget()
            await asyncio.gather(*(luma.generate("a cat", key=f"cat-{n}") for n in range(10)))

    assert counting.calls == [[tasks[0].id]] * 2  # forgotten, and not any more


async def test_a_mark_is_written_again_after_an_unexpected_error(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another journal may raise anything; the log has it."""
    monkeypatch.setattr(write_behind, "RETRY_AFTER", 0.01)
    async with Simulator(durations=Fixed(HOUR)) as sim, SQLJournal(place) as journal:
        async with connect(sim, journal=_Failing(journal, OSError("no"), times=1)) as luma:
            (await luma.generate("a dog", key="dog")).forget()
        found = await journal.find("dog")

    assert found is not None
    assert found.forgotten
    assert "OSError: no" in caplog.text


async def test_a_journal_that_is_locked_has_the_mark_as_soon_as_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log warns, and the journal itself repeats the write."""
    place = tmp_path / "jobs.db"
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with SQLJournal(place, lock_timeout=0.1) as journal:
            async with connect(sim, journal=journal) as luma:
                task = await luma.generate("a dog", key="dog")
                with closing(sqlite3.connect(place, isolation_level=None)) as locking:
                    locking.execute("BEGIN EXCLUSIVE")
                    task.forget()
                    await until(lambda: "locked" in caplog.text)
            assert journal._store is not None
            await journal._store.commits.idle()
        async with connect(sim, journal=place) as luma:
            assert await luma.resume() == []
            assert (await entry_of(luma, "dog")).forgotten


async def test_marks_that_were_not_written_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing takes a bounded time, and the log has the id of each job."""
    monkeypatch.setattr(closing_module, "GRACE", 0.1)
    async with Simulator(durations=Fixed(HOUR)) as sim:
        async with SQLJournal(tmp_path / "jobs.db") as journal:
            luma = connect(sim, journal=_Failing(journal, OSError("no"), times=1000))
            task = await luma.generate("a dog", key="dog")
            task.forget()
            luma._timeout = 0.1
            await luma.aclose()

    logged = f"The journal does not know this: the job {task.id} is forgotten."
    assert logged in caplog.messages
