"""Redo: rows are submitted anew, once for each redo, and every earlier video is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from luma_async import InvalidRequestError
from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.simulator import Fault, Fixed, Simulator
from tests.batch.runs import a_manifest, cats, end_all, lines, small
from tests.batch.test_edited_rows import BOW, CAT, DOG, results_of
from tests.clients import HOUR, connect, until


def prompts(sim: Simulator) -> list[str]:
    return [job.request["user_prompt"] for job in sim.ledger.jobs]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "videos").iterdir()}


async def test_a_redone_row_keeps_each_earlier_video(tmp_path: Path) -> None:
    """The new video has the name of the row; a third one overwrites neither of the others."""
    async with small(same_films=False) as sim:
        ids = []
        for row, redo in ((CAT, []), (DOG, ["a"]), (DOG, ["a"])):
            [result] = await results_of(sim, tmp_path, row, redo=redo)
            ids.append(result.id)

        assert prompts(sim) == ["a cat", "a dog", "a dog"]
    first, second, third = ids
    found = files(tmp_path)
    assert found.keys() == {"a.mp4", f"a.{first}.mp4", f"a.{second}.mp4"}
    assert len(set(found.values())) == 3
    assert (result.id, result.file, result.note) == (third, "videos/a.mp4", None)
    [line] = lines(tmp_path)
    assert line["earlier"] == [
        {"id": first, "file": f"videos/a.{first}.mp4", "prompt": "a cat"},
        {"id": second, "file": f"videos/a.{second}.mp4", "prompt": "a dog"},
    ]


async def test_the_next_run_redoes_nothing(tmp_path: Path) -> None:
    """A redo is for one run."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT)
        [redone] = await results_of(sim, tmp_path, CAT, redo=["a"])

        [after] = await results_of(sim, tmp_path, CAT)

        assert len(sim.ledger.jobs) == 2
    assert after == redone
    assert not (tmp_path / ".redo.json").exists()


async def test_a_video_whose_result_is_lost_is_kept(tmp_path: Path) -> None:
    """It was paid for, so that the new one does not overwrite it."""
    async with small(same_films=False) as sim:
        [before] = await results_of(sim, tmp_path, CAT)
        video = files(tmp_path)["a.mp4"]
        await results_of(sim, tmp_path, CAT, redo=["a"], limit_jobs=0)
        (tmp_path / "results.jsonl").unlink()

        [result] = await results_of(sim, tmp_path, CAT, redo=["a"])

        assert len(sim.ledger.jobs) == 2
    assert [(each.id, each.prompt) for each in result.earlier] == [(before.id, None)]
    assert files(tmp_path)[f"a.{before.id}.mp4"] == video
    assert files(tmp_path)["a.mp4"] != video


@pytest.mark.parametrize(
    "text", ["", '{"key": "a", "line": 1, "state": "uncertain", "prompt": ""}']
)
async def test_a_video_that_was_never_in_the_folder_is_not_redone(
    text: str, tmp_path: Path
) -> None:
    """An interrupted run has paid for it. The next redo is another one."""
    manifest = read_manifest(a_manifest(tmp_path, CAT))
    told = []
    async with small() as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.run("a cat", aspect_ratio="1:1", key="a")
        (tmp_path / "results.jsonl").write_text(text)
        for _ in range(2):
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = Batch(luma, manifest, tmp_path, redo=["a"])
                [result] = await _all(batch)
                told.append((batch.already_redone, len(sim.ledger.jobs)))

    assert told == [(["a"], 1), ([], 2)]
    assert [video.id for video in result.earlier] == [sim.ledger.jobs[0].id]


async def test_a_video_is_not_an_earlier_one_of_itself(tmp_path: Path) -> None:
    """The redo of a row without a video was rejected, so that its job is still that of the row."""
    async with small() as sim:
        sim.faults.add(Fault.page(404, on=["media"]))
        [before] = await results_of(sim, tmp_path, CAT)
        sim.faults.clear()
        sim.faults.add(Fault.explained(422, on=["generate"]))
        await results_of(sim, tmp_path, CAT, redo=["a"])

        [result] = await results_of(sim, tmp_path, CAT)

        assert len(sim.ledger.jobs) == 1
    assert before.state is ResultState.NOT_DOWNLOADED
    assert (result.state, result.id, result.earlier) == (ResultState.DONE, before.id, ())


async def test_an_interrupted_redo_stays_open_until_all_of_its_rows_are_redone(
    tmp_path: Path,
) -> None:
    """A run without it in between changes nothing. Then the same redo is another one."""
    async with small() as sim:
        await results_of(sim, tmp_path, *cats(2))
        redo = ["cat-0", "cat-1"]
        await results_of(sim, tmp_path, *cats(2), redo=redo, limit_jobs=1)

        await results_of(sim, tmp_path, *cats(2))
        assert len(sim.ledger.jobs) == 3
        await results_of(sim, tmp_path, *cats(2), redo=redo)
        assert len(sim.ledger.jobs) == 4
        await results_of(sim, tmp_path, *cats(2), redo=redo)

        assert len(sim.ledger.jobs) == 6


async def test_a_redo_of_one_row_ends_the_interrupted_one_for_it(tmp_path: Path) -> None:
    """It is told that the row was redone before; asked for once more, it is."""
    async with small() as sim:
        await results_of(sim, tmp_path, *cats(2))
        await results_of(sim, tmp_path, *cats(2), redo=["cat-0", "cat-1"], limit_jobs=1)
        manifest = read_manifest(a_manifest(tmp_path, *cats(2)))
        told = []
        for _ in range(2):
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = Batch(luma, manifest, tmp_path, redo=["cat-0"])
                await _all(batch)
                told.append((batch.already_redone, len(sim.ledger.jobs)))

    assert told == [(["cat-0"], 3), ([], 4)]


async def test_all_edited_rows_are_redone(tmp_path: Path) -> None:
    """The others are left alone, also by a second run."""
    async with small() as sim:
        before = cats(4)
        await results_of(sim, tmp_path, *before)
        edited = [
            before[0],
            {**before[1], "prompt": "a dog"},
            before[2],
            {**before[3], "loop": True},
        ]

        results = await results_of(sim, tmp_path, *edited, redo_edited=True)
        again = await results_of(sim, tmp_path, *edited, redo_edited=True)

        assert prompts(sim)[4:] == ["a dog", "a cat, take 3"]
    assert [bool(result.earlier) for result in results] == [False, True, False, True]
    assert again == results


async def test_a_redo_counts_as_paid(tmp_path: Path) -> None:
    """The limit holds for it. The same redo again continues with the row behind the limit."""
    async with small() as sim:
        await results_of(sim, tmp_path, *cats(2))
        redo = ["cat-0", "cat-1"]

        for paid in (3, 4):
            await results_of(sim, tmp_path, *cats(2), redo=redo, limit_jobs=1)
            assert len(sim.ledger.jobs) == paid

        assert sorted(prompts(sim)) == ["a cat, take 0"] * 2 + ["a cat, take 1"] * 2


async def test_an_extension_of_a_redone_row_is_told(tmp_path: Path) -> None:
    """It continues the earlier video. Redone by its name, it continues the new one."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT, BOW)

        a, b = await results_of(sim, tmp_path, CAT, BOW, redo=["a"])
        assert len(sim.ledger.jobs) == 3
        _, redone = await results_of(sim, tmp_path, CAT, BOW, redo=["b"])

        parent = sim.ledger.jobs[3].parent
    assert b.state is ResultState.DONE
    assert b.note is not None
    assert "continues an earlier video of row 'a'" in b.note
    assert "a redo submits it anew" in b.note
    assert parent is not None
    assert (parent.id, redone.note) == (a.id, None)


async def test_a_chain_is_redone_in_its_order(tmp_path: Path) -> None:
    """The extension waits for the new video."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT, BOW)

        a, b = await results_of(sim, tmp_path, CAT, BOW, redo=["b", "a"])

        assert [job.parent and job.parent.id for job in sim.ledger.jobs[2:]] == [None, a.id]
    assert (a.note, b.note, b.source) == (None, None, a.id)


@pytest.mark.parametrize("how", ["rejected", "failed"])
async def test_a_redo_without_a_video_leaves_the_row_as_it_was(how: str, tmp_path: Path) -> None:
    """The note says why, extensions use the video, and a further redo submits the row again."""
    async with small() as sim:
        [before] = await results_of(sim, tmp_path, CAT)
        if how == "rejected":
            sim.faults.add(Fault.explained(422, on=["generate"]))
        else:
            sim.fail_next("moderated")

        a, b = await results_of(sim, tmp_path, DOG, BOW, redo=["a"])
        sim.faults.clear()
        [later, _] = await results_of(sim, tmp_path, DOG, BOW)
        [redone, _] = await results_of(sim, tmp_path, DOG, BOW, redo=["a"])

    assert (a.state, a.id, a.file) == (ResultState.DONE, before.id, before.file)
    assert a.note is not None
    assert "was submitted anew, but" in a.note
    assert later == a
    assert (b.state, b.source) == (ResultState.DONE, before.id)
    assert (redone.state, redone.prompt, redone.note) == (ResultState.DONE, "a dog", None)
    assert (tmp_path / "videos" / f"a.{before.id}.mp4").exists()


async def test_an_uncertain_redo_is_uncertain(tmp_path: Path) -> None:
    """The earlier video is kept; once the job is settled, the row gets the new one."""
    async with small() as sim:
        [before] = await results_of(sim, tmp_path, CAT)
        sim.faults.add(Fault.cut(after=True, times=1))
        [uncertain] = await results_of(sim, tmp_path, CAT, redo=["a"])
        [again] = await results_of(sim, tmp_path, CAT, redo=["a"])
        assert len(sim.ledger.jobs) == 2
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            assert luma.journal is not None
            await luma.journal.settle("a", id=sim.ledger.jobs[1].id)

        [settled] = await results_of(sim, tmp_path, CAT)

        assert len(sim.ledger.jobs) == 2
    assert uncertain.state is again.state is ResultState.UNCERTAIN
    assert [video.id for video in uncertain.earlier] == [before.id]
    assert (settled.state, settled.id) == (ResultState.DONE, sim.ledger.jobs[1].id)
    assert settled.earlier == uncertain.earlier
    assert files(tmp_path).keys() == {"a.mp4", f"a.{before.id}.mp4"}


async def test_an_extension_keeps_its_video_if_the_redo_of_its_source_is_uncertain(
    tmp_path: Path,
) -> None:
    """It is not redone yet. The same redo again does it, once the source is settled."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT, BOW)
        await results_of(sim, tmp_path, CAT, BOW, redo=["b"])
        _, before = await results_of(sim, tmp_path, CAT, BOW)
        sim.faults.add(Fault.cut(after=True, times=1))

        a, b = await results_of(sim, tmp_path, CAT, BOW, redo=["a", "b"])
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            assert luma.journal is not None
            await luma.journal.settle("a", id=sim.ledger.jobs[3].id)
        _, redone = await results_of(sim, tmp_path, CAT, BOW, redo=["a", "b"])

        assert len(sim.ledger.jobs) == 5
    assert a.state is ResultState.UNCERTAIN
    assert (b.state, b.id, b.file) == (ResultState.DONE, before.id, before.file)
    assert b.earlier == before.earlier
    assert "has no new output" in str(b.note)
    assert [video.id for video in redone.earlier] == [before.earlier[0].id, before.id]


async def test_a_running_row_is_not_redone(tmp_path: Path) -> None:
    """It is watched to its end; the batch says that it was not redone."""
    async with small(durations=Fixed(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            await luma.generate("a cat", aspect_ratio="1:1", key="a")
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(a_manifest(tmp_path, CAT)), tmp_path, redo=["a"])
            running = asyncio.ensure_future(_all(batch))
            while not running.done():
                sim.advance(HOUR)
                await asyncio.sleep(0.02)

            [result] = await running

        assert len(sim.ledger.jobs) == 1
    assert batch.not_redone == ["a"]
    assert result.state is ResultState.DONE


async def _all(batch: Batch) -> list[Result]:
    return [result async for result in batch.run()]


async def test_a_key_without_a_row_is_an_error(tmp_path: Path) -> None:
    """Nothing is submitted."""
    async with small() as sim:
        with pytest.raises(InvalidRequestError, match="no row has the key 'x'"):
            await results_of(sim, tmp_path, CAT, redo=["x"])

        assert sim.ledger.requests.total() == 0


async def test_a_video_that_cannot_be_kept_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row keeps it, and says why. The next run gets the new one."""
    async with small(same_films=False) as sim:
        [before] = await results_of(sim, tmp_path, CAT)
        video = files(tmp_path)["a.mp4"]
        with monkeypatch.context() as broken:
            broken.setattr("os.link", _no_room)
            broken.setattr("shutil.copy2", _no_room)
            [failed] = await results_of(sim, tmp_path, CAT, redo=["a"])
        assert files(tmp_path) == {"a.mp4": video}

        [result] = await results_of(sim, tmp_path, CAT)

        assert len(sim.ledger.jobs) == 2
    assert (failed.state, failed.id) == (ResultState.DONE, before.id)
    assert "cannot be kept" in str(failed.note)
    assert (result.state, result.note) == (ResultState.DONE, None)
    assert files(tmp_path)["a.mp4"] != video
    assert files(tmp_path)[f"a.{before.id}.mp4"] == video


def _no_room(*_: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("text", ["", "[]", "null", "7", '{"a": null}', "\x00"])
async def test_a_damaged_file_of_a_redo_counts_as_none(text: str, tmp_path: Path) -> None:
    """The row is redone once, and the file is gone then."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT)
        (tmp_path / ".redo.json").write_text(text)

        [result] = await results_of(sim, tmp_path, DOG, redo=["a"])

        assert prompts(sim) == ["a cat", "a dog"]
    assert (result.state, result.prompt) == (ResultState.DONE, "a dog")
    assert not (tmp_path / ".redo.json").exists()


@pytest.mark.parametrize("again", [True, False])
async def test_a_cancelled_redo_is_continued(tmp_path: Path, *, again: bool) -> None:
    """With the same redo or without: the new job gets its video, and is not paid again."""
    async with small(durations=Fixed(HOUR)) as sim:
        first = asyncio.create_task(results_of(sim, tmp_path, CAT))
        while not first.done():
            sim.advance(HOUR)
            await asyncio.sleep(0.02)
        [before] = await first
        redoing = asyncio.create_task(results_of(sim, tmp_path, DOG, redo=["a"]))
        await until(lambda: len(sim.ledger.jobs) == 2)
        redoing.cancel()
        await asyncio.gather(redoing, return_exceptions=True)

        running = asyncio.create_task(results_of(sim, tmp_path, DOG, redo=["a"] if again else []))
        while not running.done():
            sim.advance(HOUR)
            await asyncio.sleep(0.02)
        [result] = await running

        assert len(sim.ledger.jobs) == 2
    assert (result.state, result.id) == (ResultState.DONE, sim.ledger.jobs[1].id)
    assert (result.prompt, result.note) == ("a dog", None)
    assert [video.id for video in result.earlier] == [before.id]
    assert json.loads((tmp_path / "results.jsonl").read_text())["prompt"] == "a dog"


@pytest.mark.parametrize(("has_ended", "again"), [(False, False), (False, True), (True, True)])
async def test_a_cancelled_redo_is_continued_without_its_file(
    tmp_path: Path, *, has_ended: bool, again: bool
) -> None:
    """The journal knows that the job of the video was replaced. Nothing is paid again."""
    async with small(durations=Fixed(HOUR)) as sim:
        [before] = await end_all(sim, asyncio.create_task(results_of(sim, tmp_path, CAT)))
        redoing = asyncio.create_task(results_of(sim, tmp_path, CAT, redo=["a"]))
        await until(lambda: len(sim.ledger.jobs) == 2)
        redoing.cancel()
        await asyncio.gather(redoing, return_exceptions=True)
        (tmp_path / ".redo.json").unlink()
        if has_ended:
            sim.advance(HOUR)
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                for task in await luma.resume():
                    await task

        running = results_of(sim, tmp_path, CAT, redo=["a"] if again else [])
        [result] = await end_all(sim, asyncio.create_task(running))

        assert len(sim.ledger.jobs) == 2
    assert (result.state, result.id) == (ResultState.DONE, sim.ledger.jobs[1].id)
    assert [video.id for video in result.earlier] == [before.id]
