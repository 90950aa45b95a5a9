"""What a batch leaves in its folder, and finds there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from luma_async import (
    BatchError,
)
from luma_async.batch import Batch, read_manifest
from luma_async.simulator import Fault, Fixed
from tests.batch.runs import a_manifest, cats, end_all, lines, run, small
from tests.clients import HOUR, connect, until


async def test_a_file_without_a_result_is_fetched_anew(tmp_path: Path) -> None:
    """It may be of another job that had this key."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos" / "cat-0.mp4").write_bytes(b"of somebody else")

        await run(sim, manifest, tmp_path)

    assert (tmp_path / "videos" / "cat-0.mp4").stat().st_size > 1000


async def test_one_batch_at_a_time_runs_in_a_folder(tmp_path: Path) -> None:
    """The second is refused before anything; the first goes on."""
    async with small(durations=Fixed(HOUR)) as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        first = asyncio.create_task(run(sim, manifest, tmp_path))
        await until((tmp_path / "results.jsonl").exists)

        with pytest.raises(BatchError, match="Another batch is running in the folder"):
            await run(sim, manifest, tmp_path)

        assert len(await end_all(sim, first)) == 3


async def test_a_folder_that_takes_no_videos_is_told_before_anything_is_paid(
    tmp_path: Path,
) -> None:
    """A file where the folder of the videos should be."""
    (tmp_path / "videos").write_text("x")
    async with small() as sim:
        with pytest.raises(BatchError, match=r"folder .*videos.* cannot be created: File exists"):
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
    assert "it is not in this journal" in str(held["cat-0"].error)
    assert [result.state for result in found] == ["done"] * 3


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
