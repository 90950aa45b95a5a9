"""The folder of a batch: its results file, its lock, and the videos."""

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
from tests.disks import run as command
from tests.disks import small_disk


async def test_a_file_without_a_result_is_downloaded_again(tmp_path: Path) -> None:
    """The file may be of another job that had this key."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        (tmp_path / "videos").mkdir()
        (tmp_path / "videos" / "cat-0.mp4").write_bytes(b"of somebody else")

        await run(sim, manifest, tmp_path)

    assert (tmp_path / "videos" / "cat-0.mp4").stat().st_size > 1000


async def test_one_batch_at_a_time_runs_in_a_folder(tmp_path: Path) -> None:
    """The second batch is rejected before it does anything; the first one continues."""
    async with small(durations=Fixed(HOUR)) as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        first = asyncio.create_task(run(sim, manifest, tmp_path))
        await until((tmp_path / "results.jsonl").exists)

        with pytest.raises(BatchError, match="Another batch is running in the folder"):
            await run(sim, manifest, tmp_path)

        assert len(await end_all(sim, first)) == 3


async def test_a_folder_without_room_for_videos_is_an_error_before_any_payment(
    tmp_path: Path,
) -> None:
    """A file has the name of the folder of the videos."""
    (tmp_path / "videos").write_text("x")
    async with small() as sim:
        with pytest.raises(BatchError, match=r"folder .*videos.* cannot be created: File exists"):
            await run(sim, a_manifest(tmp_path, *cats(3)), tmp_path)

        assert len(sim.ledger.jobs) == 0


async def test_videos_on_a_read_only_disk_are_an_error_before_any_payment(tmp_path: Path) -> None:
    """The folder of the results is writable, but that of the videos is not, not even for root."""
    with small_disk(tmp_path / "videos", kilobytes=600) as disk:
        command("mount", "-o", "remount,ro", str(disk))
        async with small() as sim:
            with pytest.raises(BatchError, match=r"videos is not writable\. Nothing was submitted"):
                await run(sim, a_manifest(tmp_path, *cats(3)), tmp_path)

            assert len(sim.ledger.jobs) == 0


async def test_results_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    """The folder is unlocked, and can be used once the problem is corrected."""
    (tmp_path / "results.jsonl").mkdir()
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        with pytest.raises(BatchError, match=r"cannot be used: Is a directory\. Nothing was"):
            await run(sim, manifest, tmp_path)
        assert len(sim.ledger.jobs) == 0
        (tmp_path / "results.jsonl").rmdir()

        assert len(await run(sim, manifest, tmp_path)) == 1


async def test_results_have_the_current_lines_of_the_rows(tmp_path: Path) -> None:
    """A row that was inserted moves all rows below it."""
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


async def test_paid_rows_that_are_not_in_the_journal_are_held_back(tmp_path: Path) -> None:
    """The journal is another one, or a new one. Extensions of these rows wait as well."""
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
async def test_lines_that_are_not_results_are_ignored(name: str, tmp_path: Path) -> None:
    """The journal has the jobs of these rows."""
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


async def test_an_incomplete_line_is_ignored(tmp_path: Path) -> None:
    """After a crash while writing, the row is run again and has one line."""
    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(3))
        await run(sim, manifest, tmp_path)
        path = tmp_path / "results.jsonl"
        path.write_text(path.read_text()[:-40] + "\n[1]\n{}")

        again = await run(sim, manifest, tmp_path)

    assert len(again) == 1
    assert len(lines(tmp_path)) == len(sim.ledger.jobs) == 3


async def test_an_incomplete_character_is_ignored(tmp_path: Path) -> None:
    """A crash left only the first byte of a character of two."""
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


async def test_results_of_a_later_release_are_read(tmp_path: Path) -> None:
    """Unknown fields are ignored, and nothing is downloaded again."""
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
    """Running one manifest keeps the results of the other one."""
    async with small() as sim:
        await run(sim, a_manifest(tmp_path, *cats(2)), tmp_path)
        await run(sim, a_manifest(tmp_path, {"key": "dog", "prompt": "a dog"}), tmp_path)

    assert [line["key"] for line in lines(tmp_path)][-1] == "dog"
    assert len(lines(tmp_path)) == 3
