"""The files of a running batch's gallery: there from the first row, small, and never in the way."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from luma_async import BatchError
from luma_async.batch import Batch, LiveGallery, read_manifest
from luma_async.batch.cards import Cards, WaitingRow
from luma_async.batch.live_files import FOLDER, PART, LiveFiles, Moment
from luma_async.batch.next_steps import Commands
from luma_async.batch.progress import RunningRow, Stage
from luma_async.batch.results import Result, ResultState
from luma_async.simulator import Fixed
from tests.batch.runs import a_manifest, cats, end_all, run, small
from tests.clients import HOUR, connect, until


def newest(folder: Path) -> dict[str, Any]:
    """Return the content of `now.js` and of the file that it names."""
    head = content(folder / FOLDER / "now.js")
    return {**content(folder / FOLDER / f"rows-{head['number']}.js"), **head}


def content(path: Path) -> dict[str, Any]:
    text = path.read_text("ascii")
    found = json.loads(text.removeprefix("galleryNews(").rstrip().removesuffix(");"))
    assert isinstance(found, dict)
    return found


async def test_the_page_is_there_before_the_first_row_has_ended(tmp_path: Path) -> None:
    """Rows that have not begun are cards as well; the page at the end loads no other file."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(4)))
    page = tmp_path / "gallery.html"
    async with (
        small(durations=Fixed(HOUR)) as sim,
        connect(sim, journal=tmp_path / "jobs.db") as luma,
    ):
        batch = Batch(luma, manifest, tmp_path, max_tasks=2)

        async def follow() -> None:
            async with LiveGallery(batch, title="Cats", command="x", every=0.01):
                async for _ in batch.run():
                    pass

        running = asyncio.create_task(follow())
        await until(page.exists)
        first = page.read_text("utf-8")
        await until(lambda: len(newest(tmp_path)["running"]) == 2)
        await end_all(sim, running)
    last = page.read_text("utf-8")

    assert first.count('class="card waiting"') == 4
    assert last.count('class="card done"') == 4
    assert FOLDER in first
    assert FOLDER not in last
    assert "strict-dynamic" not in last
    told = newest(tmp_path)
    assert (told["phase"], told["running"], len(told["ended"])) == ("ended", [], 4)


async def test_an_interrupted_batch_leaves_a_page_with_all_rows(tmp_path: Path) -> None:
    """It has the command that continues the batch, and tells the rows that run at the server."""
    manifest = read_manifest(a_manifest(tmp_path, *cats(4)))
    async with (
        small(durations=Fixed(HOUR)) as sim,
        connect(sim, journal=tmp_path / "jobs.db") as luma,
    ):
        batch = Batch(luma, manifest, tmp_path, max_tasks=2)

        async def follow() -> None:
            async with LiveGallery(batch, title="Cats", command="continue it", every=0.01):
                async with aclosing(batch.run()) as results:
                    async for _ in results:
                        pass

        running = asyncio.create_task(follow())
        await until(lambda: len(luma.tasks) == 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    page = (tmp_path / "gallery.html").read_text("utf-8")

    assert page.count('class="card waiting"') == 4
    assert page.count("Its job continues at the server.") == 2
    assert "4 rows are still to do" in page
    assert newest(tmp_path)["phase"] == "stopped"
    assert newest(tmp_path)["notices"][0][2] == [["Continue the batch", "continue it"]]


async def test_a_gallery_that_cannot_be_written_stops_no_batch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once."""
    (tmp_path / FOLDER).write_text("a file")
    manifest = read_manifest(a_manifest(tmp_path, *cats(3)))
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = Batch(luma, manifest, tmp_path)
        with caplog.at_level(logging.WARNING, "luma_async"):
            async with LiveGallery(batch, title="Cats", command="x", every=0.01):
                states = [result.state async for result in batch.run()]

    assert states == [ResultState.DONE] * 3
    assert [text.partition(":")[0] for text in caplog.messages] == ["The gallery cannot be written"]


async def test_the_gallery_of_a_running_batch_is_left_alone(tmp_path: Path) -> None:
    """A second batch in its folder is an error, and writes no page."""
    manifest = a_manifest(tmp_path, *cats(2))
    async with small(durations=Fixed(HOUR)) as sim:
        first = asyncio.create_task(run(sim, manifest, tmp_path))
        await until(lambda: len(sim.ledger.jobs) == 2)
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = Batch(luma, read_manifest(manifest), tmp_path)
            with pytest.raises(BatchError, match="Another batch"):
                async with LiveGallery(batch, title="Cats", command="x"):
                    async for _ in batch.run():
                        pass
        there = (tmp_path / "gallery.html").exists()
        await end_all(sim, first)

    assert not there


def test_the_file_that_is_written_again_stays_small(tmp_path: Path) -> None:
    """Ten thousand rows are in parts, each written once; the newest file has the rest."""
    rows: list[Result | WaitingRow] = [
        Result(
            key=f"row-{n}",
            line=n,
            state=ResultState.DONE,
            prompt="a cat " * 50,
            id=f"1b4e28ba-2fa1-11d2-883f-{n:012}",
            file=f"videos/row-{n}.mp4",
            duration=5.0,
            took=41.0,
            width=1280,
            height=720,
        )
        for n in range(10_000)
    ]
    cards = Cards(rows, Commands("x"))
    files = LiveFiles(tmp_path, run="run-1", rows="rows")
    files.open()
    running = [(n, RunningRow(f"row-{n}", Stage.PROCESSING, 0.5)) for n in range(1, 101)]
    largest = 0
    for start in range(0, len(rows), 100):
        files.add(map(cards.card, range(start + 1, start + 101)))
        files.write(Moment("running", running))
        head = newest(tmp_path)
        sizes = [
            (tmp_path / FOLDER / f"{name}.js").stat().st_size
            for name in ("now", f"rows-{head['number']}")
        ]
        largest = max(largest, *sizes)

    assert largest < 60_000
    parts = [content(tmp_path / FOLDER / f"part-{n}.js")["ended"] for n in range(10_000 // PART)]
    told = [row["n"] for part in parts for row in part] + [row["n"] for row in head["ended"]]
    assert told == list(range(1, 10_001))
    assert len(list((tmp_path / FOLDER).iterdir())) < 10_000 // PART + 10


def test_the_replaced_file_keeps_its_size(tmp_path: Path) -> None:
    """A browser that read its size just before would else read a part of the next one."""
    files = LiveFiles(tmp_path, run="run-1", rows="rows")
    files.open()
    sizes = set()
    for phase in ("running", "stopping", "ended"):
        files.write(Moment(phase))
        sizes.add((tmp_path / FOLDER / "now.js").stat().st_size)

    assert len(sizes) == 1
