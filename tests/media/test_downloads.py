"""Downloads: a file that is whole, or not there; what was cut off goes on where it was."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web

from luma_async import (
    Asset,
    ClientClosedError,
    DownloadError,
    Generation,
    GenerationFailedError,
    LumaClient,
    State,
    VideoTask,
)
from luma_async.simulator import Fault, Fixed, Simulator, Variant
from luma_async.testing import running_simulator
from tests.clients import KEY, connect, until
from tests.disks import small_disk

MEGABYTE = 10**6


def small(**settings: Any) -> Simulator:
    return Simulator(durations=Fixed(0.1), short_side=90, **settings)


async def a_video(luma: LumaClient) -> VideoTask:
    task = await luma.generate("a cat dances", aspect_ratio="1:1")
    await task
    return task


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def media(**fields: Any) -> Fault:
    return Fault(on=["media"], after=True, **fields)


async def reference(luma: LumaClient, task: VideoTask, folder: Path) -> bytes:
    """Return the video as it is where nothing goes wrong."""
    path = await luma.download(task, folder / "reference" / "cat.mp4")
    data = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    return data


def sent(sim: Simulator, name: str = "clean.mp4") -> list[tuple[int, int]]:
    """Return which bytes of a file were sent, in order."""
    return [
        each for key, ranges in sim.ledger.sent.items() if key.endswith(name) for each in ranges
    ]


@asynccontextmanager
async def host(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Run a media host of a test's own."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def at(url: str, **fields: Any) -> Generation:
    """Return a finished job whose video is at a link."""
    asset = Asset(url=url, download_url=url)
    return Generation(id="job-1", state=State.COMPLETED, video=asset, **fields)


MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\x10\x08mdat" + bytes(range(256)) * 16


async def test_any_source_can_be_downloaded(tmp_path: Path) -> None:
    """A handle on its way, a generation or an id; folders that do not exist are made."""
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
async def test_the_other_files_of_a_job_can_be_had(what: Any, tmp_path: Path) -> None:
    """Each under its own name."""
    async with small() as sim, connect(sim) as luma:
        path = await luma.download(await a_video(luma), tmp_path, what=what)

    start = path.read_bytes()[:12]
    assert start.startswith(b"\xff\xd8") if path.suffix == ".jpg" else start[4:8] == b"ftyp"
    assert what in path.name


@pytest.mark.parametrize("video", ["object", "text", "artifact", "raw", "assets"])
async def test_the_video_without_a_watermark_is_preferred(
    video: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever the link is: in the video, the raw one, or at its own call. The log says which."""
    caplog.set_level(logging.INFO, "luma_async")
    async with small(variant=Variant(video=video)) as sim, connect(sim) as luma:
        task = await a_video(luma)
        clean = await luma.download(task, tmp_path / "clean.mp4")
        marked = await luma.download(task, tmp_path / "marked.mp4", watermark_free=False)

        assert (clean.read_bytes() == marked.read_bytes()) is (video == "raw")
    assert f"{clean} has no watermark" in caplog.text
    assert (f"{marked} has a watermark" in caplog.text) is (video != "raw")


async def test_a_watermark_that_could_not_be_avoided_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway with neither the fields nor the call: the video comes all the same."""
    async with small(variant=Variant(video="text")) as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.explained(404, on=["link"]))

        path = await luma.download(task, tmp_path)

    assert sent(sim, "video.mp4")
    [warning] = [each for each in caplog.records if each.levelname == "WARNING"]
    assert f"{path} has a watermark, for there was no link without one: HTTP 404" in (
        warning.getMessage()
    )


async def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    """So many so far, so many in all."""
    told: list[tuple[int, int | None]] = []
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        path = await luma.download(
            await a_video(luma), tmp_path, progress=lambda done, total: told.append((done, total))
        )

    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


async def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    """At no moment before does its name hold anything; the part has a name of its own."""
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


async def test_a_server_that_cuts_sends_each_byte_once(tmp_path: Path) -> None:
    """Every ten megabytes the connection ends: the rest is asked for, and nothing twice."""
    async with small(video_bytes=45 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(Fault(on=["media"], after=True, cut_after=10 * MEGABYTE))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert sha(path.read_bytes()) == sha(whole)
    steps = [*range(0, len(whole), 10 * MEGABYTE), len(whole)]
    assert sent(sim) == list(itertools.pairwise(steps))
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 121


@pytest.mark.parametrize(
    "fault", [{"ranges": False}, {"validators": False}], ids=["no ranges", "no version"]
)
async def test_a_server_that_cannot_go_on_starts_over(
    fault: dict[str, bool], tmp_path: Path
) -> None:
    """Without ranges, or without a word on which version it sends: the same file in the end."""
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(**fault), media(times=1, cut_after=MEGABYTE, **fault))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert sent(sim) == [(0, MEGABYTE), (0, len(whole))]


async def test_another_version_starts_over(tmp_path: Path) -> None:
    """The file changed while it came: nothing of the first version is in the result."""
    other = MP4 + struct.pack(">I4s", 8 + 2_100_000, b"free") + b"another" * 300_000
    async with small(video_bytes=3 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(media(times=1, cut_after=MEGABYTE))
        change: asyncio.Task[None] | None = None

        def once_begun(done: int, total: int | None) -> None:
            nonlocal change
            if change is None and done > 500_000:
                new = sim.replace_file(task.id, "clean.mp4", other)
                change = asyncio.get_running_loop().create_task(new)

        sim.faults.add(Fault.slow(0.2, on=["media"]))
        path = await luma.download(task, tmp_path / "cat.mp4", progress=once_begun)

    assert change is not None
    assert path.read_bytes() == other
    assert sent(sim) == [(0, MEGABYTE), (0, len(other))]


async def test_a_link_that_expires_on_the_way_is_asked_for_again(tmp_path: Path) -> None:
    """The new one leads to the same file, so the download goes on where it was."""
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


async def test_a_link_may_expire_more_often_than_there_are_others(tmp_path: Path) -> None:
    """As long as each brings something, there is a next one."""
    async with small(video_bytes=4 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(cut_after=300_000))
        sim.faults.add(Fault.page(403, on=["media"], share=0.5))

        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert [start for start, _ in sent(sim)] == list(range(0, len(whole), 300_000))


async def test_links_of_a_job_that_is_long_done_have_expired(tmp_path: Path) -> None:
    """A generation that was kept for a day still leads to its video."""
    async with small(link_lifetime=0.0) as sim, connect(sim) as luma:
        video = await (await a_video(luma))
        sim._links._lifetime = 100.0

        clean = await luma.download(video, tmp_path / "a.mp4")
        looked = sim.ledger.requests["get"]
        await luma.download(video, tmp_path, what="thumbnail")

        assert sim.ledger.requests["link"] == 1
        assert sim.ledger.requests["get"] == looked + 1
        assert clean.stat().st_size > 1000


async def test_where_every_link_is_refused_the_error_says_what_was_tried(tmp_path: Path) -> None:
    """With which job it is about, and nothing that a link is signed with."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.page(403, on=["media"]))

        with pytest.raises(DownloadError) as caught:
            await luma.download(task, tmp_path / "cat.mp4")

    told = str(caught.value)
    assert told.startswith(f"The video of generation {task.id} did not arrive: 127.0.0.1/media/")
    assert "answered HTTP 403; the link may have expired" in told
    assert "Expires" not in told
    assert list(tmp_path.iterdir()) == []


BAD_FILES: dict[str, tuple[Fault, str]] = {
    "page": (Fault.page(200, on=["media"]), "answered with text/html instead of a file"),
    "json": (Fault.answer(b"{}", on=["media"]), "with application/json instead of a file"),
    "page that says it is a video": (
        Fault(
            on=["media"],
            status=200,
            body=b"  <html>expired</html>",
            headers=(("Content-Type", "video/mp4"),),
        ),
        "with video/mp4 instead of a file",
    ),
    "anything": (
        Fault(
            on=["media"],
            status=200,
            body=b"anything",
            headers=(("Content-Type", "application/octet-stream"),),
        ),
        "with application/octet-stream instead of a file",
    ),
    "empty": (
        Fault(on=["media"], status=200, headers=(("Content-Type", "video/mp4"),)),
        "an empty file",
    ),
    "nothing": (Fault(on=["media"], status=204), "answered HTTP 204"),
    "cut": (Fault.cut(on=["media"]), "Server disconnected"),
    "busy": (Fault.explained(503, on=["media"]), "answered HTTP 503"),
    "shorter than it says": (
        Fault(on=["media"], after=True, miscounts=1000),
        "and not as many as it said before",
    ),
    "shorter than it says, without ranges": (
        Fault(on=["media"], after=True, miscounts=1000, ranges=False),
        "did not arrive",
    ),
    "cut short at its source": (
        Fault(on=["media"], after=True, miscounts=-1000),
        "has only the beginning of a video",
    ),
    "packed": (
        Fault(
            on=["media"],
            status=200,
            body=b"x" * 100,
            headers=(("Content-Encoding", "zstd"), ("Content-Type", "video/mp4")),
        ),
        "in an encoding that was not asked for",
    ),
    "redirect to a file": (
        Fault(on=["media"], status=302, headers=(("Location", "file:///etc/passwd"),)),
        "leads to what is no http(s) link",
    ),
    "redirect to data": (
        Fault(on=["media"], status=302, headers=(("Location", "data:video/mp4;base64,AAAA"),)),
        "leads to what is no http(s) link",
    ),
    "redirect to nowhere": (Fault(on=["media"], status=302), "answered HTTP 302"),
    "loop": (
        Fault(on=["media"], status=302, headers=(("Location", "?round"),)),
        "leads round in a circle",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
async def test_what_is_no_whole_video_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """No file under the name, none beside it, and what stood there before stays."""
    fault, problem = BAD_FILES[kind]
    target = tmp_path / "cat.mp4"
    target.write_bytes(b"the one before")
    async with small() as sim, connect(sim, max_tries=2) as luma:
        task = await a_video(luma)
        sim.faults.add(fault)

        with pytest.raises(DownloadError) as caught:
            await luma.download(task, target, overwrite=True)

    assert problem in str(caught.value)
    assert task.id in str(caught.value)
    assert target.read_bytes() == b"the one before"
    assert [path for path in tmp_path.iterdir() if path.suffix == ".mp4"] == [target]
    if fault.miscounts <= 0:
        assert list(tmp_path.iterdir()) == [target]


async def test_a_page_does_not_take_the_place_of_what_is_here(tmp_path: Path) -> None:
    """A hotel's login page in the middle: what had arrived is there for the next time."""
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


async def test_a_busy_host_is_asked_again_when_it_says(tmp_path: Path) -> None:
    """Not before its `Retry-After`."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.rate_limited(retry_after=1, on=["media"], times=1))
        began = asyncio.get_running_loop().time()

        await luma.download(task, tmp_path)

        assert asyncio.get_running_loop().time() - began >= 1.0


async def test_a_host_that_falls_silent_is_asked_again(tmp_path: Path) -> None:
    """After `timeout` seconds without a byte; the rest comes from where it was."""
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
        await asyncio.sleep(5)
        return response

    async with host(silent) as url, LumaClient("k", timeout=0.2) as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4
    assert calls == ["", "bytes=1000-"]


STRANGE: dict[str, dict[str, str]] = {
    "another start": {"Content-Range": "bytes 900-4127/4128", "ETag": '"1"'},
    "another length": {"Content-Range": "bytes 1000-5127/5128", "ETag": '"1"'},
    "another version": {"Content-Range": "bytes 1000-4127/4128", "ETag": '"2"'},
    "no range": {"ETag": '"1"'},
    "nonsense": {"Content-Range": "lines 1-2/3", "ETag": '"1"'},
}


@pytest.mark.parametrize("kind", STRANGE)
async def test_a_part_that_was_not_asked_for_is_not_taken(kind: str, tmp_path: Path) -> None:
    """All of the file is asked for instead."""
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

    async with host(strange) as url, LumaClient("k") as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4
    assert calls == ["", "bytes=1000-", ""]


async def test_a_server_may_send_less_than_was_asked_for(tmp_path: Path) -> None:
    """A part of the rest is a part of the file; the next request asks for what is still missing."""

    async def thrifty(request: web.Request) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        end = min(start + 1500, len(MP4))
        headers = {"ETag": '"1"', "Content-Range": f"bytes {start}-{end - 1}/{len(MP4)}"}
        return web.Response(status=206, body=MP4[start:end], headers=headers)

    async with host(thrifty) as url, LumaClient("k") as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4


async def test_what_says_no_length_is_whole_where_it_ends(tmp_path: Path) -> None:
    """Sent in chunks, with an end that is marked."""

    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        await response.write(MP4)
        return response

    async with host(chunked) as url, LumaClient("k") as luma:
        path = await luma.download(at(url), tmp_path)

    assert path.read_bytes() == MP4


@pytest.mark.parametrize("times", [1, 9])
async def test_a_redirect_is_followed(times: int, tmp_path: Path) -> None:
    """To another host, too; what its address is signed with arrives as it was written."""
    left = times

    async def here(request: web.Request) -> web.StreamResponse:
        return web.Response(body=MP4, headers={"X": request.raw_path}, content_type="video/mp4")

    async def there(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        where = f"{end}/a%2Fb?sig=a%2Bb%3D~" if not left else f"/{left}"
        raise web.HTTPFound(where) if left else web.HTTPTemporaryRedirect(where)

    async with host(here) as end, host(there) as begin, LumaClient("k") as luma:
        path = await luma.download(at(begin), tmp_path)

    assert path.read_bytes() == MP4


async def test_a_signed_link_is_followed_as_it_was_signed(tmp_path: Path) -> None:
    """Not a character of it is quoted in another way."""
    seen: list[str] = []
    signed = "/a%2Fb%7E/c.mp4?X-Amz-Signature=ab%2Bc%3d&x=%20y+z"

    async def record(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(record) as url, LumaClient("k") as luma:
        await luma.download(at(url + signed), tmp_path)

    assert seen == [signed]


async def test_no_media_host_ever_sees_the_key(tmp_path: Path) -> None:
    """Whatever it is asked for, redirects included, and even on the gateway's own host."""
    seen: list[str] = []

    async def record(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.raw_path} {dict(request.headers)} {await request.text()}")
        if request.path == "/moved":
            raise web.HTTPFound("/here")
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(record) as url, LumaClient(KEY, base_url=url) as luma:
        for name in ("here", "moved"):
            await luma.download(at(f"{url}/{name}"), tmp_path / name)

    assert len(seen) == 3
    assert not any(KEY in each or "Authorization" in each for each in seen)


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "ftp://host/a.mp4", "/a.mp4", "https://", "http://a b/c"]
)
async def test_what_is_no_web_link_is_not_followed(link: str, tmp_path: Path) -> None:
    """Whatever a server says where its video is."""
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="is not a link to download from"):
            await luma.download(at(link), tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_the_suffix_is_that_of_the_content(tmp_path: Path) -> None:
    """In a folder the name is made of the id and of what arrived."""
    webm = b"\x1aE\xdf\xa3" + b"0" * 100

    async def other(request: web.Request) -> web.StreamResponse:
        data = {"/webm": webm, "/odd": b"\1\2\3" * 99}[request.path]
        headers = {"Content-Type": "video/x-matroska", "Content-Disposition": "filename=../x.exe"}
        return web.Response(body=data, headers=headers)

    async with host(other) as url, LumaClient("k") as luma:
        known = await luma.download(at(f"{url}/webm"), tmp_path)
        unknown = await luma.download(at(f"{url}/odd"), f"{tmp_path}/odd/")

    assert (known.name, unknown.name) == ("job-1.webm", "job-1.mkv")


async def test_no_file_is_replaced_unless_that_is_asked_for(tmp_path: Path) -> None:
    """It is said before the job is waited for, and nothing is requested."""
    taken = tmp_path / "cat.mp4"
    taken.write_bytes(b"mine")
    async with small() as sim, connect(sim) as luma:
        task = await luma.generate("a cat dances", aspect_ratio="1:1")

        with pytest.raises(DownloadError, match=r"cat\.mp4 exists already.*overwrite=True"):
            await luma.download(task, taken)
        assert not task.done
        assert taken.read_bytes() == b"mine"
        await luma.download(task, tmp_path)
        with pytest.raises(DownloadError, match=f"{task.id}.mp4 exists already"):
            await luma.download(task, tmp_path)

        await luma.download(task, taken, overwrite=True)

    assert taken.stat().st_size > 1000


async def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """Not even at the last moment."""
    target = tmp_path / "cat.mp4"
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)

        with pytest.raises(DownloadError, match="exists already"):
            await luma.download(task, target, progress=lambda *_: target.write_bytes(b"mine"))

    assert target.read_bytes() == b"mine"


async def test_a_cancelled_download_is_taken_up_again(tmp_path: Path) -> None:
    """Cancellation is a normal path: what arrived stays, and nothing is left open."""
    part = tmp_path / "cat.mp4.part"
    async with small(video_bytes=2 * MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.ledger.sent.clear()
        sim.faults.add(media(bytes_per_second=500_000))
        download = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until(lambda: part.exists() and part.stat().st_size > 100_000)

        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        kept = part.stat().st_size
        sim.faults.clear()
        path = await luma.download(task, tmp_path / "cat.mp4")

    assert path.read_bytes() == whole
    assert sent(sim)[-1] == (kept, len(whole))
    assert list(tmp_path.iterdir()) == [path]


async def test_a_download_that_had_hardly_begun_leaves_nothing_when_cancelled(
    tmp_path: Path,
) -> None:
    """No empty part."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.slow(30, on=["media"]))
        download = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until(lambda: any(tmp_path.iterdir()))

        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download

    assert list(tmp_path.iterdir()) == []


async def test_a_closed_client_downloads_no_more(tmp_path: Path) -> None:
    """Those on their way end with `ClientClosedError`, those that wait for a place, too."""
    part = tmp_path / "0.mp4.part"
    async with small(video_bytes=2 * MEGABYTE) as sim:
        luma = connect(sim, max_downloads=1)
        task = await a_video(luma)
        sim.faults.add(media(bytes_per_second=200_000))
        downloads = [
            asyncio.create_task(luma.download(task, tmp_path / f"{number}.mp4"))
            for number in range(2)
        ]
        await until(lambda: part.exists() and part.stat().st_size > 50_000)

        await luma.aclose()
        ended = await asyncio.gather(*downloads, return_exceptions=True)
        later = await asyncio.gather(
            luma.download(task.generation, tmp_path / "2.mp4"), return_exceptions=True
        )

    assert [type(each) for each in (*ended, *later)] == [ClientClosedError] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4.part", "0.mp4.part.json"]


def test_a_killed_download_is_taken_up_again(tmp_path: Path) -> None:
    """SIGKILL in the middle, then the same again: the rest is asked for, and the file is whole."""
    part, target = tmp_path / "cat.mp4.part", tmp_path / "cat.mp4"
    settings: dict[str, Any] = {"durations": Fixed(0.1), "video_bytes": 8 * MEGABYTE}

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
        sim.faults.add(media(bytes_per_second=2 * MEGABYTE))
        program = [sys.executable, "-m", "tests.media.downloader", sim.url, id, str(target)]
        with subprocess.Popen(program) as process:
            asyncio.run(until(lambda: part.exists() and part.stat().st_size > MEGABYTE))
            process.kill()
        assert not target.exists()
        kept = part.stat().st_size
        sim.faults.clear()

        again = asyncio.run(download(sim.url, id, target))

    assert again == whole
    assert kept >= MEGABYTE
    assert sent(sim)[-1] == (kept, len(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.mp4", "reference.mp4"]


async def test_what_was_killed_before_it_got_its_name_only_gets_it(tmp_path: Path) -> None:
    """Not a byte is asked for that is there."""
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
async def test_a_part_that_nothing_is_known_of_is_not_gone_on_with(
    kind: str, tmp_path: Path
) -> None:
    """Whatever lies there, the file is what the server has."""
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


async def test_a_part_that_got_its_name_and_kept_its_own_is_not_written_to(tmp_path: Path) -> None:
    """Killed between the two steps of naming it: the file that is whole stays so."""
    target, part = tmp_path / "cat.mp4", tmp_path / "cat.mp4.part"
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        await luma.download(task, target)
        before = target.read_bytes()
        part.hardlink_to(target)
        sim.faults.add(Fault.page(404, on=["media"]))

        with pytest.raises(DownloadError, match="HTTP 404"):
            await luma.download(task, target, overwrite=True)

    assert target.read_bytes() == before


async def test_one_file_is_written_by_one_download(tmp_path: Path) -> None:
    """Another one, of this process or the next, is refused, and the first one arrives."""
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma, connect(sim) as other:
        task = await a_video(luma)
        whole = await reference(luma, task, tmp_path)
        sim.faults.add(media(bytes_per_second=MEGABYTE))
        first = asyncio.create_task(luma.download(task, tmp_path / "cat.mp4"))
        await until((tmp_path / "cat.mp4.part").exists)

        for client in (luma, other):
            with pytest.raises(DownloadError, match="is being written by another download"):
                await client.download(task.id, tmp_path / "cat.mp4")

        assert (await first).read_bytes() == whole


async def test_downloads_wait_for_a_place_and_keep_nobody_else_from_working(
    tmp_path: Path,
) -> None:
    """No more than `max_downloads` files come at once, and looks go on beside them."""
    async with (
        small(video_bytes=MEGABYTE) as sim,
        connect(sim, max_requests=2, max_downloads=3) as luma,
    ):
        task = await a_video(luma)
        await reference(luma, task, tmp_path)
        sim.faults.add(media(bytes_per_second=2 * MEGABYTE))
        most = 0

        def count(*_: object) -> None:
            nonlocal most
            most = max(most, len(list(tmp_path.glob("*.part"))))

        downloads = [
            asyncio.create_task(luma.download(task, tmp_path / f"{n}.mp4", progress=count))
            for n in range(8)
        ]
        await until(lambda: most > 0)
        begun = asyncio.get_running_loop().time()
        await luma.get(task.id)
        looked = asyncio.get_running_loop().time() - begun
        assert not any(each.done() for each in downloads)
        await asyncio.gather(*downloads)

    assert most == 3
    assert looked < 0.3
    assert len(list(tmp_path.glob("*.mp4"))) == 8


async def test_a_full_disk_is_said_and_the_download_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    """The error names the disk's trouble and the file."""
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


async def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where a folder should be."""
    (tmp_path / "file").write_text("x")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match=r"cannot be written to .*cat\.mp4\.part: "):
            await luma.download(await a_video(luma), tmp_path / "file" / "cat.mp4")


async def test_a_failed_job_has_nothing_to_download(tmp_path: Path) -> None:
    """The failure is raised, not a missing file."""
    async with small(failure_rate=1.0) as sim, connect(sim) as luma:
        with pytest.raises(GenerationFailedError):
            await luma.download(await luma.generate("a cat"), tmp_path)


async def test_a_missing_part_is_said(tmp_path: Path) -> None:
    """Not every gateway gives every file."""
    async with small(variant=Variant(video="text")) as sim, connect(sim) as luma:
        task = await a_video(luma)

        with pytest.raises(DownloadError, match=f"last_frame of generation {task.id} .completed. "):
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
async def test_no_name_leaves_its_folder(id: str, tmp_path: Path) -> None:
    """Whatever a server calls its jobs, and whatever its headers say."""

    async def rude(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Disposition": 'attachment; filename="../../evil.sh"'}
        return web.Response(body=MP4, headers=headers, content_type="video/mp4")

    folder = tmp_path / "videos"
    async with host(rude) as url, LumaClient("k") as luma:
        video = at(url).model_copy(update={"id": id})
        path = await luma.download(video, f"{folder}/")

    assert path.parent == folder
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]
    assert path.name.isascii()
    assert path.name.isprintable()
    assert len(path.name) < 120
    assert path.stem.split(".")[0].lower() not in ("con", "nul", "")
