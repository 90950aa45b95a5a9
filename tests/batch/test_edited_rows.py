"""Rows that were edited after their job was submitted: they keep what was paid for, with a note."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from luma_async.batch import Batch, Result, ResultState, read_manifest
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.tasks.manager import LOST_AFTER
from tests.batch.runs import a_manifest, lines, run, small
from tests.clients import HOUR, connect, until
from tests.loops import skip

CAT = {"key": "a", "prompt": "a cat"}
DOG = {"key": "a", "prompt": "a dog"}
BOW = {"key": "b", "prompt": "it bows", "extends": "a"}
EDITED = "The row was edited after its video was made; a redo submits it anew."


async def results_of(
    sim: Simulator, folder: Path, *rows: dict[str, Any], **settings: Any
) -> list[Result]:
    """Run a batch, and return the results of all rows, also of those that had ended before."""
    async with connect(sim, journal=folder / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(folder, *rows))
        batch = Batch(luma, manifest, folder, **settings)
        async for _ in batch.run():
            pass
        return batch.results


async def test_an_edited_row_keeps_its_video_with_a_note(tmp_path: Path) -> None:
    """Nothing is paid, the file stays, and the note says what to do."""
    async with small() as sim:
        [before] = await results_of(sim, tmp_path, CAT)
        video = (tmp_path / "videos" / "a.mp4").read_bytes()

        [edited] = await results_of(sim, tmp_path, DOG)
        [again] = await results_of(sim, tmp_path, DOG)

        assert len(sim.ledger.jobs) == 1
    assert (edited.state, edited.id, edited.file) == (ResultState.DONE, before.id, before.file)
    assert (edited.note, edited.prompt) == (EDITED, "a cat")
    assert again == edited
    assert lines(tmp_path)[-1]["note"] == EDITED
    assert (tmp_path / "videos" / "a.mp4").read_bytes() == video


async def test_the_note_goes_with_the_edit(tmp_path: Path) -> None:
    """The row has its first text again."""
    async with small() as sim:
        await results_of(sim, tmp_path, CAT)
        await results_of(sim, tmp_path, DOG)

        [result] = await results_of(sim, tmp_path, CAT)

    assert (result.state, result.note) == (ResultState.DONE, None)


async def test_extensions_of_an_edited_row_use_its_video(tmp_path: Path) -> None:
    """The row is edited before its extension is added."""
    async with small() as sim:
        [a] = await results_of(sim, tmp_path, CAT)

        _, b = await results_of(sim, tmp_path, DOG, BOW)

        assert [job.parent and job.parent.id for job in sim.ledger.jobs] == [None, a.id]
    assert (b.state, b.source, b.note) == (ResultState.DONE, a.id, None)


async def test_a_paid_row_that_was_edited_before_its_download_gets_its_video(
    tmp_path: Path,
) -> None:
    """The download failed in the first run."""
    async with small() as sim:
        sim.faults.add(Fault.explained(403, on=["media"]))
        [before] = await results_of(sim, tmp_path, CAT)
        sim.faults.clear()

        [edited] = await results_of(sim, tmp_path, DOG)

        assert len(sim.ledger.jobs) == 1
    assert before.state is ResultState.NOT_DOWNLOADED
    assert (edited.state, edited.id, edited.prompt) == (ResultState.DONE, before.id, "a cat")
    assert edited.note == EDITED


async def test_a_row_without_a_result_that_was_edited_gets_its_video(tmp_path: Path) -> None:
    """The process was killed while the job ran; the journal has its prompt."""
    async with small(durations=Fixed(HOUR)) as sim:
        first = asyncio.create_task(run(sim, a_manifest(tmp_path, CAT, BOW), tmp_path))
        await until(lambda: sim.ledger.jobs)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        sim.advance(HOUR)

        running = asyncio.create_task(results_of(sim, tmp_path, DOG, BOW))
        while not running.done():
            sim.advance(HOUR)
            await asyncio.sleep(0.02)
        a, b = await running

        assert len(sim.ledger.jobs) == 2
    assert (a.state, a.prompt, a.note) == (ResultState.DONE, "a cat", EDITED)
    assert (b.state, b.source) == (ResultState.DONE, a.id)


async def test_a_failed_row_that_was_edited_says_so(tmp_path: Path) -> None:
    """It stays failed, and `retry_failed` submits its new text."""
    async with small(failure_rate=1.0) as sim:
        await results_of(sim, tmp_path, CAT)
        [kept] = await results_of(sim, tmp_path, DOG)
        assert len(sim.ledger.jobs) == 1

        [retried] = await results_of(sim, tmp_path, DOG, retry_failed=True)

        assert [job.request["user_prompt"] for job in sim.ledger.jobs] == ["a cat", "a dog"]
    assert (kept.state, kept.prompt) == (ResultState.FAILED, "a cat")
    assert kept.note == "The row was edited after its job was submitted; a redo submits it anew."
    assert (retried.state, retried.prompt, retried.note) == (ResultState.FAILED, "a dog", None)


async def test_a_lost_row_that_was_edited_stays_lost(tmp_path: Path) -> None:
    """Each run asks for its job again, also with `retry_failed`: it may have a video."""
    async with small() as sim:
        sim.faults.add(Fault.explained(404, on=["get", "tasks"]))
        running = asyncio.create_task(results_of(sim, tmp_path, CAT))
        await until(lambda: sim.ledger.statuses[404] > 1)  # the minute begins with the first
        skip(LOST_AFTER)
        [lost] = await running
        assert lost.state is ResultState.LOST
        sim.faults.clear()

        [found] = await results_of(sim, tmp_path, DOG)

        assert len(sim.ledger.jobs) == 1
    assert (found.state, found.id, found.note) == (ResultState.DONE, lost.id, EDITED)


async def test_an_uncertain_row_that_was_edited_stays_uncertain(tmp_path: Path) -> None:
    """It may be paid for."""
    async with small() as sim:
        sim.faults.add(Fault.cut(after=True, times=1))
        await results_of(sim, tmp_path, CAT)

        [edited] = await results_of(sim, tmp_path, DOG, redo=["a"])

        assert len(sim.ledger.jobs) == 1
    assert edited.state is ResultState.UNCERTAIN


@pytest.mark.parametrize("field", ["aspect_ratio", "extra"])
async def test_any_field_counts_as_an_edit(field: str, tmp_path: Path) -> None:
    """The video would be another one."""
    value: Any = "16:9" if field == "aspect_ratio" else {"seed": 7}
    async with small() as sim:
        await results_of(sim, tmp_path, CAT)

        [edited] = await results_of(sim, tmp_path, {**CAT, field: value})

    assert edited.note == EDITED
