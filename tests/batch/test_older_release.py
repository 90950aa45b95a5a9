"""Batches of an older release: its results and journal are continued, and nothing is paid twice.

`older_release/` has the files of a batch that the release before `Plan` and `Job` had begun.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from luma_async.simulator import Fixed, Simulator
from tests.batch.runs import end_all, run, small
from tests.clients import HOUR, connect

FILES = Path(__file__).parent / "older_release"
SERVER = "http://gateway.test"
IDS = {
    "a cat": "0a5d2f34-6baa-4455-a3e7-0682c2094cac",
    "a cat with a hat": "eb1167b3-67a9-4378-bc65-c1e582e2e662",
    "it bows": "5ba91faf-7a02-4204-b7c1-bd874da5e709",
    "an owl": "23a7711a-8133-4876-b7eb-dcd9e87a1613",
    "a whale": "cca5a5a1-9e4d-4e3c-9846-d424c17c6279",
    "a dog": "b4862b21-fb97-4435-8856-1712e8e5216a",
    "a fox": "19488dec-4f65-44d9-a59f-4329e6f4590b",
}
"""Ids of the jobs in the files, by prompt."""


async def begin(sim: Simulator, folder: Path) -> Path:
    """Copy the files into a folder, as if the simulator had the jobs; return the manifest."""
    async with connect(sim) as luma:
        ids = {old: (await luma.generate(prompt)).id for prompt, old in IDS.items()}
    sim.advance(HOUR)

    def of_simulator(name: str) -> str:
        text = (FILES / name).read_text("utf-8").replace(SERVER, sim.url)
        for old, new in ids.items():
            text = text.replace(old, new)
        return text

    (folder / "results.jsonl").write_text(of_simulator("results.jsonl"), "utf-8")
    with closing(sqlite3.connect(folder / "jobs.db")) as database:
        database.executescript(of_simulator("jobs.sql"))
    (folder / "videos").mkdir()
    for key in ("done", "extended", "row-9c8d7dd5de1ee067"):
        (folder / "videos" / f"{key}.mp4").write_bytes(b"a video")
    for name in ("rows.jsonl", "cat.png"):
        shutil.copy(FILES / name, folder)
    return folder / "rows.jsonl"


async def test_a_batch_of_an_older_release_is_continued(tmp_path: Path) -> None:
    """Finished rows are left alone, a running job is watched, and one row is new."""
    async with small(durations=Fixed(HOUR)) as sim:
        manifest = await begin(sim, tmp_path)

        running = asyncio.create_task(run(sim, manifest, tmp_path))
        results = {result.key: result for result in await end_all(sim, running)}

        assert len(sim.ledger.jobs) == len(IDS) + 1
        assert sim.ledger.jobs[-1].request["user_prompt"] == "the fox rests"
    assert {key: str(result.state) for key, result in results.items()} == {
        "lost-file": "done",  # it is done, but its file is gone
        "running": "done",
        "uncertain": "uncertain",
        "waiting": "done",
    }
    assert (tmp_path / "videos" / "done.mp4").read_bytes() == b"a video"


@pytest.mark.parametrize("retry_failed", [False, True])
async def test_the_journal_of_an_older_release_is_enough(
    tmp_path: Path, *, retry_failed: bool
) -> None:
    """Without results, each row is found by its job key, and its request counts as unchanged."""
    async with small(durations=Fixed(HOUR)) as sim:
        manifest = await begin(sim, tmp_path)
        (tmp_path / "results.jsonl").unlink()

        running = asyncio.create_task(run(sim, manifest, tmp_path, retry_failed=retry_failed))
        results = {result.key: result for result in await end_all(sim, running)}

        new = [job.request["user_prompt"] for job in sim.ledger.jobs[len(IDS) :]]
    assert new == ["the fox rests"]
    # With `retry_failed` the old job is asked for once more: here, it has a video by now.
    assert str(results["failed"].state) == ("done" if retry_failed else "failed")
    assert str(results["uncertain"].state) == "uncertain"
    others = results.keys() - {"failed", "uncertain"}
    assert len(others) == 6
    assert {str(results[key].state) for key in others} == {"done"}
