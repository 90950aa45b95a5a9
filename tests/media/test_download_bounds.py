"""A download has a minimum speed and a maximum size, so that no host blocks others."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from luma_async import ConfigurationError, DownloadError, InvalidRequestError, LumaClient
from luma_async.media.part_file import PartFile
from luma_async.media.speed import MinimumSpeed, TooSlowError
from tests.clients import until
from tests.loops import skip
from tests.media.hosts import MP4, at, host


async def _dribble(request: web.Request) -> web.StreamResponse:
    """Send the beginning of a video, then single bytes at intervals."""
    if request.path == "/good":
        return web.Response(body=MP4, content_type="video/mp4")
    response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
    await response.prepare(request)
    await response.write(MP4[:1000])
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b"\0")
            await asyncio.sleep(0.01)
    return response


async def test_a_slow_host_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A download that is too slow releases its slot, and is retried later."""
    has_begun = asyncio.Event()

    async with (
        host(_dribble) as url,
        LumaClient("k", base_url=url, timeout=1000.0, max_downloads=1) as luma,
    ):
        slow = asyncio.create_task(
            luma.download(
                at(f"{url}/slow"), tmp_path / "slow.mp4", progress=lambda *_: has_begun.set()
            )
        )
        await has_begun.wait()
        good = asyncio.create_task(luma.download(at(f"{url}/good"), tmp_path / "good.mp4"))
        await asyncio.sleep(0)
        skip(1001.0)
        async with asyncio.timeout(60):
            path = await good
        assert not slow.done()
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)

    assert path.read_bytes() == MP4


async def test_a_download_that_is_always_too_slow_fails(tmp_path: Path) -> None:
    """After `max_tries` the error reports the speed."""

    def let_time_pass(done: int, _: int | None) -> None:
        if done > 1005:  # some bytes after the first ones, so that it has not fallen silent
            skip(600.0)

    slow = r"fewer than 1e\+06 bytes a second for 1000 s"
    async with (
        host(_dribble) as url,
        LumaClient("k", base_url=url, timeout=1000.0, max_tries=1, min_download_speed=1e6) as luma,
    ):
        with pytest.raises(DownloadError, match=slow):
            await luma.download(at(f"{url}/slow"), tmp_path / "slow.mp4", progress=let_time_pass)


async def test_headers_must_be_complete_within_twice_the_timeout(tmp_path: Path) -> None:
    """Single letters of a header do not extend the time limit."""
    being_served: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        being_served.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        being_served.remove(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient("k", base_url=url, timeout=0.2, max_tries=1) as luma:
        async with asyncio.timeout(60):
            with pytest.raises(DownloadError, match="sent nothing for too long"):
                await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")
        await until(lambda: not being_served)


@pytest.mark.parametrize("says_length", [True, False])
async def test_a_file_that_is_too_large_is_rejected(says_length: bool, tmp_path: Path) -> None:
    """The length in the header is checked first, and the received bytes are counted."""

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        if says_length:
            response.content_length = 10**12
        await response.prepare(request)
        await response.write(MP4)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(2**16))
        return response

    async with host(serve) as url, LumaClient("k", base_url=url, max_download_bytes=10**6) as luma:
        async with asyncio.timeout(60):
            with pytest.raises(DownloadError, match="bytes, and max_download_bytes is"):
                await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("max_bytes", "largest", "limit"),
    [
        (len(MP4) - 1, None, f"max_bytes is {len(MP4) - 1}"),
        (len(MP4) - 1, len(MP4), f"max_bytes is {len(MP4) - 1}"),
        (len(MP4), len(MP4) - 1, f"max_download_bytes is {len(MP4) - 1}"),
        (len(MP4), None, None),
    ],
)
async def test_a_download_may_have_a_limit_of_its_own(
    max_bytes: int, largest: int | None, limit: str | None, tmp_path: Path
) -> None:
    """A bot attaches files up to some size; the lower one of both limits applies."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(serve) as url:
        async with LumaClient("k", base_url=url, max_download_bytes=largest) as luma:
            video = at(f"{url}/a.mp4")
            with pytest.raises(InvalidRequestError, match="max_bytes: must be more than 0"):
                await luma.download(video, tmp_path / "a.mp4", max_bytes=0)
            with (
                contextlib.nullcontext()
                if limit is None
                else pytest.raises(DownloadError, match=limit)
            ):
                await luma.download(video, tmp_path / "a.mp4", max_bytes=max_bytes)

    assert (tmp_path / "a.mp4").exists() == (limit is None)


@pytest.mark.parametrize("largest", [len(MP4), None])
async def test_a_file_of_the_maximum_size_is_accepted(largest: int | None, tmp_path: Path) -> None:
    """`None` disables the limit."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(serve) as url:
        async with LumaClient("k", base_url=url, max_download_bytes=largest) as luma:
            await luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4")


async def test_the_speed_is_that_of_the_last_seconds() -> None:
    """Enough bytes move the deadline; too few do not."""
    with pytest.raises(TooSlowError):
        async with MinimumSpeed(10.0, within=100.0) as speed:
            for _ in range(3):
                skip(90.0)
                speed.add(1000)
                await asyncio.sleep(0)
            speed.add(999)
            skip(101.0)
            await asyncio.sleep(1)


async def test_without_a_limit_any_speed_is_accepted() -> None:
    """Time in which the client itself does not read is not counted."""
    async with MinimumSpeed(0.0, within=1.0):
        skip(100.0)
        await asyncio.sleep(0)
    async with MinimumSpeed(10.0, within=100.0) as speed:
        for _ in range(3):
            skip(90.0)
            with speed.paused():
                skip(200.0)
                await asyncio.sleep(0)


@pytest.mark.parametrize("step", ["begin", "write"])
async def test_a_slow_disk_does_not_count_as_a_slow_host(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Received bytes are written without a time limit, and not requested again."""
    is_busy, is_free, work = threading.Event(), threading.Event(), getattr(PartFile, step)
    asked = 0

    def slowly(part: PartFile, what: Any) -> None:
        is_busy.set()
        is_free.wait(60)
        work(part, what)

    async def serve(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(body=MP4, content_type="video/mp4")

    monkeypatch.setattr(PartFile, step, slowly)
    async with (
        host(serve) as url,
        LumaClient("k", base_url=url, timeout=1000.0, max_tries=1) as luma,
    ):
        download = asyncio.create_task(luma.download(at(f"{url}/a.mp4"), tmp_path / "a.mp4"))
        await until(is_busy.is_set)
        await asyncio.sleep(0.01)  # for what has arrived behind it
        skip(1001.0)
        await asyncio.sleep(0.01)
        is_free.set()
        path = await download

    assert path.read_bytes() == MP4
    assert asked == 1


@pytest.mark.parametrize(
    "setting",
    [
        {"min_download_speed": -1.0},
        {"min_download_speed": float("inf")},
        {"min_download_speed": float("nan")},
        {"max_download_bytes": 0},
    ],
)
def test_invalid_limits_are_rejected(setting: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        LumaClient("k", base_url="http://h", **setting)


async def test_a_cancelled_pause_does_not_release_a_slot_twice(tmp_path: Path) -> None:
    """The concurrency limit is the same afterwards."""
    asked = asyncio.Event()

    async def busy(request: web.Request) -> web.StreamResponse:
        asked.set()
        return web.Response(status=503, headers={"Retry-After": "100"})

    async with host(busy) as url, LumaClient("k", base_url=url, max_downloads=2) as luma:
        places = luma._downloader._slots
        download = asyncio.create_task(luma.download(at(f"{url}/a"), tmp_path / "a.mp4"))
        await asked.wait()
        await until(lambda: places.value == 2)
        download.cancel()
        await asyncio.gather(download, return_exceptions=True)

        assert places.value == 2
