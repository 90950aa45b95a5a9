"""Downloads: a file appears under its name only when it is complete."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web

from luma_async import (
    ClientClosedError,
    DownloadError,
    GenerationFailedError,
    InvalidRequestError,
    LumaClient,
)
from luma_async.simulator import Fault, Fixed, Variant
from tests.clients import HOUR, connect, until
from tests.disks import small_disk
from tests.media.hosts import MEGABYTE, MP4, a_video, at, host, media, reference, sent, small


async def test_any_source_can_be_downloaded(tmp_path: Path) -> None:
    """Handles of running jobs, generations and ids are accepted. Missing folders are created."""
    async with small() as sim, connect(sim) as luma:
        task = await luma.generate("a cat dances", aspect_ratio="1:1")

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
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(paths)


@pytest.mark.parametrize("what", ["raw", "thumbnail", "last_frame"])
async def test_the_other_files_of_a_job_can_be_downloaded(what: Any, tmp_path: Path) -> None:
    """Each kind of file has a name of its own."""
    async with small() as sim, connect(sim) as luma:
        path = await luma.download(await a_video(luma), tmp_path, what=what)

    start = path.read_bytes()[:12]
    assert start.startswith(b"\xff\xd8") if path.suffix == ".jpg" else start[4:8] == b"ftyp"
    assert what in path.name


@pytest.mark.parametrize("video", ["object", "text", "artifact", "raw", "assets", "reason"])
async def test_the_video_without_a_watermark_is_preferred(
    video: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The link may be in the video, the raw video, or its own call. The log reports the result."""
    caplog.set_level(logging.INFO, "luma_async")
    async with small(variant=Variant(video=video)) as sim, connect(sim) as luma:
        task = await a_video(luma)
        clean = await luma.download(task, tmp_path / "clean.mp4")
        marked = await luma.download(task, tmp_path / "marked.mp4", watermark_free=False)

        assert (clean.read_bytes() == marked.read_bytes()) is (video == "raw")
    size = clean.stat().st_size
    assert f"{clean} was downloaded ({size} bytes); it has no watermark." in caplog.text
    told = f"{marked} was downloaded ({marked.stat().st_size} bytes); it has a watermark."
    assert (told in caplog.text) is (video != "raw")


async def test_an_unavoidable_watermark_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway with neither the fields nor the call still delivers the video."""
    async with small(variant=Variant(video="text")) as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.explained(404, on=["link"]))

        path = await luma.download(task, tmp_path)

    assert sent(sim, "video.mp4")
    ours = (each for each in caplog.records if each.name == "luma_async")
    [warning] = [each for each in ours if each.levelname == "WARNING"]
    assert f"{path} has a watermark because there was no link without one: HTTP 404" in (
        warning.getMessage()
    )


async def test_progress_is_reported_in_bytes(tmp_path: Path) -> None:
    """The callback gets the bytes so far and the bytes in all."""
    reported: list[tuple[int, int | None]] = []
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        path = await luma.download(
            await a_video(luma),
            tmp_path,
            progress=lambda done, total: reported.append((done, total)),
        )

    size = path.stat().st_size
    assert reported[-1] == (size, size)
    assert [done for done, _ in reported] == sorted({done for done, _ in reported})


async def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    """Until then, its name does not exist; the part file has another name."""
    target = tmp_path / "cat.mp4"
    seen: list[list[str]] = []

    def look(*_: object) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))

    async with small(video_bytes=5 * MEGABYTE) as sim, connect(sim) as luma:
        sim.faults.add(Fault(on=["media"], after=True, cut_after=MEGABYTE))
        await luma.download(await a_video(luma), target, progress=look)

    assert len(seen) > 10
    assert all(names == ["cat.mp4.part", "cat.mp4.part.json"] for names in seen)
    assert list(tmp_path.iterdir()) == [target]


async def test_a_chunked_response_without_length_is_accepted(tmp_path: Path) -> None:
    """The end of the chunks marks the end of the file."""

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        await response.write(MP4)
        return response

    async with host(chunked) as url, LumaClient("k", base_url=url) as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4


async def test_the_suffix_is_that_of_the_content(tmp_path: Path) -> None:
    """In a folder, the name consists of the id and the suffix of the received content."""
    webm = b"\x1aE\xdf\xa3" + b"0" * 100

    async def other(request: web.Request) -> web.StreamResponse:
        data = {"/webm": webm, "/odd": b"\1\2\3" * 99}[request.path]
        headers = {"Content-Type": "video/x-matroska", "Content-Disposition": "filename=../x.exe"}
        return web.Response(body=data, headers=headers)

    async with host(other) as url, LumaClient("k", base_url=url) as luma:
        known = await luma.download(at(f"{url}/webm"), tmp_path)
        unknown = await luma.download(at(f"{url}/odd"), f"{tmp_path}/odd/")

    assert (known.name, unknown.name) == ("job-1.webm", "job-1.mkv")


async def test_an_existing_file_is_not_replaced_by_default(tmp_path: Path) -> None:
    """The error comes before the job is awaited, and nothing is requested."""
    taken = tmp_path / "cat.mp4"
    taken.write_bytes(b"mine")
    async with small(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat dances", aspect_ratio="1:1")

        with pytest.raises(DownloadError, match=r"cat\.mp4 already exists.*overwrite=True"):
            await luma.download(task, taken)
        assert not task.done()
        assert taken.read_bytes() == b"mine"
        sim.advance(HOUR)
        await luma.download(task, tmp_path)
        with pytest.raises(DownloadError, match=f"{task.id}.mp4 already exists"):
            await luma.download(task, tmp_path)

        await luma.download(task, taken, overwrite=True)

    assert taken.stat().st_size > 1000


async def test_a_file_created_during_the_download_is_not_replaced(tmp_path: Path) -> None:
    """The name is checked atomically when the part file is renamed."""
    target = tmp_path / "cat.mp4"
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)

        with pytest.raises(DownloadError, match="already exists"):
            await luma.download(task, target, progress=lambda *_: target.write_bytes(b"mine"))

    assert target.read_bytes() == b"mine"


async def test_a_download_that_had_hardly_begun_leaves_nothing_when_cancelled(
    tmp_path: Path,
) -> None:
    """An empty part file is removed."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.slow(math.inf, on=["media"]))
        download = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until(lambda: any(tmp_path.iterdir()))

        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download

    assert list(tmp_path.iterdir()) == []


async def test_an_error_of_the_progress_callback_is_raised_unchanged(tmp_path: Path) -> None:
    """Even `TimeoutError` is not mistaken for an error of the host, and there is no retry."""

    def slow(*_: object) -> None:
        raise TimeoutError

    calls = 0

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(count) as url, LumaClient("k", base_url=url) as luma:
        with pytest.raises(TimeoutError):
            await luma.download(at(url), tmp_path, progress=slow)

    assert calls == 1


async def test_a_progress_function_may_be_async(tmp_path: Path) -> None:
    """It is awaited one call at a time, merges what it is too slow for, and gets the last report.

    The transfer goes on while it runs, also while it is the first report.
    """
    reported: list[tuple[int, int | None]] = []
    running = 0
    target = tmp_path / "cat.mp4"

    async def until_all_is_there(done: int, total: int | None) -> None:
        nonlocal running
        running += 1
        assert running == 1
        reported.append((done, total))
        part = tmp_path / "cat.mp4.part"
        await until(lambda: part.stat().st_size == total)
        running -= 1

    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        await luma.download(await a_video(luma), target, progress=until_all_is_there)

    size = target.stat().st_size
    assert [reported[0][0], reported[-1]] == [0, (size, size)]
    assert len(reported) == 2


async def test_an_error_of_an_async_progress_function_ends_the_download(tmp_path: Path) -> None:
    """It is raised as it is, also from the last call, and the part file stays."""

    async def fail(done: int, total: int | None) -> None:
        await asyncio.sleep(0)
        if done == total:
            raise RuntimeError("no such message")

    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        with pytest.raises(RuntimeError, match="no such message"):
            await luma.download(await a_video(luma), tmp_path / "cat.mp4", progress=fail)

    assert [path.name for path in tmp_path.glob("*.part")] == ["cat.mp4.part"]
    assert not (tmp_path / "cat.mp4").exists()


async def test_a_progress_function_that_hangs_ends_with_its_download(tmp_path: Path) -> None:
    """Closing the client cancels both, and no asyncio task is left."""
    begun = asyncio.Event()
    ended: list[str] = []

    async def hang(done: int, total: int | None) -> None:
        begun.set()
        try:
            await asyncio.sleep(HOUR)
        finally:
            ended.append("cancelled")

    async with small(video_bytes=MEGABYTE) as sim:
        async with connect(sim) as luma:
            task = await a_video(luma)
            downloading = asyncio.create_task(luma.download(task, tmp_path, progress=hang))
            await begun.wait()
        with pytest.raises(ClientClosedError):
            await downloading

    assert ended == ["cancelled"]


async def test_downloads_end_at_once_when_the_client_closes(tmp_path: Path) -> None:
    """At any moment the error is `ClientClosedError`, and submissions do not delay it."""
    ended: list[object] = []
    async with small(video_bytes=MEGABYTE // 2) as sim:
        async with connect(sim) as luma:
            task = await a_video(luma)
            await luma.download(task, tmp_path / "reference.mp4")
        sim.faults.add(Fault.slow(math.inf))
        for steps in range(0, 100, 20):
            luma = connect(sim, timeout=HOUR)
            downloads = [
                asyncio.create_task(luma.download(task.generation, tmp_path / f"{steps}-{n}.mp4"))
                for n in range(6)
            ]
            submission = asyncio.create_task(luma.generate("a dog"))
            for _ in range(steps):
                await asyncio.sleep(0)
            closing = asyncio.create_task(luma.aclose())
            async with asyncio.timeout(60):
                ended += await asyncio.gather(*downloads, return_exceptions=True)
            submission.cancel()
            sim.faults.clear()
            await asyncio.gather(submission, closing, return_exceptions=True)
            sim.faults.add(Fault.slow(math.inf))

    assert {type(each) for each in ended} <= {ClientClosedError, type(tmp_path)}
    assert ClientClosedError in {type(each) for each in ended}


async def test_a_closed_client_downloads_no_more(tmp_path: Path) -> None:
    """Running downloads, and downloads that wait for a slot, end with `ClientClosedError`."""
    part = tmp_path / "0.mp4.part"
    async with small(video_bytes=2 * MEGABYTE) as sim:
        luma = connect(sim, max_downloads=1)
        task = await a_video(luma)
        sim.faults.add(media(bytes_per_second=50_000))
        downloads = [
            asyncio.create_task(luma.download(task, tmp_path / f"{number}.mp4"))
            for number in range(2)
        ]
        await until(lambda: part.exists() and part.stat().st_size > 10_000)

        await luma.aclose()
        ended = await asyncio.gather(*downloads, return_exceptions=True)
        later = await asyncio.gather(
            luma.download(task.generation, tmp_path / "2.mp4"), return_exceptions=True
        )

    assert [type(each) for each in (*ended, *later)] == [ClientClosedError] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4.part", "0.mp4.part.json"]


async def test_downloads_wait_for_a_slot_and_do_not_block_polling(
    tmp_path: Path,
) -> None:
    """At most `max_downloads` files are downloaded at once, and polls continue beside them."""
    most = 0

    def count(*_: object) -> None:
        nonlocal most
        most = max(most, len(list(tmp_path.glob("*.part"))))

    async with small() as sim, connect(sim, max_requests=2, max_downloads=3) as luma:
        task = await a_video(luma)
        await reference(luma, task, tmp_path)
        sim.faults.add(Fault.slow(math.inf, on=["media"]))
        downloads = [
            asyncio.create_task(luma.download(task, tmp_path / f"{n}.mp4", progress=count))
            for n in range(8)
        ]
        await until(lambda: len(list(tmp_path.glob("*.part"))) == 3)
        await luma.get(task.id)

        assert not any(each.done() for each in downloads)
        count()
        sim.faults.clear()
        await asyncio.gather(*downloads)

    assert most == 3
    assert len(list(tmp_path.glob("*.mp4"))) == 8


async def test_a_download_resumes_after_the_disk_was_full(
    tmp_path: Path,
) -> None:
    """The error names the file and the reason."""
    with small_disk(tmp_path / "disk", kilobytes=600) as disk:
        async with small(video_bytes=MEGABYTE // 2) as sim, connect(sim) as luma:
            task = await a_video(luma)
            whole = await reference(luma, task, tmp_path)
            filler = disk / "filler"
            filler.write_bytes(b"0" * 300_000)

            with pytest.raises(DownloadError, match=r"cat\.mp4\.part: No space left on device"):
                await luma.download(task, disk / "cat.mp4")
            filler.unlink()
            path = await luma.download(task, disk / "cat.mp4")

        assert path.read_bytes() == whole


async def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    """The folder of the path is a file."""
    (tmp_path / "file").write_text("x")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(
            DownloadError, match=r"cannot be written to .*cat\.mp4\.part: .*file is not a folder"
        ):
            await luma.download(await a_video(luma), tmp_path / "file" / "cat.mp4")


async def test_an_empty_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is mostly a variable that is not set. It is neither the current folder nor the root."""
    monkeypatch.chdir(tmp_path)
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        with pytest.raises(DownloadError, match="must not be empty"):
            await luma.download(task, "")
        with pytest.raises(DownloadError, match="must not be empty"):
            await luma.download_outputs(task, "")
        with pytest.raises(DownloadError, match="must not be empty"):
            luma.download_all([task], "")

    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/{task.id}.mp4").exists()


@pytest.mark.parametrize("length", [240, 246, 255])
async def test_a_name_may_be_as_long_as_the_disk_allows(length: int, tmp_path: Path) -> None:
    """The names of the part file and its note are shortened if necessary."""
    path = tmp_path / ("n" * (length - 4) + ".mp4")
    async with small() as sim, connect(sim) as luma:
        assert await luma.download(await a_video(luma), path) == path

    assert list(tmp_path.iterdir()) == [path]


async def test_an_invalid_name_or_kind_of_file_is_an_error(tmp_path: Path) -> None:
    """The error comes before the job is awaited."""
    async with small(durations=Fixed(HOUR)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat", aspect_ratio="1:1")

        with pytest.raises(DownloadError, match="is not a valid file name"):
            await luma.download(task, f"{tmp_path}/a\0b.mp4")
        with pytest.raises(InvalidRequestError, match=r"what: must be one of output, .* got 'gif'"):
            await luma.download(task, tmp_path, what="gif")  # type: ignore[arg-type]
        (tmp_path / f"{task.id}.mp4").mkdir()
        with pytest.raises(DownloadError, match="already exists and is not a file"):
            await luma.download(task, tmp_path)
        assert not task.done()


async def test_files_with_the_same_stem_are_not_taken_for_the_video(tmp_path: Path) -> None:
    """The user has an image with the name of the job."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        (tmp_path / f"{task.id}.jpg").write_text("an image")

        assert (await luma.download(task, tmp_path)).suffix == ".mp4"


async def test_a_failed_job_has_nothing_to_download(tmp_path: Path) -> None:
    """The job's failure is raised, not a missing file."""
    async with small(failure_rate=1.0) as sim, connect(sim) as luma:
        with pytest.raises(GenerationFailedError):
            await luma.download(await luma.generate("a cat"), tmp_path)


async def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """Not every gateway provides every file."""
    async with small(variant=Variant(video="text")) as sim, connect(sim) as luma:
        task = await a_video(luma)

        with pytest.raises(DownloadError, match=f"last_frame of job {task.id} .completed. "):
            await luma.download(task, tmp_path, what="last_frame")


IDS = [
    "../../x",
    "..",
    "/etc/passwd",
    "con",
    "CON",
    "nul.txt",
    "x" * 300,
    "a\nb\0c\x1b[31m",
    "",
    ".",
]


@pytest.mark.parametrize("id", IDS, ids=repr)
async def test_no_name_points_outside_its_folder(id: str, tmp_path: Path) -> None:
    """Job ids and headers of any content are safe."""

    async def rude(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Disposition": 'attachment; filename="../../evil.sh"'}
        return web.Response(body=MP4, headers=headers, content_type="video/mp4")

    folder = tmp_path / "videos"
    async with host(rude) as url, LumaClient("k", base_url=url) as luma:
        video = at(url).model_copy(update={"id": id})
        path = await luma.download(video, f"{folder}/")

    assert path.parent == folder
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    assert path.name.isascii()
    assert path.name.isprintable()
    assert len(path.name) < 120
    assert path.stem.split(".")[0].lower() not in ("con", "nul", "")
