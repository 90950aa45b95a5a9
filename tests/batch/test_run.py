"""A batch: every row a file, once, however often it is stopped and whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    AuthenticationError,
    BatchError,
    ConfigurationError,
    FixedSchedule,
    GenerationFailedError,
    InsufficientCreditsError,
    JournalError,
    LumaClient,
    PermissionDeniedError,
    SQLJournal,
)
from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.journal import Entry
from luma_async.simulator import Fault, Fixed, Simulator
from tests.clients import KEY, connect, until
from tests.media.hosts import small


def a_manifest(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"aspect_ratio": "1:1", **row}) for row in rows))
    return path


def cats(number: int) -> list[dict[str, Any]]:
    return [{"key": f"cat-{n}", "prompt": f"a cat, take {n}"} for n in range(number)]


async def run(sim: Simulator, manifest: Path, folder: Path, **settings: Any) -> list[Result]:
    """Run a batch once, as a process of its own would."""
    folder.mkdir(exist_ok=True)
    async with connect(sim, journal=folder / "jobs.db", **settings.pop("client", {})) as luma:
        batch = Batch(luma, read_manifest(manifest), folder, **settings)
        return [result async for result in batch.run()]


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "results.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


async def test_every_row_becomes_a_file(tmp_path: Path) -> None:
    """Under its key, with a line of results; chains continue what was made."""
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


async def test_what_is_done_is_left_alone_by_the_next_run(tmp_path: Path) -> None:
    """Not a request for it; a file that was removed is fetched again, and no job is paid twice."""
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


async def test_a_failed_row_takes_those_that_continue_it_along(tmp_path: Path) -> None:
    """They are told as not started; `retry_failed` tries all of them again."""
    rows = [
        {"key": "a", "prompt": "x"},
        {"key": "b", "prompt": "x", "extends": "a"},
        {"key": "c", "prompt": "x", "extends": "b"},
    ]
    async with small(failure_rate=1.0) as sim:
        manifest = a_manifest(tmp_path, *rows)
        first = {result.key: result for result in await run(sim, manifest, tmp_path)}
        second = {result.key: result for result in await run(sim, manifest, tmp_path)}
        sim._gateway._maker.failure_rate = 0.0
        third = await run(sim, manifest, tmp_path, retry_failed=True)

    assert [first[key].state for key in "abc"] == ["failed", "not started", "not started"]
    assert "'a', which it continues" in str(first["b"].error)
    assert "could not be rendered" in str(first["a"].error)
    assert {key: result.state for key, result in second.items()} == {
        "b": "not started",
        "c": "not started",
    }
    assert [result.state for result in third] == ["done"] * 3
    assert len(lines(tmp_path)) == 3


async def test_a_row_may_continue_a_task_that_is_no_row(tmp_path: Path) -> None:
    """It becomes an extension of that video, and not a video of its own."""
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


async def test_two_rows_may_continue_one(tmp_path: Path) -> None:
    """Both from its video; in an earlier run or in this one it was made."""
    async with small() as sim:
        rows = [{"key": "a", "prompt": "x"}]
        for children in (["b", "c"], ["d", "e"]):
            rows += [{"key": key, "prompt": key, "extends": "a"} for key in children]
            results = await run(sim, a_manifest(tmp_path, *rows), tmp_path)
            assert all(result.state is ResultState.DONE for result in results)

        first, *others = sim.ledger.jobs
    assert [other.parent for other in others] == [first] * 4


async def test_a_row_that_continues_another_one_now_is_changed(tmp_path: Path) -> None:
    """Its video is that of another chain, and that is said; nothing is paid."""
    rows = [{"key": "a", "prompt": "x"}, {"key": "b", "prompt": "y"}]
    async with small() as sim:
        before = [*rows, {"key": "c", "prompt": "z", "extends": "a"}]
        await run(sim, a_manifest(tmp_path, *before), tmp_path)
        now = [*rows, {"key": "c", "prompt": "z", "extends": "b"}]

        [changed] = await run(sim, a_manifest(tmp_path, *now), tmp_path)

        assert len(sim.ledger.jobs) == 3
    assert (changed.key, changed.state) == ("c", ResultState.NOT_STARTED)


async def test_no_more_jobs_are_paid_for_than_was_said(tmp_path: Path) -> None:
    """Exactly so many; the next run goes on with the next ones."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(10))
        first = await run(sim, manifest, tmp_path, limit_jobs=3)
        assert len(sim.ledger.jobs) == 3
        await run(sim, manifest, tmp_path, limit_jobs=4)
        assert len(sim.ledger.jobs) == 7
        await run(sim, manifest, tmp_path)

    assert len(first) == 3
    assert len(lines(tmp_path)) == len(sim.ledger.jobs) == 10


async def test_a_limit_counts_what_was_taken(tmp_path: Path) -> None:
    """Not what the server refused."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(6))
        sim.faults.add(
            Fault.answer(b'{"error": {"message": "no"}}', status=400, on=["generate"], times=2)
        )

        results = await run(sim, manifest, tmp_path, limit_jobs=3)

    assert len(sim.ledger.jobs) == 3
    assert Counter(result.state for result in results) == {"done": 3, "not started": 2}


async def test_a_limit_counts_what_is_tried_again(tmp_path: Path) -> None:
    """A failed row is paid for once more, and so is one of its next job."""
    async with small(failure_rate=1.0) as sim:
        manifest = a_manifest(tmp_path, *cats(5))
        await run(sim, manifest, tmp_path)
        sim._gateway._maker.failure_rate = 0.0

        results = await run(sim, manifest, tmp_path, retry_failed=True, limit_jobs=2)

        assert len(sim.ledger.jobs) == 5 + 2
    assert [result.state for result in results] == ["done"] * 2


async def test_a_limit_counts_what_may_have_been_taken(tmp_path: Path) -> None:
    """Nobody knows, so it is not made up for."""
    async with small() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))

        results = await run(sim, a_manifest(tmp_path, *cats(5)), tmp_path, limit_jobs=2)

        assert len(sim.ledger.jobs) == sim.ledger.requests["generate"] == 2
    assert Counter(result.state for result in results) == {"uncertain": 1, "done": 1}


async def test_a_limit_does_not_count_what_was_paid_before(tmp_path: Path) -> None:
    """Jobs that an earlier run left take no place of new ones."""
    async with small() as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            for row in cats(2):
                await luma.generate(row["prompt"], aspect_ratio="1:1", key=row["key"])

        results = await run(sim, a_manifest(tmp_path, *cats(6)), tmp_path, limit_jobs=2)

        assert len(sim.ledger.jobs) == 2 + 2
    assert [result.state for result in results] == ["done"] * 4


async def test_a_job_whose_end_was_not_seen_is_looked_for_again(tmp_path: Path) -> None:
    """It is taken and paid for: the next run brings its video, and submits nothing."""
    async with small(durations=Fixed(1.0)) as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        [first] = await run(sim, manifest, tmp_path, client={"task_timeout": 0.3})
        [second] = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 1
    assert (first.state, first.id) == (ResultState.NOT_DOWNLOADED, sim.ledger.jobs[0].id)
    assert second.state is ResultState.DONE


async def test_a_file_that_did_not_arrive_is_fetched_by_the_next_run(tmp_path: Path) -> None:
    """Its job is paid for, and not made again."""
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


async def test_a_job_that_the_server_lost_is_looked_for_in_each_run(tmp_path: Path) -> None:
    """It is paid for, and may be found again; it is for its user to pay a second time."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        nowhere = Fault.answer(b'{"code": "task_not_exist"}', status=404, on=["get", "tasks"])
        sim.faults.add(nowhere)
        states = []
        for finds_it in (False, False, True):
            if finds_it:
                sim.faults.clear()
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                luma._manager._lost_after = 0.0  # a minute is too long for a test
                batch = Batch(luma, read_manifest(manifest), tmp_path)
                states += [result.state async for result in batch.run()]

        assert len(sim.ledger.jobs) == 1
    assert states == ["lost", "lost", "done"]
    assert len(lines(tmp_path)) == 1


async def test_a_stopped_batch_brings_what_was_begun_to_its_end(tmp_path: Path) -> None:
    """Nothing more is submitted, nothing that was is left behind."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(30))), tmp_path, max_tasks=5)
        results = []
        async for result in batch.run():
            results.append(result)
            batch.stop()
        taken = len(sim.ledger.jobs)
        await run(sim, tmp_path / "rows.jsonl", tmp_path)

    assert 1 <= taken < 20
    assert len(results) == taken
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
    """Not even what waits for room, as the limit of jobs does."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(tmp_path, *cats(5)))
        batch = Batch(luma, manifest, tmp_path, limit_jobs=2)
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


async def test_an_uncertain_row_waits_for_its_user(tmp_path: Path) -> None:
    """It is told in each run until it is settled, and never sent again by itself."""
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


async def test_a_row_that_was_changed_is_not_done(tmp_path: Path) -> None:
    """Its key names another job in the journal, and that is said; nothing is paid."""
    async with small() as sim:
        await run(sim, a_manifest(tmp_path, {"key": "a", "prompt": "a cat"}), tmp_path)
        manifest = a_manifest(tmp_path, {"key": "a", "prompt": "a dog"})

        [changed] = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 1
    assert changed.state is ResultState.NOT_STARTED
    assert "another" in str(changed.error)


async def test_a_file_without_a_result_is_fetched_anew(tmp_path: Path) -> None:
    """It may be of another job that had this key."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos" / "cat-0.mp4").write_bytes(b"of somebody else")

        await run(sim, manifest, tmp_path)

    assert (tmp_path / "videos" / "cat-0.mp4").stat().st_size > 1000


async def test_jobs_that_are_paid_for_come_whatever_the_limit(tmp_path: Path) -> None:
    """Also those that stand behind rows that are not."""
    async with small() as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            for row in cats(4)[2:]:
                await luma.generate(row["prompt"], aspect_ratio="1:1", key=row["key"])

        results = await run(sim, a_manifest(tmp_path, *cats(4)), tmp_path, limit_jobs=0)

        assert len(sim.ledger.jobs) == 2
    assert {result.key for result in results} == {"cat-2", "cat-3"}


async def test_one_batch_at_a_time_runs_in_a_folder(tmp_path: Path) -> None:
    """The second is refused before anything; the first goes on."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        first = asyncio.create_task(run(sim, manifest, tmp_path))
        await until((tmp_path / "results.jsonl").exists)

        with pytest.raises(BatchError, match="Another batch is running in the folder"):
            await run(sim, manifest, tmp_path)

        assert len(await first) == 3


async def test_a_folder_that_takes_no_videos_is_told_before_anything_is_paid(
    tmp_path: Path,
) -> None:
    """A file where the folder of the videos should be."""
    (tmp_path / "videos").write_text("x")
    async with small() as sim:
        with pytest.raises(BatchError, match=r"no folder .*videos.*: File exists"):
            await run(sim, a_manifest(tmp_path, *cats(3)), tmp_path)

        assert len(sim.ledger.jobs) == 0


async def test_results_that_cannot_be_read_are_told_and_let_go(tmp_path: Path) -> None:
    """And the folder is free again once that is mended."""
    (tmp_path / "results.jsonl").mkdir()
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        with pytest.raises(BatchError, match=r"cannot be used: Is a directory\. Nothing was"):
            await run(sim, manifest, tmp_path)
        assert len(sim.ledger.jobs) == 0
        (tmp_path / "results.jsonl").rmdir()

        assert len(await run(sim, manifest, tmp_path)) == 1


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


async def test_a_batch_runs_once(tmp_path: Path) -> None:
    """Its counts are of one run."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, read_manifest(a_manifest(tmp_path, *cats(1))), tmp_path)
        [_] = [result async for result in batch.run()]

        with pytest.raises(ConfigurationError, match="runs once"):
            await anext(batch.run())


async def test_results_stand_as_the_rows_do_now(tmp_path: Path) -> None:
    """A row that was put in above moves all those below it."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        rows = cats(2)
        for manifest in (rows, [{"key": "new", "prompt": "x"}, *rows]):
            batch = Batch(luma, read_manifest(a_manifest(tmp_path, *manifest)), tmp_path)
            async for _ in batch.run():
                pass

    assert [(result.line, result.key) for result in batch.results] == [
        (1, "new"),
        (2, "cat-0"),
        (3, "cat-1"),
    ]


async def test_a_row_that_failed_and_was_changed_is_looked_at_again(tmp_path: Path) -> None:
    """What became of it is not what became of the row before."""
    async with small(failure_rate=1.0) as sim:
        await run(sim, a_manifest(tmp_path, {"key": "a", "prompt": "a cat"}), tmp_path)
        manifest = a_manifest(tmp_path, {"key": "a", "prompt": "a dog"})

        [changed] = await run(sim, manifest, tmp_path)

    assert changed.prompt == "a dog"
    assert "another" in str(changed.error)


async def test_two_rows_that_name_one_task_both_get_its_video(tmp_path: Path) -> None:
    """A gateway answered both with one id, from a cache in front of it; neither waits for ever."""
    async with small() as sim:
        async with connect(sim) as luma:
            id = (await luma.generate("a cat")).id
        same = json.dumps({"id": id, "state": "pending"}).encode()
        sim.faults.add(Fault.answer(same, on=["generate"]))

        results = await run(sim, a_manifest(tmp_path, *cats(2)), tmp_path)

    assert {result.key: result.state for result in results} == {"cat-0": "done", "cat-1": "done"}
    assert len(lines(tmp_path)) == 2


async def test_a_row_whose_source_failed_has_no_job(tmp_path: Path) -> None:
    """It is not taken for the task that it should continue, and counts for no limit."""
    async with small(failure_rate=1.0) as sim:
        async with connect(sim) as luma:
            source = await luma.generate("a cat")
            with pytest.raises(GenerationFailedError):
                await source
        rows = [{"key": "a", "prompt": "x", "extends": f"id:{source.id}"}]

        [result] = await run(sim, a_manifest(tmp_path, *rows), tmp_path, limit_jobs=1)

    assert (result.state, result.id) == (ResultState.NOT_STARTED, None)
    assert "failed" in str(result.error)


async def test_paid_rows_that_the_journal_does_not_know_are_held_back(tmp_path: Path) -> None:
    """It is another journal, or a new one; those that continue them wait as well."""
    rows = [*cats(2), {"key": "on", "prompt": "x", "extends": "cat-0"}]
    async with small() as sim:
        sim.faults.add(Fault.explained(403, on=["media"]))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(a_manifest(tmp_path, *rows[:2])), tmp_path)
            async for _ in batch.run():
                pass
        sim.faults.clear()
        async with connect(sim, journal=tmp_path / "other.db") as luma:
            batch = Batch(luma, read_manifest(a_manifest(tmp_path, *rows)), tmp_path)
            held = {result.key: result async for result in batch.run()}
        found = await run(sim, a_manifest(tmp_path, *rows), tmp_path)

        assert len(sim.ledger.jobs) == 3
    assert [held[row["key"]].state for row in rows] == [
        "not downloaded",
        "not downloaded",
        "not started",
    ]
    assert "the journal does not know it" in str(held["cat-0"].error)
    assert [result.state for result in found] == ["done"] * 3


async def test_a_batch_whose_files_do_not_arrive_pays_for_no_more(tmp_path: Path) -> None:
    """What is made can be fetched later; each further one would be in vain."""
    async with small() as sim:
        sim.faults.add(Fault.explained(403, on=["media"]))
        manifest = a_manifest(tmp_path, *cats(60))

        await run(sim, manifest, tmp_path, max_tasks=5)
        paid = len(sim.ledger.jobs)
        sim.faults.clear()
        await run(sim, manifest, tmp_path, max_tasks=5)

        assert 10 <= paid < 40
        assert len(sim.ledger.jobs) == 60
    assert {line["state"] for line in lines(tmp_path)} == {"done"}


@pytest.mark.parametrize("name", ["line", "key", "file", "width", "took", "state"])
async def test_results_that_something_else_wrote_are_no_results(name: str, tmp_path: Path) -> None:
    """The journal knows what became of the row."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(2))
        await run(sim, manifest, tmp_path)
        first, second = lines(tmp_path)
        text = "\n".join(json.dumps(line) for line in ({**first, name: ["odd"]}, second))
        (tmp_path / "results.jsonl").write_text(text)

        [again] = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 2
    assert (again.key, again.state) == (first["key"], "done")
    assert len(lines(tmp_path)) == 2


async def test_half_a_line_of_results_is_no_line(tmp_path: Path) -> None:
    """A crash in the middle of writing: the row is looked at again, and stands there once."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        await run(sim, manifest, tmp_path)
        path = tmp_path / "results.jsonl"
        path.write_text(path.read_text()[:-40] + "\n[1]\n{}")

        again = await run(sim, manifest, tmp_path)

    assert len(again) == 1
    assert len(lines(tmp_path)) == len(sim.ledger.jobs) == 3


async def test_half_a_character_of_results_is_no_line(tmp_path: Path) -> None:
    """Where a crash left only the first byte of a letter that has two."""
    async with small() as sim:
        rows = [{"key": f"caf\u00e9-{n}", "prompt": "a caf\u00e9"} for n in range(2)]
        manifest = a_manifest(tmp_path, *rows)
        await run(sim, manifest, tmp_path)
        path = tmp_path / "results.jsonl"
        said = path.read_bytes()
        path.write_bytes(said[: said.rindex("\u00e9".encode()) + 1])

        again = await run(sim, manifest, tmp_path)

        assert len(sim.ledger.jobs) == 2
    assert [result.state for result in again] == ["done"]
    assert len(lines(tmp_path)) == 2


async def test_results_of_a_later_version_are_understood(tmp_path: Path) -> None:
    """What is said beyond what is known here is passed over; nothing is fetched again."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(2))
        await run(sim, manifest, tmp_path)
        told = "".join(json.dumps({**line, "mood": "calm"}) + "\n" for line in lines(tmp_path))
        (tmp_path / "results.jsonl").write_text(told)
        asked = sim.ledger.requests.total()

        again = await run(sim, manifest, tmp_path)

        assert sim.ledger.requests.total() == asked
    assert again == []
    assert len(lines(tmp_path)) == 2


async def test_two_manifests_may_share_a_folder(tmp_path: Path) -> None:
    """The results of one are not lost by running the other."""
    async with small() as sim:
        await run(sim, a_manifest(tmp_path, *cats(2)), tmp_path)
        await run(sim, a_manifest(tmp_path, {"key": "dog", "prompt": "a dog"}), tmp_path)

    assert [line["key"] for line in lines(tmp_path)][-1] == "dog"
    assert len(lines(tmp_path)) == 3


async def test_a_batch_needs_a_journal(tmp_path: Path) -> None:
    """Without one it could pay twice."""
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(ConfigurationError, match="needs a journal"):
            Batch(luma, read_manifest(a_manifest(tmp_path, *cats(1))), tmp_path)


async def test_progress_is_counted(tmp_path: Path) -> None:
    """All of them add up at each moment, and the time left is a guess that comes to nought."""
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
    """Rows that have ended are not left, and not done in this run either."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(5))
        await run(sim, manifest, tmp_path, limit_jobs=3)
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path)
            left = [batch.progress.left async for _ in batch.run()]

    assert left == [1, 0]
    assert (batch.progress.before, batch.progress.done) == (3, 2)


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
