"""Image reader: an image from any source is sent unchanged, or nothing is sent."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from luma_async import (
    GatewayDialect,
    GenerateRequest,
    InvalidRequestError,
    LumaClient,
    SubmissionStoppedError,
)
from luma_async.dialects.request_check import RequestCheck
from luma_async.file_types import media_type
from luma_async.image_sources import ImageLike
from luma_async.media import Image, image_from
from luma_async.requests import JobRequest
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.transport.call import STEP, Body
from tests.clients import connect, until
from tests.loops import skip
from tests.media.image_files import an_image, arrived, as_data_uri

PNG = an_image()


def spooled(data: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115
    file.write(data)
    file.seek(0)
    return file


SOURCES: dict[str, Callable[[Path], ImageLike]] = {
    "data URI": lambda _: as_data_uri(PNG),
    "data URI of another name": lambda _: as_data_uri(PNG, "image/jpeg"),
    "path": lambda path: path,
    "path as text": str,
    "bytes": lambda _: PNG,
    "bytearray": lambda _: bytearray(PNG),
    "memoryview": lambda _: memoryview(PNG),
    "file": lambda path: path.open("rb"),
    "unbuffered file": lambda path: path.open("rb", buffering=0),
    "file in memory": lambda _: io.BytesIO(PNG),
    "spooled file": lambda _: spooled(PNG),
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_any_source_arrives_byte_for_byte(kind: str, tmp_path: Path) -> None:
    """First and last frames of videos and extensions keep their bytes and get their media type."""
    path = tmp_path / "cat.txt"
    path.write_bytes(PNG)
    source = SOURCES[kind](path)
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        task = await luma.generate("a cat", image=source, image_end=source)
        await luma.extend(task, "on", image=source, image_end=source)

    for job in sim.ledger.jobs:
        for name in ("image_url", "image_end_url"):
            assert arrived(job.request[name]) == ("image/png", PNG)
    if hasattr(source, "close"):
        source.close()


async def test_a_url_is_sent_unchanged() -> None:
    """The server fetches the image."""
    url = "https://host/cat.png?a=b"
    async with Simulator() as sim, connect(sim) as luma:
        await luma.generate("a cat", image=url, image_end=url)

    assert sim.ledger.jobs[0].request["image_url"] == url
    assert sim.ledger.jobs[0].request["image_end_url"] == url


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "CMYK", "YCbCr"])
async def test_a_pillow_image_arrives_pixel_for_pixel(mode: str) -> None:
    """The image is sent as PNG, after Pillow's conversion if PNG does not support its mode."""
    image: PillowImage.Image = PillowImage.open(io.BytesIO(PNG))
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    async with Simulator() as sim, connect(sim) as luma:
        await luma.generate("a cat", image=image)

    kind, data = arrived(sim.ledger.jobs[0].request["image_url"])
    shown = PillowImage.open(io.BytesIO(data))
    kept = {"CMYK": "RGB", "YCbCr": "RGB", "I": "I;16"}
    same = image.convert(kept.get(mode, mode))
    assert kind == "image/png"
    assert shown.convert(same.mode).tobytes() == same.tobytes()


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
async def test_the_media_type_is_detected_by_the_content(form: str, named: str) -> None:
    """Every format that Pillow can write here is detected."""
    async with Simulator() as sim, connect(sim) as luma:
        await luma.generate("a cat", image=an_image(form))

    assert arrived(sim.ledger.jobs[0].request["image_url"]) == (named, an_image(form))


class NotBytes:
    def read(self, size: int = -1) -> Any:
        return "text"


class Later:
    async def read(self, size: int = -1) -> bytes:
        return PNG


INVALID: dict[str, tuple[Callable[[Path], Any], str]] = {
    "not an image": (lambda _: b"%PDF-1.4 hello", "is not an image; supported are PNG, JPEG"),
    "a page": (lambda _: b"<html>" * 100, "is not an image"),
    "a video": (lambda _: b"\0\0\0\x18ftypisom" + b"\0" * 20, "is not an image, but video/mp4"),
    "empty bytes": (lambda _: b"", "is empty"),
    "empty file": (lambda folder: _file(folder, b""), "is empty ("),
    "empty image": (lambda _: PillowImage.new("RGB", (0, 5)), "is empty"),
    "too large": (lambda _: PNG + b"0" * 50_000, "at most 0.038147 MiB, got 0.0 MiB"),
    "too large file": (lambda folder: _file(folder, PNG + b"0" * 50_000), "at most 0.0"),
    "too large stream": (lambda _: io.BytesIO(PNG + b"0" * 50_000), "MiB, got more"),
    "too large URI": (lambda _: as_data_uri(PNG + b"0" * 50_000), "at most 0.0"),
    "too large image": (lambda _: PillowImage.effect_noise((400, 400), 99), "max_side=2048"),
    "no such file": (lambda folder: folder / "none.png", "file not found: '"),
    "a folder": (lambda folder: folder, "not a regular file: '"),
    "a device": (lambda _: Path("/dev/zero"), "not a regular file: '/dev/zero'"),
    "a name too long": (lambda folder: folder / ("x" * 300), "cannot be read ("),
    "text file": (lambda _: io.StringIO("hello"), "returned str, not bytes"),
    "text": (lambda _: NotBytes(), "returned str, not bytes"),
    "async file": (lambda _: Later(), "returned coroutine, not bytes"),
    "bad Base64 far in": (
        lambda _: as_data_uri(PNG * 60)[:-300] + "!" * 300,
        "invalid Base64",
    ),
    "Base64 that ends early": (
        lambda _: as_data_uri(PNG * 3000)[: 2**18 // 3 * 4 + 20] + "=" * 2**19,
        "invalid Base64",
    ),
    "Base64 after its end": (  # which a whole number of steps is
        lambda _: as_data_uri((PNG * 3000)[: 2**18 - 2]) + "QUJD",
        "characters after the padding",
    ),
}


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "cat.png"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", INVALID)
async def test_an_invalid_image_is_rejected_before_anything_is_sent(
    kind: str, tmp_path: Path
) -> None:
    """The error names the field and the problem."""
    make, problem = INVALID[kind]
    limit = 10**6 if "Base64" in kind else 40_000
    async with Simulator() as sim, connect(sim, max_image_bytes=limit) as luma:
        with pytest.raises(InvalidRequestError) as caught:
            await luma.generate("a cat", image_end=make(tmp_path))

    assert list(caught.value.fields) == ["image_end"]
    assert problem in str(caught.value)
    assert sim.ledger.connections == 0


def test_an_unreadable_file_is_an_error() -> None:
    """The check runs in a process without root's permissions."""
    program = (
        "import os, sys\n"
        "from luma_async.media.image_reader import _from_path, _InvalidImageError\n"
        "from pathlib import Path\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: _from_path(Path(sys.argv[1]), 10**6)\n"
        "except _InvalidImageError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        secret = _file(Path(folder), PNG)
        secret.chmod(0)

        said = subprocess.run(
            [sys.executable, "-c", program, str(secret)], capture_output=True, text=True, check=True
        )

    assert said.stdout == f"cannot be read ('{secret}'): Permission denied\n"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("ftp://host/cat.png", "is not a URL of an image; allowed is http(s)://"),
        ("file:///etc/passwd", "is not a URL of an image"),
        ("javascript:alert(1)", "is not a URL of an image"),
        ("https://", "is not a URL of an image"),
        ("", "is not a path"),
        ("cat\0.png", "is not a path"),
        (7, "cannot be a int; allowed is a URL"),
        ([PNG], "cannot be a list"),
    ],
    ids=repr,
)
async def test_an_invalid_source_is_rejected(source: Any, problem: str) -> None:
    """Requests and `image_from` raise the same error."""
    with pytest.raises(InvalidRequestError) as caught:
        GenerateRequest("a cat", image=source)
    assert problem in str(caught.value)

    with pytest.raises(InvalidRequestError) as caught:
        await image_from(source)
    assert problem in str(caught.value)


async def test_the_problems_of_all_images_are_reported_at_once(tmp_path: Path) -> None:
    """One error names both fields."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(InvalidRequestError) as caught:
            await luma.generate("a cat", image=tmp_path / "none.png", image_end=b"text")

    assert set(caught.value.fields) == {"image", "image_end"}


class OnlyURLs(GatewayDialect):
    def check(self, request: JobRequest, *, has_source: bool) -> None:
        check = RequestCheck(request, "this server")
        check.only_urls(request.images())
        check.raise_problems()
        super().check(request, has_source=has_source)


async def test_a_dialect_that_accepts_only_urls_says_so() -> None:
    """The error names the server and the remedy."""
    async with Simulator() as sim, connect(sim, dialect=OnlyURLs()) as luma:
        await luma.generate("a cat", image="https://host/cat.png")
        with pytest.raises(
            InvalidRequestError, match=r"must be an http\(s\) URL, because this server accepts"
        ):
            await luma.generate("a cat", image=PNG)

    assert len(sim.ledger.jobs) == 1


async def test_requests_of_run_many_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    """The outcome has the request's path, and an invalid image does not affect other requests."""
    path = _file(tmp_path, PNG)
    rows: list[dict[str, Any]] = [
        {"prompt": "good", "image": path},
        {"prompt": "bad", "image": tmp_path / "none.png"},
    ]
    async with Simulator(durations=Fixed(0.0)) as sim, connect(sim) as luma:
        outcomes = {each.request.prompt: each async for each in luma.run_many(rows)}

    assert outcomes["good"].ok
    assert outcomes["good"].request.images() == {"image": path}
    assert isinstance(outcomes["bad"].error, InvalidRequestError)
    assert arrived(sim.ledger.jobs[0].request["image_url"]) == ("image/png", PNG)


async def test_as_many_images_are_in_memory_as_requests_may_be_in_flight() -> None:
    """A thousand jobs with images at once do not read a thousand images."""
    held = most = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal held, most
            if self.tell() == 0:
                held += 1
                most = max(most, held)
            return super().read(size)

    async def generate(luma: LumaClient) -> None:
        nonlocal held
        await luma.generate("a cat", image=Counted(PNG))
        held -= 1

    async with Simulator() as sim, connect(sim, max_requests=3) as luma:
        sim.faults.add(Fault.slow(math.inf))
        asked = asyncio.gather(*(generate(luma) for _ in range(20)))
        await until(lambda: most == 3)
        await asyncio.sleep(0.1)
        sim.faults.clear()
        await asked

    assert len(sim.ledger.jobs) == 20
    assert most == 3


async def test_one_file_serves_many_requests() -> None:
    """Concurrent requests read a file from its position, and the position is restored."""
    file = io.BytesIO(b"skipped" + PNG)
    file.seek(7)
    async with Simulator() as sim, connect(sim) as luma:
        await asyncio.gather(*(luma.generate("a cat", image=file) for _ in range(10)))

    assert {arrived(job.request["image_url"])[1] for job in sim.ledger.jobs} == {PNG}
    assert file.tell() == 7


async def test_a_file_that_is_read_slowly_is_read_by_one_request_at_a_time() -> None:
    """Every request gets the whole image."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            time.sleep(0.001)
            return super().read(len(PNG) // 20)

    async with Simulator() as sim, connect(sim) as luma:
        file = Slow(PNG)
        await asyncio.gather(*(luma.generate("a cat", image=file) for _ in range(5)))

    assert [arrived(job.request["image_url"])[1] for job in sim.ledger.jobs] == [PNG] * 5


async def test_a_pipe_is_read_to_its_end() -> None:
    """A source that cannot be read twice is read once."""
    reading, writing = os.pipe()

    def write() -> None:
        os.write(writing, PNG)
        os.close(writing)

    threading.Thread(target=write).start()
    with open(reading, "rb") as file:  # noqa: ASYNC230, PTH123
        async with Simulator() as sim, connect(sim) as luma:
            await luma.generate("a cat", image=file)

    assert arrived(sim.ledger.jobs[0].request["image_url"])[1] == PNG


async def test_waiting_for_a_pipe_can_be_cancelled() -> None:
    """Cancellation does not wait for a file that never ends."""
    reading, writing = os.pipe()
    begun, let_go = threading.Event(), threading.Event()

    class Pipe(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            begun.set()
            data = super().read(size) or b""
            if not data:
                let_go.set()
            return data

    with Pipe(reading) as file:
        image = asyncio.create_task(image_from(file))
        try:
            await until(begun.is_set)
            image.cancel()
            with pytest.raises(asyncio.CancelledError):
                await image
        finally:
            os.close(writing)  # the end, for the thread that reads
        await until(let_go.is_set)


async def test_a_large_image_has_time_to_be_sent() -> None:
    """The timeout begins after the image was sent: a slow line makes no job uncertain."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        left -= len(await reader.read(200_000))
        skip(60.0)
        await asyncio.sleep(0.1)
        await reader.readexactly(left)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "one"}')
        await writer.drain()
        writer.close()

    image = PNG + os.urandom(4 * 2**20)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient("k", base_url=url, timeout=30.0, max_tries=1) as luma:
        task = await luma.generate("a cat", image=image)

    assert task.id == "one"


async def test_an_image_that_was_not_sent_whole_is_sent_again() -> None:
    """Half a request cannot be accepted, so it is repeated, and the job is paid for once."""
    cut = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cut
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if not cut:
            cut += 1
            await reader.readexactly(100_000)
            writer.transport.abort()
            return
        await reader.readexactly(left)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "one"}')
        await writer.drain()
        writer.close()

    image = PNG + os.urandom(15 * 2**20)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**26)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient("k", base_url=url) as luma:
        task = await luma.generate("a cat", image=image)

    assert (task.id, cut) == ("one", 1)


async def test_a_partly_sent_image_is_not_sent_again_after_stop_submitting() -> None:
    """The rest is not sent either: a server cannot accept half a request."""
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(100_000)
        luma.stop_submitting()
        came = 100_000
        while came < left and (chunk := await reader.read(2**20)):
            came += len(chunk)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "one"}')
        writer.close()

    image = PNG + os.urandom(15 * 2**20)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, LumaClient("k", base_url=url) as luma:
        with pytest.raises(SubmissionStoppedError, match="the job was not accepted"):
            await luma.generate("a cat", image=image)

    assert came < len(image)


async def test_the_error_of_http_413_tells_how_to_scale_the_image() -> None:
    """The error mentions `image_from`."""
    async with Simulator() as sim, connect(sim) as luma:
        sim.faults.add(Fault.page(413))
        with pytest.raises(Exception, match=r"Make the image smaller: image_from"):
            await luma.generate("a cat", image=PNG)


async def test_an_image_is_scaled_on_request() -> None:
    """The longer side is at most `max_side`, the aspect ratio is kept, and a JPEG stays a JPEG."""
    small = await image_from(an_image("JPEG", (90, 60)), max_side=30)
    png = await image_from(an_image("GIF", (60, 90)), max_side=30)

    assert isinstance(small, Image)
    assert isinstance(png, Image)
    assert (small.media_type, png.media_type) == ("image/jpeg", "image/png")
    assert PillowImage.open(io.BytesIO(bytes(small))).size == (30, 20)
    assert PillowImage.open(io.BytesIO(bytes(png))).size == (20, 30)


async def test_an_image_that_is_small_enough_is_not_changed() -> None:
    """The bytes stay the same."""
    image = await image_from(PNG, max_side=60)

    assert isinstance(image, Image)
    assert bytes(image) == PNG
    assert image.size == len(PNG)


async def test_a_scaled_image_stands_upright() -> None:
    """The orientation in the metadata is applied, because scaling drops the metadata."""
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = an_image("JPEG", (90, 60), exif=exif)

    image = await image_from(turned, max_side=30)

    assert isinstance(image, Image)
    assert PillowImage.open(io.BytesIO(bytes(image))).size == (20, 30)


async def test_a_large_image_may_be_scaled_below_the_limit() -> None:
    """The limit holds for the image that is sent."""
    noise = PillowImage.effect_noise((1200, 1200), 99)
    with pytest.raises(InvalidRequestError, match="max_side=2048"):
        await image_from(noise, max_bytes=200_000)

    image = await image_from(noise, max_side=300, max_bytes=200_000)

    assert isinstance(image, Image)
    assert image.size < 200_000


async def test_an_image_that_cannot_be_scaled_is_an_error() -> None:
    """URLs and damaged images cannot be scaled."""
    assert await image_from("https://host/cat.png") == "https://host/cat.png"
    with pytest.raises(InvalidRequestError, match="is a URL; the server fetches"):
        await image_from("https://host/cat.png", max_side=300)
    with pytest.raises(InvalidRequestError, match="cannot be scaled"):
        await image_from(PNG[:60], max_side=30)


@given(
    st.lists(st.tuples(st.integers(0, len(PNG) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
async def test_a_damaged_image_is_scaled_or_rejected(changes: list[tuple[int, int]]) -> None:
    """Pillow's exceptions become `InvalidRequestError`."""
    data = bytearray(PNG)
    for place, value in changes:
        data[place] = value

    with contextlib.suppress(InvalidRequestError):
        assert isinstance(await image_from(data, max_side=16), Image)


async def test_the_maximum_side_must_be_positive() -> None:
    """A `max_side` of 0 is rejected."""
    with pytest.raises(InvalidRequestError, match="max_side: must be 1 or more, got 0"):
        await image_from(PNG, max_side=0)


async def test_a_file_that_hangs_does_not_block_others() -> None:
    """Other files are read meanwhile."""
    hangs, let_go = threading.Event(), threading.Event()

    class Hanging(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            hangs.set()
            let_go.wait(120)
            return b""

    hanging = asyncio.create_task(image_from(Hanging(b"x")))
    try:
        await until(hangs.is_set)
        async with asyncio.timeout(60):
            image = await image_from(io.BytesIO(PNG))
    finally:
        let_go.set()
    with pytest.raises(InvalidRequestError, match="is empty"):
        await hanging

    assert bytes(cast("Image", image)) == PNG


class Strange:
    def __fspath__(self) -> Any:
        return 5


STRANGE: dict[str, Any] = {"released": memoryview(PNG), "a path that is none": Strange()}
STRANGE["released"].release()


@pytest.mark.parametrize("kind", STRANGE)
async def test_an_exception_of_a_source_is_reported(kind: str) -> None:
    """The error is an `InvalidRequestError` with the reason."""
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        await image_from(STRANGE[kind])


async def test_a_view_that_is_not_contiguous_is_accepted() -> None:
    """The image is every other byte of a buffer."""
    doubled = bytes(byte for byte in PNG for _ in range(2))

    assert bytes(cast("Image", await image_from(memoryview(doubled)[::2]))) == PNG


async def test_an_image_is_a_value(tmp_path: Path) -> None:
    """Images can be reused, compared, copied and pickled, and their `repr` is short."""
    path = _file(tmp_path, PNG)
    image = await image_from(path)
    path.unlink()
    async with Simulator() as sim, connect(sim) as luma:
        await luma.generate("a cat", image=image, image_end=image)

    assert arrived(sim.ledger.jobs[0].request["image_end_url"]) == ("image/png", PNG)
    assert pickle.loads(pickle.dumps(image)) == image == await image_from(PNG)  # noqa: S301
    assert len({image, await image_from(PNG), await image_from(an_image("BMP"))}) == 2
    assert len(repr(image)) < 150
    assert len(repr(GenerateRequest("a cat", image=PNG * 100))) < 100


async def test_scaling_without_pillow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base installation does not include Pillow."""
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(Exception, match=r'pip install "luma-async\[images\]"'):
        await image_from(PNG, max_side=10)


@given(st.binary(max_size=600))
def test_the_media_type_of_any_bytes_is_a_type_or_none(data: bytes) -> None:
    """The detection never raises."""
    found = media_type(data)

    assert found is None or found.split("/")[0] in ("image", "video")


@given(
    size=st.sampled_from([0, 1, 2, 3, 4, STEP - 1, STEP, STEP + 1, 2 * STEP + 2]),
    fields=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers() | st.text('aé"\\')),
    first=st.booleans(),
)
def test_a_streamed_body_is_the_same_json(
    size: int, fields: dict[str, Any], *, first: bool
) -> None:
    """The pieces of a body with images are its JSON, with the announced length."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    image = Image(memoryview(data), "image/png", "")
    named: dict[str, Any] = {"image": image, **fields} if first else {**fields, "image": image}
    body = Body(named)
    pieces = list(body)

    assert len(body) == sum(map(len, pieces))
    assert all(pieces)
    assert json.loads(b"".join(pieces)) == {
        name: as_data_uri(data) if isinstance(value, Image) else value
        for name, value in named.items()
    }


async def test_an_image_does_not_reference_a_file_in_memory() -> None:
    """A collected `BytesIO` with an exported buffer would print a warning to stderr."""
    opened = PillowImage.open(io.BytesIO(PNG))

    images = [await image_from(opened), await image_from(PNG, max_side=8)]

    for image in images:
        assert isinstance(cast("Image", image).data.obj, bytes)


LOCAL: dict[str, Callable[[Path], ImageLike]] = {
    "path": lambda path: path,
    "path as text": str,
    "relative path": lambda path: path.name,
    "file": lambda path: path.open("rb"),
    "unbuffered file": lambda path: path.open("rb", buffering=0),
    "file that is open for text": lambda path: cast("Any", path.open(encoding="utf-8")),
    "temporary file with a name": lambda _: tempfile.NamedTemporaryFile(),  # noqa: SIM115
}


@pytest.mark.parametrize("kind", LOCAL)
async def test_a_client_without_local_files_rejects_them_before_reading(
    kind: str, tmp_path: Path
) -> None:
    """The error names the field. It is the same if there is no such file, so it tells nobody."""
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    source: Any = LOCAL[kind](path)
    async with Simulator() as sim, connect(sim, allow_local_files=False) as luma:
        for image in (source, "nowhere.png"):
            with pytest.raises(InvalidRequestError) as caught:
                await luma.generate("a cat", image="https://host/a.png", image_end=image)
            assert caught.value.fields == {
                "image_end": "local files are not allowed by this client; "
                "pass a URL, bytes or a data URI"
            }

    assert sim.ledger.requests.total() == 0
    if hasattr(source, "close"):
        assert source.closed or source.tell() == 0
        source.close()


def upload() -> Any:
    """Return an upload as aiohttp keeps it: a file without a name."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(PNG)
    file.seek(0)
    return file


NOT_LOCAL: dict[str, Callable[[], ImageLike]] = {
    "URL": lambda: "https://host/cat.png",
    "data URI": lambda: as_data_uri(PNG),
    "bytes": lambda: PNG,
    "file in memory": lambda: io.BytesIO(PNG),
    "buffered file in memory": lambda: io.BufferedReader(io.BytesIO(PNG)),
    "upload in memory": lambda: spooled(PNG),
    "upload on the disk": upload,
    "Pillow image": lambda: PillowImage.open(io.BytesIO(PNG)),
}


@pytest.mark.parametrize("kind", NOT_LOCAL)
async def test_a_client_without_local_files_takes_all_other_images(
    kind: str, tmp_path: Path
) -> None:
    """Files in memory and uploads are not local files, and neither is an image that was read."""
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    source = NOT_LOCAL[kind]()
    async with Simulator() as sim, connect(sim, allow_local_files=False) as luma:
        await luma.generate("a cat", image=source, image_end=await image_from(path))

    sent = sim.ledger.jobs[0].request
    assert sent["image_url"] == source or arrived(sent["image_url"])[0] == "image/png"
    assert arrived(sent["image_end_url"]) == ("image/png", PNG)
    if hasattr(source, "close"):
        source.close()
