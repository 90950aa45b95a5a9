"""Downloads: a file that is whole, or not there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
import pytest

from luma_async import DownloadError, GenerationFailedError, LumaClient, VideoTask
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from tests.clients import connect, until


def small(**settings: Any) -> Simulator:
    return Simulator(durations=Fixed(0.1), short_side=90, **settings)


async def a_video(luma: LumaClient) -> VideoTask:
    return await luma.generate("a cat dances", aspect_ratio="1:1")


async def test_any_source_can_be_downloaded(tmp_path: Path) -> None:
    """A handle on its way, a generation or an id; folders that do not exist are made."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)

        paths = [
            await luma.download(task, tmp_path / "new" / "folder" / "a.mp4"),
            await luma.download(await task, str(tmp_path / "b.mp4")),
            await luma.download(task.id, tmp_path),
            await luma.download(task.id, f"{tmp_path}/other/"),
        ]

    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "new/folder/a.mp4",
        "b.mp4",
        f"{task.id}.mp4",
        f"other/{task.id}.mp4",
    ]
    assert len({path.read_bytes() for path in paths}) == 1
    with av.open(str(paths[0])) as film:
        assert sum(1 for _ in film.decode(video=0)) == 121


@pytest.mark.parametrize("what", ["raw", "thumbnail", "last_frame"])
async def test_the_other_files_of_a_job_can_be_had(what: Any, tmp_path: Path) -> None:
    """Each under its own name."""
    async with small() as sim, connect(sim) as luma:
        path = await luma.download(await a_video(luma), tmp_path, what=what)

    start = path.read_bytes()[:12]
    assert start.startswith(b"\xff\xd8") if path.suffix == ".jpg" else start[4:8] == b"ftyp"
    assert what in path.name


@pytest.mark.parametrize("video", ["object", "text", "artifact", "raw", "assets"])
async def test_the_video_without_a_watermark_is_preferred(video: Any, tmp_path: Path) -> None:
    """Wherever the link is: in the video, the raw one, or at its own call."""
    async with small(variant=Variant(video=video)) as sim, connect(sim) as luma:
        task = await a_video(luma)
        clean = await luma.download(task, tmp_path / "clean.mp4")
        marked = await luma.download(task, tmp_path / "marked.mp4", watermark_free=False)

        assert (clean.read_bytes() == marked.read_bytes()) is (video == "raw")


async def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """So many so far, so many in all."""
    told: list[tuple[int, int | None]] = []
    async with small() as sim, connect(sim) as luma:
        path = await luma.download(
            await a_video(luma), tmp_path, progress=lambda done, total: told.append((done, total))
        )

    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(on=["media"], after=True, cut_at=5000), "did not arrive"),
        (Fault.cut(on=["media"]), "did not arrive"),
        (Fault.page(200, on=["media"]), "text/html instead of a file"),
        (Fault.answer(b"{}", on=["media"]), "application/json instead of a file"),
        (Fault.page(403, on=["media"]), "HTTP 403; the link may have expired"),
        (
            Fault(on=["media"], status=200, headers=(("Content-Type", "video/mp4"),)),
            "an empty file",
        ),
    ],
    ids=["cut in the middle", "cut", "page", "json", "403", "empty"],
)
async def test_what_does_not_arrive_whole_leaves_nothing(
    fault: Fault, problem: str, tmp_path: Path
) -> None:
    """No part under the name, no part beside it, and what stood there before stays."""
    target = tmp_path / "cat.mp4"
    target.write_bytes(b"the one before")
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        await task
        sim.faults.add(fault)

        with pytest.raises(DownloadError, match=problem) as caught:
            await luma.download(task, target)

    assert target.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [target]
    assert "Expires" not in str(caught.value)


async def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    """Cancellation is a normal path."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault(on=["media"], after=True, bytes_per_second=1000))
        download = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until(lambda: list(tmp_path.iterdir()))

        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download

    assert list(tmp_path.iterdir()) == []


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "file").write_text("x")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match=r"cat\.mp4 did not arrive"):
            await luma.download(await a_video(luma), tmp_path / "file" / "cat.mp4")


async def test_a_failed_job_has_nothing_to_download(tmp_path: Path) -> None:
    """The failure is raised, not a missing file."""
    async with small(failure_rate=1.0) as sim, connect(sim) as luma:
        with pytest.raises(GenerationFailedError):
            await luma.download(await a_video(luma), tmp_path)


async def test_a_missing_part_is_said(tmp_path: Path) -> None:
    """Not every gateway gives every file."""
    async with small(variant=Variant(video="text")) as sim, connect(sim) as luma:
        task = await a_video(luma)

        with pytest.raises(DownloadError, match=f"{task.id} .completed. has no last_frame"):
            await luma.download(task, tmp_path, what="last_frame")


async def test_one_file_is_downloaded_once_at_a_time(tmp_path: Path) -> None:
    """A second download to the same path is refused, and the first one arrives."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        await task
        first = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await asyncio.sleep(0)

        with pytest.raises(DownloadError, match="is being downloaded already"):
            await luma.download(task, tmp_path / "cat.mp4")

        assert (await first).stat().st_size > 0
