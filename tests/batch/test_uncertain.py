"""Uncertain rows: submitted again only on request, and then once."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    Generation,
    InsufficientCreditsError,
    SQLJournal,
    SubmissionUncertainError,
)
from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.journal import EntryState
from luma_async.simulator import Fault, Simulator
from tests.batch.runs import a_manifest, cats, lines, run, small
from tests.clients import connect

LATE = Fault.page(504, after=True)
"""The gateway accepts the job, and says that its upstream took too long."""


async def left_uncertain(sim: Simulator, manifest: Path, folder: Path, *, rows: int) -> None:
    """Run a batch whose first rows are accepted, without an answer that says so."""
    sim.faults.add(Fault.cut(after=True, times=rows))
    results = await run(sim, manifest, folder, client={"max_requests": 1})
    assert [result.state for result in results].count(ResultState.UNCERTAIN) == rows
    sim.faults.clear()


def sent(sim: Simulator) -> Counter[str]:
    """Return the number of accepted jobs for each prompt."""
    return Counter(job.request["user_prompt"] for job in sim.ledger.jobs)


async def test_uncertain_rows_are_submitted_again_on_request(tmp_path: Path) -> None:
    """Uncertain rows of an earlier run are submitted again; finished rows are left alone."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(4))
        await left_uncertain(sim, manifest, tmp_path, rows=2)

        results = await run(sim, manifest, tmp_path, retry_uncertain=True)

        twice = [f"a cat, take {number}" for number in (0, 1)]
        once = [f"a cat, take {number}" for number in (2, 3)]
        assert sent(sim) == dict.fromkeys(twice, 2) | dict.fromkeys(once, 1)
    assert {result.key: result.state for result in results} == {"cat-0": "done", "cat-1": "done"}
    assert [line["state"] for line in lines(tmp_path)] == ["done"] * 4


async def test_a_row_that_is_uncertain_again_is_not_repeated_in_the_same_run(
    tmp_path: Path,
) -> None:
    """A gateway that loses every answer is paid once for each run, not once for each try."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        sim.faults.add(LATE)
        await run(sim, manifest, tmp_path)

        results = await run(sim, manifest, tmp_path, retry_uncertain=True)

        assert set(sent(sim).values()) == {2}
    assert [result.state for result in results] == [ResultState.UNCERTAIN] * 3


async def test_a_row_that_becomes_uncertain_in_this_run_is_not_submitted_again(
    tmp_path: Path,
) -> None:
    """The option is about rows of earlier runs."""
    async with small() as sim:
        sim.faults.add(LATE)

        results = await run(sim, a_manifest(tmp_path, *cats(3)), tmp_path, retry_uncertain=True)

        assert set(sent(sim).values()) == {1}
    assert [result.state for result in results] == [ResultState.UNCERTAIN] * 3


async def test_rows_that_are_submitted_again_count_as_paid(tmp_path: Path) -> None:
    """`limit_jobs` holds for them, and the progress counts the jobs that may be paid twice."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(6))
        await left_uncertain(sim, manifest, tmp_path, rows=4)
        paid = len(sim.ledger.jobs)
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(
                luma, read_manifest(manifest), tmp_path, retry_uncertain=True, limit_jobs=3
            )

            results = [result async for result in batch.run()]

        assert len(sim.ledger.jobs) == paid + 3
    assert (batch.progress.paid, batch.progress.repeated) == (3, 3)
    assert [result.state for result in results] == ["done"] * 3


async def test_rows_of_a_killed_run_count_as_paid_as_well(tmp_path: Path) -> None:
    """The journal has them as being submitted until another process looks."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        await left_uncertain(sim, manifest, tmp_path, rows=3)
        with closing(sqlite3.connect(tmp_path / "jobs.db")) as database, database:
            # As a process that is gone leaves its claims.
            database.execute("UPDATE luma_jobs SET state = 'submitting', owner = 'gone'")

        results = await run(sim, manifest, tmp_path, retry_uncertain=True, limit_jobs=1)

        assert len(sim.ledger.jobs) == 3 + 1
    assert [result.state for result in results] == ["done"]


async def test_a_row_that_is_rejected_now_stays_uncertain(tmp_path: Path) -> None:
    """Its earlier submission may have been accepted, so the rejection settles nothing."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(2))
        await left_uncertain(sim, manifest, tmp_path, rows=1)
        sim.faults.add(Fault.answer(b'{"error": {"message": "no"}}', status=422, on=["generate"]))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path, retry_uncertain=True)

            [result] = [result async for result in batch.run()]

            assert luma.journal is not None
            assert [entry.key for entry in await luma.journal.uncertain()] == ["cat-0"]
    assert result.state is ResultState.UNCERTAIN
    assert "An earlier submission with its job key may have been accepted." in str(result.error)
    assert (batch.progress.paid, batch.progress.repeated) == (0, 0)


async def test_extensions_of_an_uncertain_row_begin_once_it_is_submitted_again(
    tmp_path: Path,
) -> None:
    """The chain extends the video of the second submission."""
    rows = [{"key": "a", "prompt": "x"}, {"key": "b", "prompt": "y", "extends": "a"}]
    async with small() as sim:
        manifest = a_manifest(tmp_path, *rows)
        sim.faults.add(Fault.cut(after=True, times=1))
        first = await run(sim, manifest, tmp_path)

        second = await run(sim, manifest, tmp_path, retry_uncertain=True)

        lost, made, longer = sim.ledger.jobs
    assert [result.state for result in first] == ["uncertain", "not started"]
    assert [result.state for result in second] == ["done", "done"]
    assert longer.parent is made
    assert made.request == lost.request


async def test_an_uncertain_extension_is_submitted_again(tmp_path: Path) -> None:
    """Extensions are treated like other rows."""
    rows = [{"key": "a", "prompt": "x"}, {"key": "b", "prompt": "y", "extends": "a"}]
    async with small() as sim:
        manifest = a_manifest(tmp_path, *rows)
        sim.faults.add(Fault.cut(after=True, times=1, on=["extend"]))
        await run(sim, manifest, tmp_path)
        sim.faults.add(Fault.cut(after=True, on=["extend"]))

        [result] = await run(sim, manifest, tmp_path, retry_uncertain=True)

        assert sent(sim) == {"x": 1, "y": 2}
    assert result.state is ResultState.UNCERTAIN


async def test_settled_rows_are_continued_by_the_next_run(tmp_path: Path) -> None:
    """Rows with an id get their paid video; freed rows are submitted."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        await left_uncertain(sim, manifest, tmp_path, rows=2)
        async with SQLJournal(tmp_path / "jobs.db") as journal:
            await journal.settle_many({"cat-0": sim.ledger.jobs[0].id, "cat-1": None})

        results = {result.key: result for result in await run(sim, manifest, tmp_path)}

        assert results["cat-0"].id == sim.ledger.jobs[0].id
        assert sent(sim) == {"a cat, take 0": 1, "a cat, take 1": 2, "a cat, take 2": 1}
    assert {key: result.state for key, result in results.items()} == {
        "cat-0": "done",
        "cat-1": "done",
    }


EMPTY = {
    "402": (402, b'{"error": {"message": "balance is not enough"}}'),
    "403 of the OpenAI family": (
        403,
        b'{"error": {"message": "quota", "type": "x", "code": "insufficient_user_quota"}}',
    ),
    "an envelope with 200": (
        200,
        b'{"code": "insufficient_user_quota", "message": "quota", "data": null}',
    ),
    "429 of the OpenAI family": (
        429,
        b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}',
    ),
    "words with 403": (403, '{"error": {"message": "用户余额不足"}}'.encode()),
}


async def test_an_empty_account_in_a_500_stops_the_batch_as_well(tmp_path: Path) -> None:
    """The text alone does not prove a rejection, so the submissions under way are uncertain."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(12))
        body = '{"error": {"message": "用户余额不足"}}'.encode()
        sim.faults.add(Fault.answer(body, status=500, on=["generate"]))
        async with connect(sim, journal=tmp_path / "jobs.db", max_requests=2) as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path, max_tasks=4)

            results: list[Result] = [result async for result in batch.run()]

        assert len(results) == sim.ledger.requests["generate"] <= 4
    assert isinstance(batch.problem, InsufficientCreditsError)
    assert {result.state for result in results} == {ResultState.UNCERTAIN}


@pytest.mark.parametrize("kind", EMPTY)
async def test_an_empty_account_stops_the_batch_in_each_format(kind: str, tmp_path: Path) -> None:
    """No row behind those under way is submitted, and the next run submits all of them."""
    status, body = EMPTY[kind]
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(12))
        sim.faults.add(Fault.answer(body, status=status, on=["generate"]))
        async with connect(sim, journal=tmp_path / "jobs.db", max_requests=2) as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path, max_tasks=4)

            results: list[Result] = [result async for result in batch.run()]

        asked = sim.ledger.requests["generate"]
        sim.faults.clear()
        rest = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 12
    assert isinstance(batch.problem, InsufficientCreditsError)
    assert len(results) == asked <= 4
    assert {result.state for result in results} == {ResultState.NOT_STARTED}
    assert [result.state for result in rest] == [ResultState.DONE] * 12


@pytest.mark.parametrize(
    ("retry_uncertain", "times"), [(False, 0), ("once", 1), (True, 3)], ids=str
)
async def test_an_uncertain_key_is_submitted_as_often_as_requested(
    retry_uncertain: Any, times: int, tmp_path: Path
) -> None:
    """Never by default; one more time with `"once"`; with `True` until the tries are used up."""
    async with small() as sim:
        sim.faults.add(LATE)
        async with connect(sim, journal=tmp_path / "jobs.db", max_tries=3) as luma:
            with pytest.raises(SubmissionUncertainError):
                await luma.generate("a cat", key="cat")

            run = luma.run_many([("cat", "a cat")], retry_uncertain=retry_uncertain)
            [outcome] = [outcome async for outcome in run]

            assert luma.journal is not None
            entry = await luma.journal.find("cat")
        assert len(sim.ledger.jobs) == 1 + times
    assert isinstance(outcome.error, SubmissionUncertainError)
    assert entry is not None
    assert entry.state is EntryState.UNCERTAIN


async def test_a_run_that_submits_again_gets_the_job(tmp_path: Path) -> None:
    """The id of the new job replaces the uncertain entry in the journal."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        sim.faults.add(Fault.cut(after=True, times=1))
        with pytest.raises(SubmissionUncertainError):
            await luma.generate("a cat", key="cat")

        run = luma.run_many([("cat", "a cat")], retry_uncertain="once")
        [outcome] = [outcome async for outcome in run]

        assert isinstance(outcome.generation, Generation)
        assert outcome.generation.id == sim.ledger.jobs[1].id
        assert luma.journal is not None
        assert await luma.journal.uncertain() == []
