"""Batches: each row becomes one file, although runs are stopped and jobs fail."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from luma_async import (
    ConfigurationError,
    GenerationFailedError,
    InvalidRequestError,
)
from luma_async.batch import Batch, ClusterBatch, ResultState, read_manifest
from luma_async.batch.progress import Stage
from luma_async.simulator import Fault, Fixed
from tests.batch.runs import a_manifest, cats, lines, run, small
from tests.clients import HOUR, connect, until


async def test_each_row_becomes_a_file(tmp_path: Path) -> None:
    """The file has the key as its name, the results have a line for it, and chains are extended."""
    chain = [
        {"key": "story", "prompt": "a cat dances"},
        {"key": "story/2", "prompt": "it bows", "extends": "story"},
        {"key": "story/3", "prompt": "it sleeps", "extends": "story/2"},
    ]
    async with small() as sim:
        manifest = a_manifest(tmp_path, *chain, *cats(3))
        results = await run(sim, manifest, tmp_path / "out")

        parents = {job.request["user_prompt"]: job.parent for job in sim.ledger.jobs}
    assert {result.key for result in results} == {
        "story",
        "story/2",
        "story/3",
        "cat-0",
        "cat-1",
        "cat-2",
    }
    assert all(result.state is ResultState.DONE for result in results)
    assert all((tmp_path / "out" / str(result.file)).stat().st_size > 1000 for result in results)
    assert all(result.took and result.duration for result in results)
    assert {line["key"] for line in lines(tmp_path / "out")} == {result.key for result in results}
    bows, sleeps = parents["it bows"], parents["it sleeps"]
    assert bows is not None
    assert bows.request["user_prompt"] == "a cat dances"
    assert sleeps is not None
    assert sleeps.request["user_prompt"] == "it bows"


async def test_finished_rows_are_left_alone_by_the_next_run(tmp_path: Path) -> None:
    """No request is sent for them. A removed file is downloaded again, and no job is paid twice."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(4))
        first = await run(sim, manifest, tmp_path)
        asked = sim.ledger.requests.total()

        nothing = await run(sim, manifest, tmp_path)
        assert sim.ledger.requests.total() == asked
        (tmp_path / str(first[0].file)).unlink()
        again = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 4
    assert nothing == []
    assert [result.key for result in again] == [first[0].key]
    assert Counter(line["key"] for line in lines(tmp_path)) == dict.fromkeys(
        (f"cat-{n}" for n in range(4)), 1
    )


async def test_extensions_of_a_failed_row_are_not_started(tmp_path: Path) -> None:
    """Their results say so, and `retry_failed` runs all of them again."""
    rows = [
        {"key": "a", "prompt": "x"},
        {"key": "b", "prompt": "x", "extends": "a"},
        {"key": "c", "prompt": "x", "extends": "b"},
    ]
    async with small(failure_rate=1.0) as sim:
        manifest = a_manifest(tmp_path, *rows)
        first = {result.key: result for result in await run(sim, manifest, tmp_path)}
        second = {result.key: result for result in await run(sim, manifest, tmp_path)}
        sim._maker.failure_rate = 0.0
        third = await run(sim, manifest, tmp_path, retry_failed=True)

    assert [first[key].state for key in "abc"] == ["failed", "not started", "not started"]
    assert "'a', from which it is made" in str(first["b"].error)
    assert "could not be rendered" in str(first["a"].error)
    assert {key: result.state for key, result in second.items()} == {
        "b": "not started",
        "c": "not started",
    }
    assert [result.state for result in third] == ["done"] * 3
    assert len(lines(tmp_path)) == 3


async def test_a_row_may_extend_a_task_that_is_not_a_row(tmp_path: Path) -> None:
    """Its job is an extension of that video, and not a new video."""
    async with small() as sim:
        async with connect(sim) as luma:
            film = await luma.generate("a film", aspect_ratio="1:1")
            await film
        manifest = tmp_path / "rows.jsonl"
        manifest.write_text(json.dumps({"prompt": "it goes on", "extends": f"id:{film.id}"}))

        [result] = await run(sim, manifest, tmp_path)

        parent = sim.ledger.jobs[1].parent
    assert (result.state, result.extends) == ("done", film.id)
    assert parent is not None
    assert parent.id == film.id


async def test_two_rows_may_extend_one(tmp_path: Path) -> None:
    """Both extend its video, from an earlier run or from this one."""
    async with small() as sim:
        rows = [{"key": "a", "prompt": "x"}]
        for children in (["b", "c"], ["d", "e"]):
            rows += [{"key": key, "prompt": key, "extends": "a"} for key in children]
            results = await run(sim, a_manifest(tmp_path, *rows), tmp_path)
            assert all(result.state is ResultState.DONE for result in results)

        first, *others = sim.ledger.jobs
    assert [other.parent for other in others] == [first] * 4


async def test_a_row_that_extends_another_one_now_is_changed(tmp_path: Path) -> None:
    """It keeps the video of the other chain. A note says so, and nothing is paid."""
    rows = [{"key": "a", "prompt": "x"}, {"key": "b", "prompt": "y"}]
    async with small() as sim:
        before = [*rows, {"key": "c", "prompt": "z", "extends": "a"}]
        await run(sim, a_manifest(tmp_path, *before), tmp_path)
        now = [*rows, {"key": "c", "prompt": "z", "extends": "b"}]

        assert await run(sim, a_manifest(tmp_path, *now), tmp_path) == []

        assert len(sim.ledger.jobs) == 3
    [changed] = [line for line in lines(tmp_path) if line["key"] == "c"]
    assert changed["state"] == ResultState.DONE
    assert "a redo submits it anew" in changed["note"]


async def test_a_limit_is_exact(tmp_path: Path) -> None:
    """The run pays for as many jobs as the limit allows; the next run continues."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(10))
        first = await run(sim, manifest, tmp_path, limit_jobs=3)
        assert len(sim.ledger.jobs) == 3
        await run(sim, manifest, tmp_path, limit_jobs=4)
        assert len(sim.ledger.jobs) == 7
        await run(sim, manifest, tmp_path)

    assert len(first) == 3
    assert len(lines(tmp_path)) == len(sim.ledger.jobs) == 10


async def test_a_limit_counts_accepted_jobs(tmp_path: Path) -> None:
    """Rejected jobs do not count."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(6))
        sim.faults.add(
            Fault.answer(b'{"error": {"message": "no"}}', status=400, on=["generate"], times=2)
        )

        results = await run(sim, manifest, tmp_path, limit_jobs=3)

    assert len(sim.ledger.jobs) == 3
    assert Counter(result.state for result in results) == {"done": 3, "not started": 2}


async def test_a_limit_counts_retried_jobs(tmp_path: Path) -> None:
    """A failed row is paid once more, and the limit holds for it as for the others."""
    async with small(failure_rate=1.0) as sim:
        manifest = a_manifest(tmp_path, *cats(5))
        await run(sim, manifest, tmp_path)
        sim._maker.failure_rate = 0.0

        results = await run(sim, manifest, tmp_path, retry_failed=True, limit_jobs=2)

        assert len(sim.ledger.jobs) == 5 + 2
    assert [result.state for result in results] == ["done"] * 2


async def test_a_limit_counts_uncertain_jobs(tmp_path: Path) -> None:
    """A job that may have been accepted is not replaced by another one."""
    async with small() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))

        results = await run(sim, a_manifest(tmp_path, *cats(5)), tmp_path, limit_jobs=2)

        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 2
    assert Counter(result.state for result in results) == {"uncertain": 1, "done": 1}


async def test_a_limit_does_not_count_jobs_of_earlier_runs(tmp_path: Path) -> None:
    """Jobs that an earlier run left do not take the place of new ones."""
    async with small() as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            for row in cats(2):
                await luma.generate(row["prompt"], aspect_ratio="1:1", key=row["key"])

        results = await run(sim, a_manifest(tmp_path, *cats(6)), tmp_path, limit_jobs=2)

        assert len(sim.ledger.jobs) == 2 + 2
    assert [result.state for result in results] == ["done"] * 4


async def test_a_job_that_timed_out_is_watched_by_the_next_run(tmp_path: Path) -> None:
    """The job is paid for: the next run downloads its video, and submits nothing."""
    async with small(durations=Fixed(HOUR)) as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        [first] = await run(sim, manifest, tmp_path, client={"task_timeout": 0.3})
        sim.advance(HOUR)
        [second] = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 1
    assert (first.state, first.id) == (ResultState.NOT_DOWNLOADED, sim.ledger.jobs[0].id)
    assert second.state is ResultState.DONE


async def test_a_failed_download_is_repeated_by_the_next_run(tmp_path: Path) -> None:
    """The job is paid for, and not submitted again."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        sim.faults.add(Fault.page(403, on=["media"]))
        [first] = await run(sim, manifest, tmp_path)
        sim.faults.clear()
        [second] = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 1
    assert first.state is ResultState.NOT_DOWNLOADED
    assert "did not arrive" in str(first.error)
    assert second.state is ResultState.DONE


async def test_a_lost_job_is_looked_for_in_each_run(tmp_path: Path) -> None:
    """The job is paid for, and may be found again. Only the user can pay a second time."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        nowhere = Fault.answer(b'{"code": "task_not_exist"}', status=404, on=["get", "tasks"])
        sim.faults.add(nowhere)
        states = []
        for finds_it in (False, False, True):
            if finds_it:
                sim.faults.clear()
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                luma._manager._results._lost_after = 0.0  # a minute is too long for a test
                batch = Batch(luma, read_manifest(manifest), tmp_path)
                states += [result.state async for result in batch.run()]

        assert len(sim.ledger.jobs) == 1
    assert states == ["lost", "lost", "done"]
    assert len(lines(tmp_path)) == 1


async def test_an_uncertain_row_waits_for_its_user(tmp_path: Path) -> None:
    """Each run reports the row until it is settled, and never submits it again by itself."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(2))
        sim.faults.add(Fault.cut(after=True, times=1))
        first = await run(sim, manifest, tmp_path, client={"max_requests": 1})
        second = await run(sim, manifest, tmp_path)
        assert len(sim.ledger.jobs) == 2
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            assert luma.journal is not None
            [uncertain] = await luma.journal.uncertain()
            await luma.journal.settle(uncertain.key, id=sim.ledger.jobs[0].id)
        third = await run(sim, manifest, tmp_path)

    assert Counter(result.state for result in first) == {"uncertain": 1, "done": 1}
    assert [result.state for result in second] == ["uncertain"]
    assert [result.state for result in third] == ["done"]
    assert len(lines(tmp_path)) == 2


async def test_paid_jobs_are_downloaded_beyond_the_limit(tmp_path: Path) -> None:
    """Rows behind the limit are looked up in the journal, too."""
    async with small() as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            for row in cats(4)[2:]:
                await luma.generate(row["prompt"], aspect_ratio="1:1", key=row["key"])

        results = await run(sim, a_manifest(tmp_path, *cats(4)), tmp_path, limit_jobs=0)

        assert len(sim.ledger.jobs) == 2
    assert {result.key for result in results} == {"cat-2", "cat-3"}


async def test_a_batch_runs_once(tmp_path: Path) -> None:
    """A second run of the same object is an error, because its counts are those of one run."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(1))), tmp_path)
        [_] = [result async for result in batch.run()]

        with pytest.raises(ConfigurationError, match="runs once"):
            await anext(batch.run())


async def test_two_rows_that_name_one_task_both_get_its_video(tmp_path: Path) -> None:
    """A gateway answers both with one id, from a cache in front of it; neither waits for ever."""
    async with small() as sim:
        async with connect(sim) as luma:
            id = (await luma.generate("a cat")).id
        same = json.dumps({"id": id, "state": "pending"}).encode()
        sim.faults.add(Fault.answer(same, on=["generate"]))

        results = await run(sim, a_manifest(tmp_path, *cats(2)), tmp_path)

    assert {result.key: result.state for result in results} == {"cat-0": "done", "cat-1": "done"}
    assert len(lines(tmp_path)) == 2


async def test_a_row_whose_source_failed_has_no_job(tmp_path: Path) -> None:
    """The id in the error is that of the source, so the row has none; no limit counts it."""
    async with small(failure_rate=1.0) as sim:
        async with connect(sim) as luma:
            source = await luma.generate("a cat")
            with pytest.raises(GenerationFailedError):
                await source
        rows = [{"key": "a", "prompt": "x", "extends": f"id:{source.id}"}]

        [result] = await run(sim, a_manifest(tmp_path, *rows), tmp_path, limit_jobs=1)

    assert (result.state, result.id) == (ResultState.NOT_STARTED, None)
    assert "failed" in str(result.error)


async def test_a_batch_needs_a_journal(tmp_path: Path) -> None:
    """Without a journal, a batch could pay twice."""
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(ConfigurationError, match="needs a journal"):
            Batch(luma, read_manifest(a_manifest(tmp_path, *cats(1))), tmp_path)


@pytest.mark.parametrize("option", ["retry_failed", "retry_uncertain"])
@pytest.mark.parametrize("value", ["yes", "once", 1, None], ids=repr)
async def test_an_option_of_retries_is_true_or_false(
    option: str, value: Any, tmp_path: Path
) -> None:
    """Other values are errors before any row is read; `True` submits an uncertain row once."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(1)))
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(InvalidRequestError, match=f"{option}: must be True or False, got"):
            Batch(luma, manifest, tmp_path, **{option: value})
        with pytest.raises(InvalidRequestError, match=f"{option}: must be True or False, got"):
            ClusterBatch(luma, manifest, tmp_path, cluster="local:2", **{option: value})


async def test_rows_are_redone_only_by_true(tmp_path: Path) -> None:
    """They are paid for again, so that another value is an error."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(1)))
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(InvalidRequestError, match="redo_edited: must be True or False, got"):
            Batch(luma, manifest, tmp_path, redo_edited=cast("Any", "no"))


async def test_an_empty_folder_name_is_not_the_current_folder(tmp_path: Path) -> None:
    """It is mostly a variable that is not set; the current folder is `Path(".")`."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(1)))
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match="folder of a batch must not be empty"):
            Batch(luma, manifest, "")


async def test_progress_is_counted(tmp_path: Path) -> None:
    """The counts add up at each moment, and the estimated time left ends at zero."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(12))), tmp_path, max_tasks=4)
        progress = batch.progress
        left: list[float | None] = []
        async for _ in batch.run():
            assert 0 <= progress.running <= 4
            assert progress.done >= progress.downloaded == 12 - progress.left
            left.append(progress.seconds_left(4))

    assert progress.done == progress.downloaded == progress.paid == progress.submitted == 12
    assert left[0] is not None
    assert left[0] > 0
    assert left[-1] == 0


async def test_progress_begins_where_the_last_run_ended(tmp_path: Path) -> None:
    """Rows that had ended are neither left nor done in this run."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(5))
        await run(sim, manifest, tmp_path, limit_jobs=3)
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path)
            left = [batch.progress.left async for _ in batch.run()]

    assert left == [1, 0]
    assert (batch.progress.before, batch.progress.done) == (3, 2)


async def test_a_running_batch_tells_the_stages_of_its_rows(tmp_path: Path) -> None:
    """A row that has ended is among the new results instead, and one that waits is in neither."""
    (tmp_path / "out").mkdir()
    async with small(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "out" / "jobs.db") as luma:
            manifest = read_manifest(a_manifest(tmp_path, *cats(3)))
            batch = Batch(luma, manifest, tmp_path / "out", max_tasks=2)
            async with aclosing(batch.run()) as results:
                first = asyncio.create_task(anext(results))
                await until(lambda: len(luma.tasks) == 2)
                seen = batch.running_rows
                sim.advance(HOUR)
                result = await first

    assert [row.key for row in seen] == ["cat-0", "cat-1"]
    assert {row.stage for row in seen} <= {Stage.PENDING, Stage.PROCESSING}
    assert batch.new_results[0] == result
    assert result.key not in [row.key for row in batch.running_rows]


@pytest.mark.parametrize(
    "limits",
    [{"max_tasks": None}, {"max_tasks": 0}, {"limit_jobs": "4"}, {"limit_jobs": -1}],
    ids=str,
)
async def test_a_limit_of_a_batch_is_a_number(tmp_path: Path, limits: dict[str, Any]) -> None:
    """It is checked before there are jobs. Otherwise an error would stop the batch among them."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(1)))
    [name] = limits
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match=f"^{name} must be .*, got "):
            Batch(luma, manifest, tmp_path, **limits)
