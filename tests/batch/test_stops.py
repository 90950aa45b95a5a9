"""What ends a batch before its end, and what does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    AuthenticationError,
    FixedSchedule,
    InsufficientCreditsError,
    JournalError,
    LumaClient,
    PermissionDeniedError,
    SQLJournal,
)
from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.journal import Entry
from luma_async.simulator import Fault
from tests.batch.runs import a_manifest, cats, end_all, lines, run, small
from tests.clients import HOUR, KEY, InTurn, connect, until


async def test_a_stopped_batch_brings_what_was_begun_to_its_end(tmp_path: Path) -> None:
    """Nothing more is submitted, nothing that was is left behind."""
    async with (
        small(durations=InTurn(0.0, HOUR)) as sim,
        connect(sim, journal=tmp_path / "jobs.db") as luma,
    ):
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(30))), tmp_path, max_tasks=5)
        results = batch.run()
        first = await anext(results)
        batch.stop()

        async def read_on() -> list[Result]:
            return [first, *[result async for result in results]]

        ended = await end_all(sim, asyncio.create_task(read_on()))
        taken = len(sim.ledger.jobs)
        await end_all(sim, asyncio.create_task(run(sim, tmp_path / "rows.jsonl", tmp_path)))

    assert 1 <= taken <= 6
    assert len(ended) == taken
    assert len(sim.ledger.jobs) == len(lines(tmp_path)) == 30


async def test_rows_that_a_client_keeps_back_are_still_to_do(tmp_path: Path) -> None:
    """They are no results, and count neither as submitted nor as paid."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        sim.faults.add(Fault.rate_limited(retry_after=60))
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(5))), tmp_path)

        async def run_it() -> list[Result]:
            return [result async for result in batch.run()]

        running = asyncio.create_task(run_it())
        await until(lambda: sim.ledger.statuses[429])
        luma.stop_submitting()

        assert await running == []
        assert not sim.ledger.jobs
    progress = batch.progress
    assert (progress.submitted, progress.running, progress.paid, progress.left) == (0, 0, 0, 5)


async def test_nothing_is_submitted_once_it_was_stopped(tmp_path: Path) -> None:
    """Not even its first row, where that was before it began."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(tmp_path, *cats(5)))
        batch = Batch(luma, manifest, tmp_path)
        batch.stop()

        results = [result async for result in batch.run()]

        assert not sim.ledger.jobs
    assert results == []


async def test_a_journal_that_cannot_be_written_stops_it(tmp_path: Path) -> None:
    """Every row would meet that, and none is submitted without it."""

    class Full(SQLJournal):
        async def claim(self, entry: Entry, *, instead_of: Entry | None = None) -> Entry:
            raise JournalError("no space left on device")

    manifest = read_manifest(a_manifest(tmp_path, *cats(100)))
    async with (
        small() as sim,
        Full(tmp_path / "jobs.db") as journal,
        connect(sim, journal=journal) as luma,
    ):
        batch = Batch(luma, manifest, tmp_path, max_tasks=5)
        results = [result async for result in batch.run()]

        assert sim.ledger.requests["generate"] == 0
    assert isinstance(batch.problem, JournalError)
    assert len(results) < 50
    assert {result.state for result in results} == {ResultState.NOT_STARTED}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"api_key": KEY}, AuthenticationError), ({"credits": 3}, InsufficientCreditsError)],
    ids=["wrong key", "no credit"],
)
async def test_what_every_row_would_meet_stops_it(
    settings: dict[str, Any], kind: type[Exception], tmp_path: Path
) -> None:
    """A wrong key is not tried fifty thousand times; what was begun comes to its end."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(200)))
    async with (
        small(**settings) as sim,
        LumaClient(
            "sk-wrong-0123456789",
            base_url=sim.url,
            journal=tmp_path / "jobs.db",
            max_requests=2,
            schedule=FixedSchedule(0.1),
        ) as luma,
    ):
        batch = Batch(luma, manifest, tmp_path, max_tasks=5)
        results = [result async for result in batch.run()]

    assert isinstance(batch.problem, kind)
    assert len(sim.ledger.jobs) == settings.get("credits", 0)
    assert len([result for result in results if result.state == "done"]) == len(sim.ledger.jobs)
    assert sum(sim.ledger.requests.values()) < 60


async def test_many_refused_rows_stop_no_other(tmp_path: Path) -> None:
    """A server that refuses each for what it asks is there: the rows after them are made."""
    async with small() as sim:
        sim.faults.add(Fault.explained(400, on=["generate"], times=15))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            manifest = read_manifest(a_manifest(tmp_path, *cats(20)))
            batch = Batch(luma, manifest, tmp_path, max_tasks=3)
            results = [result async for result in batch.run()]

    assert batch.problem is None
    assert Counter(result.state for result in results) == {"not started": 15, "done": 5}


@pytest.mark.parametrize(("times", "made"), [(1, 19), (None, 0)])
async def test_a_forbidden_prompt_stops_no_other_and_a_forbidden_key_does(
    times: int | None, made: int, tmp_path: Path
) -> None:
    """Both are a 403: one of them is of one row, ten on end are of all."""
    async with small() as sim:
        sim.faults.add(Fault.explained(403, on=["generate"], times=times))
        async with connect(sim, journal=tmp_path / "jobs.db", max_requests=2) as luma:
            manifest = read_manifest(a_manifest(tmp_path, *cats(20)))
            batch = Batch(luma, manifest, tmp_path, max_tasks=2)
            results = [result async for result in batch.run()]

    assert isinstance(batch.problem, PermissionDeniedError) is (not made)
    assert [result.state for result in results].count(ResultState.DONE) == made
    assert len(results) == 20 if made else 10 <= len(results) < 15


@pytest.mark.parametrize("moments", range(8))
async def test_a_batch_cancelled_while_its_folder_is_opened_lets_go_of_it(
    moments: int, tmp_path: Path
) -> None:
    """The next one finds it free."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(tmp_path, *cats(1)))
        first = asyncio.create_task(anext(Batch(luma, manifest, tmp_path).run()))
        for _ in range(moments):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])

        [result] = [each async for each in Batch(luma, manifest, tmp_path).run()]

    assert result.state is ResultState.DONE
    assert len(sim.ledger.jobs) == 1


async def test_a_batch_whose_files_do_not_arrive_pays_for_no_more(tmp_path: Path) -> None:
    """What is made can be fetched later; each further one would be in vain."""
    in_vain = [0.0] * 10
    async with small(durations=InTurn(*in_vain, HOUR)) as sim:
        sim.faults.add(Fault.explained(403, on=["media"]))
        manifest = a_manifest(tmp_path, *cats(60))

        running = asyncio.create_task(run(sim, manifest, tmp_path, max_tasks=5))
        await until((tmp_path / "results.jsonl").exists)
        await until(lambda: len(lines(tmp_path)) == 10)
        await end_all(sim, running)
        paid = len(sim.ledger.jobs)
        sim.faults.clear()
        await end_all(sim, asyncio.create_task(run(sim, manifest, tmp_path)))

        assert 10 <= paid <= 15
        assert len(sim.ledger.jobs) == 60
    assert {line["state"] for line in lines(tmp_path)} == {"done"}


async def test_a_cancelled_batch_goes_on_in_the_next_run(tmp_path: Path) -> None:
    """At whatever moment it was cancelled."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(12))
        for seconds in (0.02, 0.1, 0.2, 0.4):
            running = asyncio.create_task(run(sim, manifest, tmp_path, max_tasks=5))
            await asyncio.sleep(seconds)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        await run(sim, manifest, tmp_path)

    assert len(sim.ledger.jobs) == 12
    assert sorted(line["key"] for line in lines(tmp_path)) == sorted(f"cat-{n}" for n in range(12))
    assert len(list((tmp_path / "videos").iterdir())) == 12
