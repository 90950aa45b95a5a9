"""Ends of a batch before its last row: stopping, cancelling, and errors of all rows."""

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


async def test_a_stopped_batch_completes_its_running_jobs(tmp_path: Path) -> None:
    """No more rows are submitted, and no submitted job is left behind."""
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


async def test_rows_that_a_stopped_client_did_not_submit_are_still_to_do(tmp_path: Path) -> None:
    """Such rows have no result, and count neither as submitted nor as paid."""
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


async def test_a_batch_stopped_before_its_run_submits_nothing(tmp_path: Path) -> None:
    """The first row is not submitted either."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(tmp_path, *cats(5)))
        batch = Batch(luma, manifest, tmp_path)
        batch.stop()

        results = [result async for result in batch.run()]

        assert not sim.ledger.jobs
    assert results == []


async def test_a_journal_that_cannot_be_written_stops_the_batch(tmp_path: Path) -> None:
    """The error concerns all rows, and no row is submitted without a journal."""

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
async def test_an_error_of_all_rows_stops_the_batch(
    settings: dict[str, Any], kind: type[Exception], tmp_path: Path
) -> None:
    """A wrong API key is not tried fifty thousand times; running jobs are completed."""
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


async def test_many_rejected_rows_do_not_stop_the_batch(tmp_path: Path) -> None:
    """The server answers for each of them, so the rows behind them are run."""
    async with small() as sim:
        sim.faults.add(Fault.explained(400, on=["generate"], times=15))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            manifest = read_manifest(a_manifest(tmp_path, *cats(20)))
            batch = Batch(luma, manifest, tmp_path, max_tasks=3)
            results = [result async for result in batch.run()]

    assert batch.problem is None
    assert Counter(result.state for result in results) == {"not started": 15, "done": 5}


@pytest.mark.parametrize(("times", "made"), [(1, 19), (None, 0)])
async def test_one_forbidden_row_does_not_stop_the_batch_and_ten_do(
    times: int | None, made: int, tmp_path: Path
) -> None:
    """HTTP 403 can be about one prompt; ten in a row are about the API key."""
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
async def test_a_batch_cancelled_while_it_opens_its_folder_unlocks_it(
    moments: int, tmp_path: Path
) -> None:
    """The next batch can use the folder."""
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


async def test_failed_downloads_stop_the_batch(tmp_path: Path) -> None:
    """Completed jobs can be downloaded later; further ones would be paid for in vain."""
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


async def test_a_cancelled_batch_is_continued_by_the_next_run(tmp_path: Path) -> None:
    """The moment of the cancellation does not matter."""
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
