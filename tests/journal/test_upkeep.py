"""Looking after a journal: what is deleted, what is taken out, and what is learned in it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from luma_async import AdaptiveSchedule, SQLJournal, SubmissionUncertainError
from luma_async.journal import EntryState
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import HOUR, connect
from tests.journal.test_entries import ended
from tests.journal.test_owners import new_entry


async def test_purging_deletes_what_has_ended_long_ago(place: str) -> None:
    """Not what ended lately, and never what runs or is uncertain."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            await (await luma.generate("done", key="done"))
        async with Simulator(durations=Fixed(60)) as slow, connect(slow, journal=place) as luma:
            await luma.generate("running", key="running")
            slow.faults.add(Fault.cut(after=True))
            with pytest.raises(SubmissionUncertainError):
                await luma.generate("uncertain", key="uncertain")
    async with SQLJournal(place) as journal:
        assert await journal.purge(timedelta(hours=1)) == 0
        assert await journal.purge(older_than=0) == 1

        left = [json.loads(line) async for line in journal.export()]

    assert {line["key"]: line["state"] for line in left} == {
        "running": "running",
        "uncertain": "uncertain",
    }


async def test_a_purged_key_is_free(place: str) -> None:
    """Asked for again, it is another job."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            await (await luma.generate("a cat", key="cat"))
        async with connect(sim, journal=place) as luma:
            assert luma.journal is not None
            await luma.journal.purge(0)
            await luma.generate("a cat", key="cat")
        assert len(sim.ledger.jobs) == 2


async def test_exporting_tells_all_of_each_job(place: str) -> None:
    """A line of JSON for each, the oldest first, with what was asked for and what came of it."""
    async with Simulator(durations=Fixed(0)) as sim:
        async with connect(sim, journal=place) as luma:
            video = await (await luma.generate("a cat", key="cat", aspect_ratio="1:1"))
            longer = await (await luma.extend(video, "it bows\nand smiles", key="bow"))
        async with SQLJournal(place) as journal:
            lines = [line async for line in journal.export()]

    assert all("\n" not in line for line in lines)
    cat, bow = map(json.loads, lines)
    assert cat["key"] == "cat"
    assert cat["state"] == "completed"
    assert cat["id"] == video.id
    assert cat["request"] == {"prompt": "a cat", "aspect_ratio": "1:1"}
    assert cat["generation"]["video"]["url"] == video.video.url if video.video else ""
    assert cat["generation"]["raw"] == video.raw
    assert bow["source_id"] == video.id
    assert bow["id"] == longer.id
    assert bow["server"] == sim.url


async def test_exporting_goes_on_from_page_to_page(place: str) -> None:
    """Each of several hundred jobs once, whenever they were submitted."""
    async with SQLJournal(place) as journal:
        entries = [new_entry(f"cat-{number}") for number in range(401)]
        await asyncio.gather(*(journal.claim(entry) for entry in entries))

        keys = [json.loads(line)["key"] async for line in journal.export()]

    assert len(keys) == len(set(keys)) == 401


async def test_the_newest_jobs_are_read_without_all_others(place: str) -> None:
    """Newest first, in a state or of all, with the number of all."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        for number in range(5):
            await (await luma.generate("a cat", key=f"cat-{number}"))
        await ended(luma, "cat-4")
        sim.delay_next(HOUR)
        await luma.generate("a dog", key="dog")
        assert isinstance(luma.journal, SQLJournal)
        newest, all_jobs = await luma.journal.newest(2)
        completed, cats = await luma.journal.newest(3, state=EntryState.COMPLETED)

    assert [entry.key for entry in newest] == ["dog", "cat-4"]
    assert [entry.key for entry in completed] == ["cat-4", "cat-3", "cat-2"]
    assert (all_jobs, cats) == (6, 5)


async def test_an_export_can_be_left_early(place: str) -> None:
    """Nothing is held open by it."""
    async with SQLJournal(place) as journal:
        await journal.claim(new_entry("cat"))
        lines = journal.export()
        assert await anext(lines)
        await lines.aclose()
        await journal.claim(new_entry("dog"))


async def test_what_was_learned_is_kept_across_runs(place: str) -> None:
    """A later client knows how long jobs take at this server, and only there."""
    async with Simulator(durations=Fixed(0.1)) as sim, Simulator() as other:
        schedule = AdaptiveSchedule(0.0001, shortest=0.02, expected=0.1)
        async with connect(sim, journal=place, schedule=schedule) as luma:
            async for outcome in luma.run_many(f"cat {number}" for number in range(20)):
                assert outcome.ok

        later = AdaptiveSchedule()
        async with connect(sim, journal=place, schedule=later):
            assert later.learned() == schedule.learned()
        elsewhere = AdaptiveSchedule()
        async with connect(other, journal=place, schedule=elsewhere):
            assert elsewhere.learned() == AdaptiveSchedule().learned()


async def test_what_a_schedule_was_given_is_not_overwritten(place: str) -> None:
    """`learned=` of the caller's own wins over the journal's."""
    given, kept = AdaptiveSchedule(), AdaptiveSchedule()
    given.observe(1000.0)
    kept.observe(10.0)
    async with Simulator() as sim, SQLJournal(place) as journal:
        await journal.keep_learned(sim.url, kept.learned())
        schedule = AdaptiveSchedule(learned=given.learned())
        async with connect(sim, journal=journal, schedule=schedule):
            assert schedule.learned() == given.learned()


async def test_what_was_learned_and_cannot_be_read_is_learned_anew(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs a few looks, not the client."""
    async with Simulator() as sim, SQLJournal(place) as journal:
        await journal.keep_learned(sim.url, {"generate": {"weight": "heavy"}})
        schedule = AdaptiveSchedule()
        async with connect(sim, journal=journal, schedule=schedule):
            assert schedule.learned() == AdaptiveSchedule().learned()

    assert "'generate' is not a valid lifetime" in caplog.text


async def test_an_entry_shows_what_it_is(place: str) -> None:
    """What `uncertain()` lists is enough to find the job by."""
    async with Simulator(durations=Fixed(0)) as sim, connect(sim, journal=place) as luma:
        video = await (await luma.generate("a cat"))
        sim.faults.add(Fault.cut(after=True))
        with pytest.raises(SubmissionUncertainError):
            await luma.extend(video, "it bows", key="bow")
        assert luma.journal is not None
        [entry] = await luma.journal.uncertain()

    assert entry.state is EntryState.UNCERTAIN
    assert entry.verb == "extend"
    assert entry.request["prompt"] == "it bows"
    assert entry.source_id == video.id
    assert entry.submitted_at <= entry.updated_at
