"""Interrupted downloads are resumed if the server still has the same version."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web

from luma_async import Asset, DownloadError, Generation, LumaClient, State
from luma_async.simulator import Fault, Fixed
from luma_async.testing import running_simulator
from tests.clients import connect, until
from tests.loops import skip
from tests.media.hosts import MEGABYTE, MP4, a_video, at, host, media, reference, sent, sha, small
from tests.platforms import needs_posix


async def test_each_byte_is_sent_once_despite_lost_connections(tmp_path: Path) -> None:
    """The connection ends after every megabyte, and only the rest is requested."""
    async with small(video_bytes=4_500_000) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(cut_after=MEGABYTE))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert sha(path.read_bytes()) == sha(whole)
    steps = [*range(0, len(whole), MEGABYTE), len(whole)]
    assert sent(sim) == list(itertools.pairwise(steps))
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 121


@pytest.mark.parametrize(
    "fault", [{"ranges": False}, {"validators": False}], ids=["no ranges", "no version"]
)
async def test_a_server_without_ranges_sends_the_whole_file_again(
    fault: dict[str, bool], tmp_path: Path
) -> None:
    """The file is the same without ranges, and without headers that identify its version."""
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(**fault), media(times=1, cut_after=MEGABYTE, **fault))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert sent(sim) == [(0, MEGABYTE), (0, len(whole))]


async def test_another_version_starts_over(tmp_path: Path) -> None:
    """If the file changes during the download, no bytes of the first version are in the result."""
    other = MP4 + struct.pack(">I4s", 8 + 2_100_000, b"free") + b"another" * 300_000
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(media(times=1, cut_after=MEGABYTE))
        change: asyncio.Task[None] | None = None

        async def replace() -> None:
            await sim.replace_file(task.id, "clean.mp4", other)
            sim.faults.clear()

        def once_begun(done: int, total: int | None) -> None:
            nonlocal change
            if change is None and done > 500_000:
                sim.faults.add(Fault.slow(math.inf, on=["media"]))  # the next request waits for it
                change = asyncio.get_running_loop().create_task(replace())

        path = await luma.download(task, tmp_path / "cat.mp4", progress=once_begun)

    assert change is not None
    assert path.read_bytes() == other
    assert sent(sim) == [(0, MEGABYTE), (0, len(other))]


async def test_a_link_that_expires_during_the_download_is_replaced(tmp_path: Path) -> None:
    """The new link leads to the same file, so the download is resumed."""
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(times=1, cut_after=MEGABYTE))
        expired = False

        def expire(done: int, total: int | None) -> None:
            nonlocal expired
            if not expired:
                expired = True
                sim.faults.add(Fault.page(403, on=["media"], times=2))

        path = await luma.download(task, tmp_path / "cat.mp4", progress=expire)

        assert sim.ledger.requests["link"] == 1
    assert path.read_bytes() == whole
    assert sent(sim) == [(0, MEGABYTE), (MEGABYTE, len(whole))]


async def test_links_may_expire_any_number_of_times(tmp_path: Path) -> None:
    """New links are requested as long as there is progress."""
    async with small(video_bytes=4 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(cut_after=300_000))
        sim.faults.add(Fault.page(403, on=["media"], share=0.5))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert [start for start, _ in sent(sim)] == list(range(0, len(whole), 300_000))


async def test_a_silent_host_is_requested_again(tmp_path: Path) -> None:
    """After `timeout` seconds without a byte, the download is resumed."""
    calls: list[str] = []

    async def silent(request: web.Request) -> web.StreamResponse:
        calls.append(request.headers.get("Range", ""))
        if len(calls) > 1:
            start = int(calls[-1].removeprefix("bytes=").removesuffix("-"))
            said = f"bytes {start}-{len(MP4) - 1}/{len(MP4)}"
            headers = {"Content-Range": said, "ETag": '"1"'}
            return web.Response(status=206, body=MP4[start:], headers=headers)
        response = web.StreamResponse(headers={"ETag": '"1"', "Content-Type": "video/mp4"})
        response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000])
        await asyncio.Event().wait()
        return response

    reported: list[int] = []
    async with host(silent) as url, LumaClient("k", base_url=url, timeout=30.0) as luma:
        download = asyncio.create_task(
            luma.download(at(url), tmp_path, progress=lambda done, _: reported.append(done))
        )
        await until(lambda: reported)
        await asyncio.sleep(0.1)
        assert not download.done()
        skip(32.0)
        path = await download

    assert path.read_bytes() == MP4
    assert calls == ["", "bytes=1000-"]


STRANGE: dict[str, dict[str, str]] = {
    "another start": {"Content-Range": "bytes 900-4127/4128", "ETag": '"1"'},
    "another length": {"Content-Range": "bytes 1000-5127/5128", "ETag": '"1"'},
    "another version": {"Content-Range": "bytes 1000-4127/4128", "ETag": '"2"'},
    "no range": {"ETag": '"1"'},
    "nonsense": {"Content-Range": "lines 1-2/3", "ETag": '"1"'},
}


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("kind", STRANGE)
async def test_a_wrong_range_is_rejected(kind: str, tmp_path: Path) -> None:
    """The whole file is requested instead."""
    assert len(MP4) == 4128
    calls: list[str] = []

    async def strange(request: web.Request) -> web.StreamResponse:
        calls.append(request.headers.get("Range", ""))
        if calls[-1]:
            return web.Response(status=206, body=b"wrong" * 900, headers=STRANGE[kind])
        response = web.StreamResponse(headers={"ETag": '"1"', "Content-Type": "video/mp4"})
        response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000] if len(calls) == 1 else MP4)
        if len(calls) == 1 and request.transport is not None:
            request.transport.close()
        return response

    async with host(strange) as url, LumaClient("k", base_url=url) as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4
    assert calls == ["", "bytes=1000-", ""]


async def test_a_server_may_send_a_shorter_range(tmp_path: Path) -> None:
    """The next request asks for the bytes that are still missing."""

    async def thrifty(request: web.Request) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        end = min(start + 1500, len(MP4))
        headers = {"ETag": '"1"', "Content-Range": f"bytes {start}-{end - 1}/{len(MP4)}"}
        return web.Response(status=206, body=MP4[start:end], headers=headers)

    async with host(thrifty) as url, LumaClient("k", base_url=url) as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4


RANGES: dict[str, tuple[str, int]] = {
    "more than the file has": ("bytes 1000-4119/4120", 9000),
    "up to somewhere, of how much it does not say": ("bytes 1000-2000/*", 1001),
    "with numbers that nobody has": (f"bytes 1000-{'9' * 5000}/{'9' * 5000}", 3120),
}


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("kind", RANGES)
async def test_a_range_with_a_wrong_end_is_rejected(kind: str, tmp_path: Path) -> None:
    """Too many bytes are an error; if the end is unknown, the whole file is requested."""
    said, size = RANGES[kind]

    async def odd(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            headers = {"Content-Range": said, "ETag": '"1"'}
            return web.Response(status=206, body=b"x" * size, headers=headers)
        response = web.StreamResponse(headers={"ETag": '"1"', "Content-Type": "video/mp4"})
        if "*" not in said:
            response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with host(odd) as url, LumaClient("k", base_url=url, max_tries=3) as luma:
        with pytest.raises(DownloadError, match="did not arrive"):
            await luma.download(at(url), tmp_path)

    assert not list(tmp_path.glob("*.mp4"))


async def test_a_range_of_unknown_length_is_rejected(tmp_path: Path) -> None:
    """The server sends a range that was not requested, without the length of the file."""

    async def odd(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Range": "bytes 0-999/*", "Content-Type": "video/mp4"}
        return web.Response(status=206, body=MP4[:1000], headers=headers)

    async with host(odd) as url, LumaClient("k", base_url=url) as luma:
        with pytest.raises(DownloadError, match="a range that was not requested"):
            await luma.download(at(url), tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_another_date_means_another_version(tmp_path: Path) -> None:
    """The server does not support `If-Range`."""
    dates = ["Sat, 21 Nov 2026 12:00:00 GMT", "Sat, 21 Nov 2026 13:00:00 GMT"]
    calls: list[str] = []
    other = MP4[:1000] + (b"other" * 626)[:3128]

    async def careless(request: web.Request) -> web.StreamResponse:
        calls.append(request.headers.get("Range", ""))
        headers = {"Last-Modified": dates[min(len(calls) - 1, 1)], "Content-Type": "video/mp4"}
        if calls[-1]:
            headers["Content-Range"] = f"bytes 1000-{len(other) - 1}/{len(other)}"
            return web.Response(status=206, body=other[1000:], headers=headers)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000] if len(calls) == 1 else other)
        if len(calls) == 1 and request.transport is not None:
            request.transport.close()
        return response

    async with host(careless) as url, LumaClient("k", base_url=url) as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == other
    assert calls == ["", "bytes=1000-", ""]


async def test_videos_with_and_without_a_watermark_are_not_mixed(tmp_path: Path) -> None:
    """Both have the same length, date and place."""
    date = {"Last-Modified": "Sat, 21 Nov 2026 12:00:00 GMT", "Content-Type": "video/mp4"}
    marked = MP4[:1000] + (b"marks" * 626)[:3128]
    calls: list[str] = []

    async def one_place(request: web.Request) -> web.StreamResponse:
        calls.append(f"{request.query_string} {request.headers.get('Range', '')}")
        if "marked" in request.query_string:
            return web.Response(body=marked, headers=date)
        if len(calls) > 1:
            return web.Response(status=403)
        response = web.StreamResponse(headers=date)
        response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with host(one_place) as url, LumaClient("k", base_url=url, max_tries=1) as luma:
        both = Asset(url=f"{url}/v?marked", download_url=f"{url}/v?clean")
        video = Generation(id="job-1", state=State.COMPLETED, video=both)
        with pytest.raises(DownloadError):
            await luma.download(video, tmp_path)
        path = await luma.download(video, tmp_path)

    assert path.read_bytes() == marked
    assert "marked " in calls


async def test_a_part_file_that_contradicts_the_server_is_dropped(tmp_path: Path) -> None:
    """After a wrong length, the next call starts from the beginning."""
    async with small() as sim, connect(sim, max_tries=2) as luma:
        task = await a_video(luma)
        sim.faults.add(media(miscounts=1000))
        with pytest.raises(DownloadError, match="but reported another length before"):
            await luma.download(task, tmp_path)
        assert list(tmp_path.iterdir()) == []

        sim.faults.clear()
        assert (await luma.download(task, tmp_path)).stat().st_size > 1000


async def test_an_etag_that_cannot_be_sent_back_is_ignored(tmp_path: Path) -> None:
    """The error does not promise that the download can be resumed."""

    async def latin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": '"caf\u00e9"', "Content-Type": "video/mp4"})
        response.content_length = len(MP4)
        await response.prepare(request)
        await response.write(MP4[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async with host(latin) as url, LumaClient("k", base_url=url, max_tries=1) as luma:
        with pytest.raises(DownloadError) as caught:
            await luma.download(at(url), tmp_path)

    assert "resumes there" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@needs_posix
async def test_a_removed_part_file_is_not_renamed(tmp_path: Path) -> None:
    """A part file of another program in its place is not renamed either."""
    target, part = tmp_path / "cat.mp4", tmp_path / "cat.mp4.part"
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)

        def remove(done: int, total: int | None) -> None:
            if done == total:
                part.unlink(missing_ok=True)
                part.write_bytes(b"of somebody else")

        with pytest.raises(DownloadError, match="was removed or replaced"):
            await luma.download(task, target, progress=remove)

    assert not target.exists()
    assert part.read_bytes() == b"of somebody else"


@pytest.mark.parametrize("dangling", [False, True])
async def test_a_part_file_that_is_a_symbolic_link_is_not_followed(
    dangling: bool, tmp_path: Path
) -> None:
    """The target of the link is not changed."""
    (tmp_path / "videos").mkdir()
    precious = tmp_path / "precious.txt"
    if not dangling:
        precious.write_text("precious")
    (tmp_path / "videos" / "cat.mp4.part").symlink_to(precious)
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="cannot be written"):
            await luma.download(await a_video(luma), tmp_path / "videos" / "cat.mp4")

    assert precious.exists() is not dangling
    assert dangling or precious.read_text() == "precious"


async def test_a_foreign_part_file_stays_until_content_arrives(
    tmp_path: Path,
) -> None:
    """A download without content does not remove the part file of another program or job."""
    part = tmp_path / "cat.mp4.part"
    part.write_bytes(b"half of something")
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.page(404, on=["media"]))

        with pytest.raises(DownloadError, match="HTTP 404"):
            await luma.download(task, tmp_path / "cat.mp4")

    assert part.read_bytes() == b"half of something"


@needs_posix
@pytest.mark.parametrize("name", ["cat.mp4.part", "cat.mp4.part.json"])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "device"])
async def test_a_part_file_or_note_that_is_not_regular_is_rejected(
    kind: str, name: str, tmp_path: Path
) -> None:
    """The error comes at once, and nothing is changed."""
    place, precious = tmp_path / name, tmp_path / "precious.txt"
    precious.write_text("{}")
    match kind:
        case "link":
            place.symlink_to(precious)
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case "device":
            place.symlink_to("/dev/zero")  # to make one takes a privilege
    async with small() as sim, connect(sim) as luma:
        async with asyncio.timeout(60):
            with pytest.raises(DownloadError, match=f"{name} is not a regular file"):
                await luma.download(await a_video(luma), tmp_path / "cat.mp4")

    assert precious.read_text() == "{}"
    assert {path.name for path in tmp_path.iterdir()} == {name, "precious.txt"}


async def test_a_cancelled_download_releases_its_lock(tmp_path: Path) -> None:
    """After any number of cancellations at any moment, the next download begins at once."""
    async with small(video_bytes=MEGABYTE // 2) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        for steps in range(0, 120, 3):
            target = tmp_path / f"{steps}.mp4"
            first = asyncio.create_task(luma.download(task, target))
            for _ in range(steps):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

            again = await luma.download(task, target, overwrite=True)
            assert again.read_bytes() == whole
    assert not list(tmp_path.glob("*.part*"))


async def test_a_cancelled_download_is_resumed(tmp_path: Path) -> None:
    """Received bytes are kept, and no file stays open."""
    part = tmp_path / "cat.mp4.part"
    async with small(video_bytes=2 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(bytes_per_second=50_000))
        download = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until(lambda: part.exists() and part.stat().st_size > 10_000)

        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        kept = part.stat().st_size
        sim.faults.clear()
        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert [each for each in sent(sim) if each[0] > 0] == [(kept, len(whole))]
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_download_is_resumed(tmp_path: Path) -> None:
    """After SIGKILL, the same call requests the rest, and the file is complete."""
    part, target = tmp_path / "cat.mp4.part", tmp_path / "cat.mp4"
    settings: dict[str, Any] = {"durations": Fixed(0.1), "video_bytes": 3 * MEGABYTE}

    async def make(url: str) -> str:
        async with LumaClient("sk-simulated", base_url=url) as luma:
            return (await a_video(luma)).id

    async def download(url: str, id: str, path: Path) -> bytes:
        async with LumaClient("sk-simulated", base_url=url) as luma:
            return (await luma.download(id, path)).read_bytes()

    with running_simulator(short_side=90, **settings) as sim:
        id = asyncio.run(make(sim.url))
        whole = asyncio.run(download(sim.url, id, tmp_path / "reference.mp4"))
        sim.ledger.sent.clear()
        sim.faults.add(media(bytes_per_second=MEGABYTE // 10))
        program = [sys.executable, "-m", "tests.media.downloader", sim.url, id, str(target)]
        with subprocess.Popen(program) as process:
            asyncio.run(until(lambda: part.exists() and part.stat().st_size > 50_000))
            process.kill()
        assert not target.exists()
        kept = part.stat().st_size
        sim.faults.clear()

        again = asyncio.run(download(sim.url, id, target))

    assert again == whole
    assert kept > 50_000
    assert [each for each in sent(sim) if each[0] > 0] == [(kept, len(whole))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.mp4", "reference.mp4"]


async def test_a_complete_part_file_is_only_renamed(tmp_path: Path) -> None:
    """The process was killed before the rename, and no byte is requested again."""
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(media(times=1, cut_after=MEGABYTE // 2))
        with pytest.raises(ZeroDivisionError):
            await luma.download(
                task, tmp_path / "cat.mp4", progress=lambda done, _: 1 // (done < 400_000)
            )
        part = tmp_path / "cat.mp4.part"
        reference_path = await luma.download(task, tmp_path / "reference.mp4")
        part.write_bytes(reference_path.read_bytes())
        sim.ledger.sent.clear()

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == reference_path.read_bytes()
    assert sent(sim) == []


LEFT_OVERS: dict[str, Callable[[Path], object]] = {
    "no note": lambda note: note.unlink(),
    "half a note": lambda note: note.write_text('{"of": "'),
    "no object": lambda note: note.write_text("[]"),
    "odd note": lambda note: note.write_text('{"of": 7, "place": [], "etag": {}}'),
    "of another file": lambda note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "of": "another/video"})
    ),
    "longer than it says": lambda note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "length": 10})
    ),
    "header in the note": lambda note: note.write_text(
        json.dumps({**json.loads(note.read_text()), "etag": '"a\r\nX: y"'})
    ),
}


@pytest.mark.parametrize("kind", LEFT_OVERS)
async def test_a_part_file_without_a_valid_note_is_not_resumed(kind: str, tmp_path: Path) -> None:
    """The result is the server's file, for any content of the part file and note."""
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        with pytest.raises(ZeroDivisionError):
            await luma.download(
                task, tmp_path / "cat.mp4", progress=lambda done, _: 1 // (done < 400_000)
            )
        note = tmp_path / "cat.mp4.part.json"
        LEFT_OVERS[kind](note)
        sim.ledger.sent.clear()

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert sent(sim) == [(0, len(whole))]
    assert list(tmp_path.iterdir()) == [path]


async def test_a_part_file_with_both_names_is_not_written_to(tmp_path: Path) -> None:
    """The process was killed during the rename, and the complete file stays unchanged."""
    target, part = tmp_path / "cat.mp4", tmp_path / "cat.mp4.part"
    async with small() as sim, connect(sim, max_tries=1) as luma:
        task = await a_video(luma)
        await luma.download(task, target)
        before = target.read_bytes()
        part.hardlink_to(target)
        sim.faults.add(media(cut_after=5000))

        with pytest.raises(DownloadError, match="did not arrive"):
            await luma.download(task, target, overwrite=True)

    assert target.read_bytes() == before


async def test_one_file_is_written_by_one_download(tmp_path: Path) -> None:
    """A second download of the same client finds the file; one of another client is rejected."""
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma, connect(sim) as other:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.faults.add(Fault.slow(math.inf, on=["media"]))
        first = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until((tmp_path / "cat.mp4.part").exists)

        with pytest.raises(DownloadError, match="is being written by another download"):
            await other.download(task.id, tmp_path / "cat.mp4")
        sim.faults.clear()
        with pytest.raises(DownloadError, match="already exists"):
            await luma.download(task, tmp_path / "cat.mp4")

        assert (await first).read_bytes() == whole
    assert len(sent(sim)) == 2


async def test_a_login_page_does_not_replace_received_bytes(tmp_path: Path) -> None:
    """The bytes are kept for the next download."""
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim, max_tries=1) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(times=1, cut_after=MEGABYTE))
        is_first = True

        def login(*_: object) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                sim.faults.add(Fault.page(200, on=["media"]))

        with pytest.raises(DownloadError, match=f"1000000 bytes are in {tmp_path}/cat.mp4.part"):
            await luma.download(task, tmp_path / "cat.mp4", progress=login)
        sim.faults.clear()
        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert sent(sim) == [(0, MEGABYTE), (MEGABYTE, len(whole))]
