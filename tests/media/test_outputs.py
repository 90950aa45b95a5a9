"""Every output of a job can be downloaded: images, layers, EXR files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from luma_async import (
    AgentsDialect,
    Asset,
    DownloadError,
    GenerateRequest,
    Generation,
    GenerationFailedError,
    ImageRequest,
    InvalidRequestError,
    LayersRequest,
    LumaClient,
    ModerationError,
    State,
)
from luma_async.file_types import media_type
from luma_async.media.job_files import file_of, files_of
from tests.clients import HOUR, KEY, connect
from tests.media.hosts import MP4, host, small


def png(red: int) -> bytes:
    """Return a PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0)
    pixel = zlib.compress(bytes([0, red, 0, 0, 255]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


EXR = b"\x76\x2f\x31\x01\x02\x00\x00\x00" + bytes(600)
FILES = {
    "0.png": (png(0), "image/png"),
    "1.png": (png(1), "image/png"),
    "2.png": (png(2), "image/png"),
    "film.mp4": (MP4, "video/mp4"),
    "film.exr": (EXR, "image/x-exr"),
    "nameless": (EXR, "application/octet-stream"),
}


class Server:
    """Server of one job. Each look gives fresh links, and the links before have expired."""

    def __init__(self, url: str, names: Sequence[str], labels: Sequence[str]) -> None:
        self.url = url
        self.looks = 0
        self.followed: list[str] = []
        self._names = names
        self._labels = labels

    @property
    def row(self) -> dict[str, Any]:
        return {
            "id": "job-1",
            "state": "completed",
            "output": [self._output(n, name) for n, name in enumerate(self._names)],
        }

    def _output(self, number: int, name: str) -> dict[str, Any]:
        kind = "video" if name.endswith("mp4") else "image"
        layer = {"index": number, "label": self._labels[number]} if self._labels else None
        url = f"{self.url}/{name}?look={self.looks}"
        return {"url": url, "type": kind, "layer": layer}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/api"):
            self.looks += 1
            return web.json_response(self.row)
        self.followed.append(request.path_qs)
        if request.query["look"] != str(self.looks):
            return web.Response(status=403)
        body, kind = FILES[request.path[1:]]
        return web.Response(body=body, content_type=kind)


@asynccontextmanager
async def job(
    *names: str, labels: Sequence[str] = ()
) -> AsyncIterator[tuple[Server, LumaClient, Generation]]:
    """Run a server with one job, and yield it with a client and a generation of the job."""
    dialect = AgentsDialect()
    server = Server("", names, labels)
    async with host(server.answer) as url:
        server.url = url
        async with LumaClient(KEY, base_url=f"{url}/api", dialect=dialect) as luma:
            yield server, luma, dialect.generation(server.row)


async def test_a_job_of_images_is_downloaded_like_a_video(tmp_path: Path) -> None:
    """Its first image gets the suffix of its content, and no server is asked about watermarks."""
    async with job("0.png", "1.png") as (server, luma, generation):
        paths = [
            await luma.download(generation, tmp_path),
            await luma.download(generation, tmp_path / "other", what="image"),
            await luma.download(generation, tmp_path / "one.png", what=1),
            await luma.download(generation, f"{tmp_path}/", what=1),
        ]

    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "job-1.png",
        "other",
        "one.png",
        "job-1.1.png",
    ]
    assert [path.read_bytes() for path in paths] == [png(0), png(0), png(1), png(1)]
    assert server.looks == 0


async def test_all_outputs_are_saved_under_their_numbers_and_labels(tmp_path: Path) -> None:
    """Labels become parts of names that are valid on every system; files that exist are kept."""
    labels = ("cat", "../Tree & sky", "雲")
    async with job("0.png", "1.png", "2.png", labels=labels) as (server, luma, generation):
        paths = await luma.download_outputs(generation, tmp_path / "new")
        followed = len(server.followed)
        again = await luma.download_outputs(generation.id, tmp_path / "new")

    assert [path.name for path in paths] == ["job-1.png", "job-1.1-Tree-sky.png", "job-1.2.png"]
    assert [path.read_bytes() for path in paths] == [png(0), png(1), png(2)]
    assert again == paths
    assert len(server.followed) == followed == 3


async def test_an_expired_link_is_requested_again_and_keeps_its_number(tmp_path: Path) -> None:
    """The n-th output stays the n-th in each new look."""
    async with job("0.png", "1.png", "2.png") as (server, luma, generation):
        server.looks = 7  # an hour later
        path = await luma.download(generation, tmp_path, what=2)

        assert path.read_bytes() == png(2)
        assert server.followed == ["/2.png?look=0", "/2.png?look=8"]
        assert server.looks == 8


async def test_an_exr_file_is_told_by_its_content(tmp_path: Path) -> None:
    """It has a suffix of its own, also if the server does not declare it."""
    async with job("film.mp4", "film.exr", "nameless") as (_, luma, generation):
        paths = [
            await luma.download(generation, tmp_path),
            await luma.download(generation, tmp_path, what="exr"),
            *await luma.download_outputs(generation, tmp_path),
        ]

    names = ["job-1.mp4", "job-1.1.exr"]
    assert [path.name for path in paths] == [*names, *names, "job-1.2.exr"]
    assert paths[0].read_bytes() == MP4
    assert paths[1].read_bytes() == paths[-1].read_bytes() == EXR


async def test_one_output_that_does_not_arrive_keeps_no_other_back(tmp_path: Path) -> None:
    """The error names the output; the others are in the folder."""
    async with job("0.png", "film.mp4", "1.png") as (_, luma, generation):
        broken = Asset(url=f"{generation.outputs[0].url}", media_type="video")
        outputs = (broken, *generation.outputs[1:])
        with_broken = generation.model_copy(update={"outputs": outputs})
        with pytest.raises(DownloadError, match=r"^Output 0 of job job-1 did not arrive"):
            await luma.download_outputs(with_broken, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["job-1.2.png", "job-1.mp4"]


@pytest.mark.parametrize(
    ("outputs", "what", "text"),
    [
        (
            "ii",
            "video",
            "has no video, but 2 images. Download image or a number from 0 to 1 instead",
        ),
        ("v", "image", "has no image, but 1 video. Download video or 0 instead"),
        (
            "ve",
            "image",
            "has no image, but 1 video and 1 EXR file. Download video, exr or a number",
        ),
        ("i", "exr", "has no EXR file, but 1 image. Download image or 0 instead"),
        ("ii", 2, "has no output 2, but 2 images. Download image or a number from 0 to 1 instead"),
    ],
)
def test_a_file_that_a_job_does_not_have_says_what_there_is(
    outputs: str, what: Any, text: str
) -> None:
    """The error names the files, and how to ask for them."""
    with pytest.raises(DownloadError) as caught:
        file_of(made(outputs), what)

    assert str(caught.value).startswith(f"Job a {text}")


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        ("", ["a"]),
        ("v", ["a"]),
        ("ve", ["a", "a.1"]),
        ("iv", ["a.0", "a"]),
        ("vv", ["a", "a.1"]),
        ("ii", ["a", "a.1"]),
    ],
)
def test_the_main_output_has_the_name_of_the_job(outputs: str, names: list[str]) -> None:
    """No two outputs have one name, and a job without reported outputs has its video."""
    assert [file.name for file in files_of(made(outputs))] == names


def made(outputs: str) -> Generation:
    kinds = {
        "v": {"url": "https://h/film.mp4", "media_type": "video"},
        "i": {"url": "https://h/still.png", "media_type": "image"},
        "e": {"url": "https://h/film.exr?sig=1", "media_type": "image"},
    }
    assets = tuple(
        Asset(**{**kinds[each], "url": f"{kinds[each]['url']}#{n}"})
        if each == "i"
        else Asset(width=n + 1, **kinds[each])
        for n, each in enumerate(outputs)
    )
    return Generation(id="a", state=State.COMPLETED, outputs=assets)


@pytest.mark.parametrize("what", ["gif", -1, True, 1.5, None])
async def test_a_name_that_no_file_has_is_rejected(what: Any, tmp_path: Path) -> None:
    """The error has the allowed names; nothing is requested."""
    async with job("0.png") as (server, luma, generation):
        with pytest.raises(InvalidRequestError, match="must be one of output, video, image, exr"):
            await luma.download(generation, tmp_path, what=what)

    assert server.followed == []


async def test_every_output_of_the_agents_api_arrives(tmp_path: Path) -> None:
    """Real videos, EXR files, images and layers, an hour after their links were made."""
    async with small(link_lifetime=3600.0) as sim:
        async with connect(sim, dialect="agents") as luma:
            film = await (
                await luma.submit(GenerateRequest("a cat", resolution="720p", hdr=True, exr=True))
            )
            still = await (await luma.submit(ImageRequest("a cat", format="png")))
            layers = await (await luma.submit(LayersRequest("a cat"), source=still))
            sim.advance(2 * HOUR)
            paths = [
                *await luma.download_outputs(film, tmp_path, name="film"),
                await luma.download(film, tmp_path / "again.exr", what="exr"),
                *await luma.download_outputs(still, tmp_path, name="still"),
                *await luma.download_outputs(layers, tmp_path, name="layers"),
            ]
            with pytest.raises(DownloadError, match=r"has no video, but 3 images"):
                await luma.download(layers, tmp_path, what="video")

    names = ["film.mp4", "film.1.exr", "again.exr", "still.png"]
    assert [path.name for path in paths] == [
        *names,
        *("layers.png", "layers.1-discs.png", "layers.2-background.png"),
    ]
    assert paths[1].read_bytes() == paths[2].read_bytes()
    assert [media_type(path.read_bytes()[:64]) for path in paths] == [
        *("video/mp4", "image/x-exr", "image/x-exr"),
        *["image/png"] * 4,
    ]
    assert [each.layer and each.layer.label for each in layers.outputs] == [
        "caption",
        "discs",
        "background",
    ]
    assert len({path.read_bytes() for path in paths[4:]}) == 3


@pytest.mark.parametrize(
    ("code", "kind", "refunded"),
    [
        ("content_moderated", ModerationError, True),
        ("budget_exhausted", GenerationFailedError, False),
    ],
)
async def test_a_failure_of_the_agents_api_has_its_code(
    code: str, kind: type[GenerationFailedError], refunded: bool
) -> None:
    """The code is in the generation, the error and its text."""
    async with small() as sim, connect(sim, dialect="agents") as luma:
        sim.fail_next(code)
        with pytest.raises(GenerationFailedError, match=rf"\(code {code}\)") as failed:
            await luma.run("a cat")

    assert type(failed.value) is kind
    assert failed.value.generation.failure_code == code
    assert failed.value.refunded is refunded
