"""Links may have expired, redirect elsewhere, or not lead to a video."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from luma_async import (
    DownloadError,
    LumaClient,
)
from luma_async.simulator import Fault
from tests.clients import KEY, connect
from tests.media.hosts import MP4, a_video, at, host, small


async def test_expired_links_are_replaced_by_new_ones(tmp_path: Path) -> None:
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


async def test_the_error_lists_the_problem_of_every_link(tmp_path: Path) -> None:
    """The error names the job, and contains no signature."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.page(403, on=["media"]))

        with pytest.raises(DownloadError) as caught:
            await luma.download(task, tmp_path / "cat.mp4")

    text = str(caught.value)
    assert text.startswith(f"The video of job {task.id} did not arrive: 127.0.0.1/media/")
    assert "answered HTTP 403; the link may have expired" in text
    assert "Expires" not in text
    assert list(tmp_path.iterdir()) == []


async def test_a_useless_link_is_not_requested_again(tmp_path: Path) -> None:
    """The gateway may return the same link any number of times."""
    followed = 0

    async def stubborn(request: web.Request) -> web.StreamResponse:
        nonlocal followed
        if request.path.endswith("/video.mp4"):
            followed += 1
            return web.Response(status=403)
        link = f"{url}/video.mp4"
        return web.json_response(
            {"id": "job-1", "state": "completed", "video": {"url": link}, "url": link}
        )

    async with host(stubborn) as url, LumaClient("k", base_url=f"{url}/gateway") as luma:
        with pytest.raises(DownloadError, match="HTTP 403"):
            await luma.download(at(f"{url}/video.mp4"), tmp_path)

    assert followed == 1


async def test_the_error_tells_why_there_is_no_new_link(tmp_path: Path) -> None:
    """An invalid API key is the gateway's reason, not the media host's."""
    async with small(api_key=KEY) as sim, connect(sim) as luma:
        video = await (await a_video(luma))
        sim.faults.add(Fault.page(403, on=["media"]))
        async with LumaClient("sk-wrong-0123456789", base_url=sim.url) as other:
            with pytest.raises(DownloadError) as caught:
                await other.download(video, tmp_path / "cat.mp4")

    assert "The server gave no other link: " in str(caught.value)
    assert "401" in str(caught.value)
    assert "sk-wrong-0123456789" not in str(caught.value)


BAD_FILES: dict[str, tuple[Fault, str]] = {
    "page": (Fault.page(200, on=["media"]), "answered with text/html instead of video/"),
    "json": (Fault.answer(b"{}", on=["media"]), "with application/json instead of video/"),
    "page that says it is a video": (
        Fault(
            on=["media"],
            status=200,
            body=b"  <html>expired</html>",
            headers=(("Content-Type", "video/mp4"),),
        ),
        "with text, declared as video/mp4, instead of video/",
    ),
    "anything": (
        Fault(
            on=["media"],
            status=200,
            body=b"anything",
            headers=(("Content-Type", "application/octet-stream"),),
        ),
        "with text, declared as application/octet-stream, instead of video/",
    ),
    "text that says it is a video": (
        Fault(
            on=["media"],
            status=200,
            body=b"Link expired.\n",
            headers=(("Content-Type", "video/mp4"),),
        ),
        "with text, declared as video/mp4, instead of video/",
    ),
    "json with a mark of its encoding": (
        Fault(
            on=["media"],
            status=200,
            body=b'\xef\xbb\xbf{"error": "expired"}',
            headers=(("Content-Type", "video/mp4"),),
        ),
        "with text, declared as video/mp4, instead of video/",
    ),
    "image": (
        Fault(
            on=["media"],
            status=200,
            body=b"\x89PNG\r\n\x1a\n" + b"\0" * 1000,
            headers=(("Content-Type", "video/mp4"),),
        ),
        "with image/png instead of video/",
    ),
    "redirect to a host that cannot be": (
        Fault(on=["media"], status=302, headers=(("Location", "http://a..b/"),)),
        "to an invalid http(s) URL",
    ),
    "redirect to a port that cannot be": (
        Fault(on=["media"], status=302, headers=(("Location", "http://host:99999/"),)),
        "to an invalid http(s) URL",
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
        "but reported another length before",
    ),
    "shorter than it says, without ranges": (
        Fault(on=["media"], after=True, miscounts=1000, ranges=False),
        "did not arrive",
    ),
    "cut short at its source": (
        Fault(on=["media"], after=True, miscounts=-1000),
        "sent a truncated video",
    ),
    "packed": (
        Fault(
            on=["media"],
            status=200,
            body=b"x" * 100,
            headers=(("Content-Encoding", "zstd"), ("Content-Type", "video/mp4")),
        ),
        "content that cannot be decoded",
    ),
    "redirect to a file": (
        Fault(on=["media"], status=302, headers=(("Location", "file:///etc/passwd"),)),
        "to an invalid http(s) URL",
    ),
    "redirect to data": (
        Fault(on=["media"], status=302, headers=(("Location", "data:video/mp4;base64,AAAA"),)),
        "to an invalid http(s) URL",
    ),
    "redirect to nowhere": (Fault(on=["media"], status=302), "answered HTTP 302"),
    "loop": (
        Fault(on=["media"], status=302, headers=(("Location", "?round"),)),
        "redirects too many times",
    ),
}


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("kind", BAD_FILES)
async def test_an_incomplete_or_wrong_file_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """Neither a file nor a part file is left, and an existing file stays."""
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


async def test_the_retry_after_of_a_busy_host_is_respected(tmp_path: Path) -> None:
    """There is no request before the time in `Retry-After`."""
    async with small() as sim, connect(sim) as luma:
        task = await a_video(luma)
        sim.faults.add(Fault.rate_limited(retry_after=1, on=["media"], times=1))
        began = asyncio.get_running_loop().time()

        await luma.download(task, tmp_path)

        assert asyncio.get_running_loop().time() - began >= 1.0


@pytest.mark.parametrize("times", [1, 9])
async def test_a_redirect_is_followed(times: int, tmp_path: Path) -> None:
    """A redirect to another host is followed, and its signature is sent unchanged."""
    left = times

    async def here(request: web.Request) -> web.StreamResponse:
        return web.Response(body=MP4, headers={"X": request.raw_path}, content_type="video/mp4")

    async def there(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        where = f"{end}/a%2Fb?sig=a%2Bb%3D~" if not left else f"/{left}"
        raise web.HTTPFound(where) if left else web.HTTPTemporaryRedirect(where)

    async with host(here) as end, host(there) as begin, LumaClient("k", base_url=begin) as luma:
        path = await luma.download(at(begin), tmp_path)

    assert path.read_bytes() == MP4


async def test_long_headers_are_accepted(tmp_path: Path) -> None:
    """Policies, cookies and signed redirects may have many kilobytes."""

    async def here(request: web.Request) -> web.StreamResponse:
        long = {"Content-Security-Policy": "a" * 60_000}
        return web.Response(body=MP4, headers=long, content_type="video/mp4")

    async with host(here) as place, LumaClient("k", base_url=place) as luma:
        path = await luma.download(at(place), tmp_path)

    assert path.read_bytes() == MP4


async def test_a_signed_link_is_requested_unchanged(tmp_path: Path) -> None:
    """No character is quoted differently."""
    seen: list[str] = []
    signed = "/a%2Fb%7E/c.mp4?X-Amz-Signature=ab%2Bc%3d&x=%20y+z"

    async def record(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response(body=MP4, content_type="video/mp4")

    async with host(record) as url, LumaClient("k", base_url=url) as luma:
        await luma.download(at(url + signed), tmp_path)

    assert seen == [signed]


async def test_the_error_of_an_invalid_response_contains_no_signature(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error nor the log allows a reader to fetch the video."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"this is no HTTP\r\n\r\n")
        await writer.drain()
        writer.close()

    caplog.set_level("DEBUG", logger="luma_async")
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cat.mp4?signature=quite-secret"
    async with server, small() as sim, connect(sim, max_tries=2) as luma:
        with pytest.raises(DownloadError, match="did not arrive") as caught:
            await luma.download(at(url), tmp_path / "cat.mp4")

    assert "/cat.mp4" in caplog.text
    assert "quite-secret" not in str(caught.value) + caplog.text


async def test_no_media_host_gets_the_api_key(tmp_path: Path) -> None:
    """The API key is not sent in any request, including redirects and the gateway's own host."""
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
    "link",
    [
        "file:///etc/passwd",
        "ftp://host/a.mp4",
        "https://",
        "http://a b/c",
        "http://a..b/c",
        f"http://{'a' * 64}.b/c",
        "http://host:99999/c",
    ],
)
async def test_an_invalid_link_is_not_requested(link: str, tmp_path: Path) -> None:
    """Links of any text are handled."""
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match=r"is not a valid http|to an invalid http"):
            await luma.download(at(link), tmp_path)

    assert list(tmp_path.iterdir()) == []
