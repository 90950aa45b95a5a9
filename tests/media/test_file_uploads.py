"""Large images and videos are uploaded once for each content, and small images go inline."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from yarl import URL

from luma_async import (
    AgentsDialect,
    APIError,
    BadRequestError,
    ClientClosedError,
    EditRequest,
    InvalidRequestError,
    LumaClient,
    LumaError,
    SQLJournal,
    SubmissionStoppedError,
    UploadError,
    image_from,
)
from luma_async.image_sources import ImageLike
from luma_async.media.addresses import AddressPolicy
from luma_async.media.requester import Requester
from luma_async.simulator import Fault, Fixed, Simulator
from luma_async.simulator.uploaded_files import UploadedFile
from tests.clients import KEY, connect, until
from tests.loops import skip
from tests.media.image_files import an_image, as_data_uri
from tests.tls import client_context, server_context

PNG = an_image()
LIMIT = AgentsDialect.files.inline_limit
LARGE = PNG + bytes(LIMIT)


def agents(simulator: Simulator, **settings: Any) -> LumaClient:
    return connect(simulator, dialect="agents", **settings)


def files_of(simulator: Simulator) -> list[UploadedFile]:
    """Return the files at a server, newest first."""
    return list(simulator._agents_files._files.newest_first(KEY))


def used_by(simulator: Simulator) -> list[str]:
    """Return the file of each job, in order."""
    return [job.request["video"]["start_frame"]["file_id"] for job in simulator.ledger.jobs]


def fault(*calls: str, **fields: Any) -> Fault:
    return Fault(on=calls, **{"times": 1, **fields})  # type: ignore[arg-type]


class SkipPauses(logging.Handler):
    """Skip the pause before each further try, which the log announces."""

    def emit(self, record: logging.LogRecord) -> None:
        if "Trying again" in record.msg:
            assert isinstance(record.args, tuple)
            asyncio.get_running_loop().call_soon(partial(skip, cast("float", record.args[-1])))


@pytest.fixture
def no_pauses(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let a client try again at once."""
    logger, handler = logging.getLogger("luma_async"), SkipPauses()
    caplog.set_level(logging.INFO, "luma_async")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


async def test_a_30_mib_image_of_50_rows_is_uploaded_once(tmp_path: Path) -> None:
    """The bytes leave once, from the disk, by way of the media host and without the API key."""
    path = tmp_path / "large.png"
    content = PNG + os.urandom(30 * 2**20)
    path.write_bytes(content)
    async with Simulator(durations=Fixed(0.0), speed=100) as sim, agents(sim) as luma:
        tracemalloc.start()
        try:
            rows = [{"prompt": f"row {number}", "image": path} for number in range(50)]
            outcomes = [each async for each in luma.run_many(rows)]
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        [stored] = files_of(sim)
        assert all(each.ok for each in outcomes)
        assert used_by(sim) == [stored.id] * 50
        arrived = await asyncio.to_thread(stored.path.read_bytes)
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest()
    assert sim.ledger.requests["agents.create_file"] == 1
    assert sim.ledger.requests["agents.upload"] == 1
    assert sim.ledger.requests["agents.complete_file"] == 1
    assert sim.ledger.keys_seen_by_media == []
    assert most < 20 * 2**20


INLINE: dict[str, Callable[[Path], ImageLike]] = {
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "data URI": lambda path: as_data_uri(path.read_bytes()),
    "file": lambda path: path.open("rb"),
}


@pytest.mark.parametrize("kind", INLINE)
async def test_a_small_image_goes_inline(kind: str, tmp_path: Path) -> None:
    """An image of 4 KiB is in the request, as Base64 with its media type."""
    path = tmp_path / "small.png"
    path.write_bytes(PNG.ljust(4096, b"\0"))
    source = INLINE[kind](path)
    async with Simulator() as sim, agents(sim) as luma:
        await luma.generate("a cat", image=source)

    frame = sim.ledger.jobs[0].request["video"]["start_frame"]
    assert frame["media_type"] == "image/png"
    assert base64.b64decode(frame["data"]) == path.read_bytes()
    assert sim.ledger.requests["agents.create_file"] == 0
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize("kind", INLINE)
async def test_a_large_image_of_any_source_is_uploaded(kind: str, tmp_path: Path) -> None:
    """Each source leads to the same file, which is uploaded for the first of them only."""
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    source = INLINE[kind](path)
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        await luma.generate("a cat", image=source)
        await luma.generate("a cat", keyframes={0: LARGE, 24: PNG})
        stored = [file.path.read_bytes() for file in files_of(sim)]

    first, second = (job.request["video"] for job in sim.ledger.jobs)
    assert first["start_frame"]["file_id"] == second["keyframes"][0]["file_id"]
    assert "data" in second["keyframes"][1]
    assert stored == [LARGE]
    if hasattr(source, "close"):
        source.close()


async def test_a_request_with_many_small_images_stays_small() -> None:
    """The largest of them are uploaded, so that the rest fits into one request."""
    images = {frame: PNG + bytes(700_000 + frame) for frame in range(0, 100, 10)}
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        await luma.generate("a cat", keyframes=images)

    frames = sim.ledger.jobs[0].request["video"]["keyframes"]
    assert ["data" in frame for frame in frames] == [True] * 5 + [False] * 5
    assert sim.ledger.requests["agents.upload"] == 5


PASSING = {
    "create is cut": fault("agents.create_file", drop=True, after=True),
    "create is busy": fault("agents.create_file", status=503),
    "PUT is cut in the middle": fault("agents.upload", drop=True),
    "the answer to PUT is lost": fault("agents.upload", drop=True, after=True),
    "the host is busy": fault("agents.upload", status=503),
    "the place has expired": fault("agents.upload", status=403),
    "the answer to complete is lost": fault("agents.complete_file", drop=True, after=True),
    "complete is rejected for good": fault("agents.complete_file", status=422, body=b"{}"),
    "complete was done": fault("agents.complete_file", status=409, body=b"{}", after=True),
    "a look is cut": fault("agents.get_file", drop=True),
}


@pytest.mark.parametrize("kind", PASSING)
async def test_an_upload_survives_a_passing_failure(kind: str, no_pauses: None) -> None:
    """It is repeated until the file is ready, and the job is submitted once."""
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        sim.faults.add(PASSING[kind])
        await luma.generate("a cat", image=LARGE)

        [used] = used_by(sim)
        [stored] = [file for file in files_of(sim) if file.id == used]
        assert stored.path.read_bytes() == LARGE
    assert sum(sim.ledger.statuses[code] for code in (444, 503, 403, 422, 409)) == 1


LASTING: dict[str, tuple[Fault, type[LumaError], str]] = {
    "the host refuses": (
        fault("agents.upload", status=403, times=None),
        UploadError,
        "The image/png of 1.0 MiB was not uploaded: the media host answered HTTP 403",
    ),
    "the host hangs up": (
        fault("agents.upload", drop=True, times=None),
        UploadError,
        "was not uploaded: the ",
    ),
    "no such call": (fault("agents.create_file", status=404), APIError, "does not take uploads"),
    "an invalid place": (
        fault(
            "agents.create_file",
            status=201,
            body=b'{"id": "f", "state": "pending", "upload": {"url": "ftp://host/a"}}',
        ),
        UploadError,
        "invalid URL for the upload",
    ),
    "an unencrypted place": (
        fault(
            "agents.create_file",
            status=201,
            body=b'{"id": "f", "state": "pending", "upload": {"url": "http://store.example/a"}}',
        ),
        UploadError,
        "at store.example without encryption",
    ),
    "a private place": (
        fault(
            "agents.create_file",
            status=201,
            body=b'{"id": "f", "state": "pending", "upload": {"url": "https://169.254.1.1/a"}}',
        ),
        UploadError,
        "169.254.1.1 has a link-local address",
    ),
}


@pytest.mark.parametrize("kind", LASTING)
async def test_an_upload_that_fails_submits_nothing(kind: str, no_pauses: None) -> None:
    """The error says why, and a later call uploads the file again."""
    broken, expected, text = LASTING[kind]
    async with Simulator(speed=100) as sim, agents(sim, max_tries=2) as luma:
        sim.faults.add(broken)
        with pytest.raises(expected, match=text):
            await luma.generate("a cat", image=LARGE)
        assert sim.ledger.requests["agents.generate"] == 0

        sim.faults.clear()
        await luma.generate("a cat", image=LARGE)

    assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize(
    ("size", "reason"),
    [(24 * 2**20, "fewer than 64 KiB per second left"), (0, "did not answer in time")],
    ids=["the bytes stand still", "no answer"],
)
async def test_an_upload_that_stands_still_ends(size: int, reason: str) -> None:
    """The time for an answer begins when the bytes have left, which must not be too slow."""
    async with Simulator(speed=100) as sim, agents(sim, max_tries=1) as luma:
        sim.faults.add(fault("agents.upload", delay=math.inf))
        caller = asyncio.create_task(luma.generate("a cat", image=LARGE + bytes(size)))
        await until(lambda: sim.ledger.requests["agents.upload"])
        await asyncio.sleep(0.1)  # as many bytes leave as the buffers take
        skip(100.0)
        with pytest.raises(UploadError, match=reason):
            await caller
        sim.faults.clear()


async def test_an_upload_ends_although_the_server_goes_on_processing() -> None:
    """It may say so as often as it wants; the place of the upload is needed for others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"a cat")
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        has_left.set()

    has_left = asyncio.Event()
    policy = AddressPolicy("api.example", allow_private=True)
    requester = Requester(
        policy, timeout=0.2, trust_env=False, media_session=None, api_session=None
    )
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/cat.png")
        async with asyncio.timeout(30):
            with pytest.raises(TimeoutError):
                await requester.put(url, {}, aiohttp.BytesPayload(b"a cat"))
            await requester.aclose()
            await has_left.wait()


async def test_a_file_that_the_server_rejects_is_an_invalid_image() -> None:
    """The error names the field and the server's reason, for all callers that share the upload."""
    broken = an_image(size=(8001, 1)) + bytes(LIMIT)
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        asked = (luma.generate("a cat", image_end=broken) for _ in range(3))
        errors = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(InvalidRequestError) as caught:
            await luma.generate("a cat", image=broken, image_end=LARGE)

    assert len(set(map(id, errors))) == 3
    for error in errors:
        assert isinstance(error, InvalidRequestError)
        assert list(error.fields) == ["image_end"]
        assert "was rejected by the server: a side of the image has more than" in str(error)
    assert list(caught.value.fields) == ["image"]
    assert sim.ledger.requests["agents.upload"] == 3
    assert sim.ledger.requests["agents.generate"] == 0


async def test_a_cancelled_caller_does_not_end_the_upload_of_others() -> None:
    """The first of two callers is cancelled, and the other one gets its job."""
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        sim.faults.add(fault("agents.upload", delay=math.inf))
        image = await image_from(LARGE)  # so that both callers share the upload at once
        first, second = (asyncio.create_task(luma.generate("a", image=image)) for _ in range(2))
        await until(lambda: sim.ledger.requests["agents.upload"])
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        sim.faults.clear()
        await second

    assert sim.ledger.requests["agents.upload"] == 1
    assert len(sim.ledger.jobs) == 1


def _uploads() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()).endswith("upload")]


ENDS: dict[str, tuple[Callable[[LumaClient, asyncio.Task[Any]], Any], type[BaseException]]] = {
    "cancellation": (lambda _, caller: caller.cancel(), asyncio.CancelledError),
    "stop_submitting": (lambda luma, _: luma.stop_submitting(), SubmissionStoppedError),
    "aclose": (lambda luma, _: asyncio.ensure_future(luma.aclose()), ClientClosedError),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("call", ["agents.create_file", "agents.upload", "agents.get_file"])
async def test_an_upload_ends_with_its_only_caller(kind: str, call: str) -> None:
    """Nothing is left running, and nothing is submitted."""
    end, expected = ENDS[kind]
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        sim.faults.add(fault(call, delay=math.inf))
        caller = asyncio.create_task(luma.generate("a cat", image=LARGE))
        await until(lambda: sim.ledger.requests[call])
        ending = end(luma, caller)
        with pytest.raises(expected):
            await caller
        assert _uploads() == []
        if isinstance(ending, asyncio.Future):
            await ending
        sim.faults.clear()

    assert sim.ledger.requests["agents.generate"] == 0


async def test_a_file_that_was_deleted_at_the_server_is_uploaded_again() -> None:
    """The rejection of a job with a file that is gone does not reach the caller."""
    async with Simulator(speed=100) as sim, agents(sim, max_tasks=1) as luma:
        await luma.generate("a cat", image=LARGE)
        files_of(sim)[0].deleted_at = 0.0
        sim.advance(3600.0)
        await luma.generate("a cat", image=LARGE)
        with pytest.raises(BadRequestError):  # for another reason
            sim.reject_next(400)
            await luma.generate("a cat", image=LARGE)

    first, second = used_by(sim)
    assert first != second
    assert sim.ledger.requests["agents.upload"] == 2


async def test_a_file_that_changes_before_it_is_sent_is_not_uploaded(tmp_path: Path) -> None:
    """What is sent is what the journal has the digest of."""
    path = tmp_path / "large.png"
    path.write_bytes(LARGE)
    async with Simulator(speed=100) as sim, agents(sim) as luma:
        sim.faults.add(fault("agents.create_file", delay=math.inf))
        caller = asyncio.create_task(luma.generate("a cat", image=path))
        await until(lambda: sim.ledger.requests["agents.create_file"])
        path.write_bytes(LARGE[:-1] + b"!")
        sim.faults.clear()
        with pytest.raises(InvalidRequestError, match=r"image: .*'large.png'.* has changed since"):
            await caller

    assert sim.ledger.requests["agents.complete_file"] == 0


async def test_media_may_be_a_video(tmp_path: Path) -> None:
    """A local video is uploaded whatever its size, and an image in its place is an error."""
    async with Simulator(speed=100, durations=Fixed(0.0), short_side=64) as sim:
        async with agents(sim) as luma:
            made = await luma.generate("a cat", resolution="360p")
            path = await luma.download(made, tmp_path / "cat.mp4")
            content = path.read_bytes()
            await luma.submit(EditRequest("a dog", media=str(path)))
            for source in (path, content, as_data_uri(content, "video/mp4")):
                await luma.edit(source, "a dog")
            with path.open("rb") as file:
                await luma.reframe(file, "9:16", "wider")
            for source in (PNG, as_data_uri(PNG), _png(tmp_path)):
                with pytest.raises(InvalidRequestError, match="media: is not a video"):
                    await luma.edit(source, "a dog")
            with pytest.raises(InvalidRequestError, match="image: is not an image, but video/mp4"):
                await luma.generate("a cat", image=path)
        async with agents(sim, allow_local_files=False) as luma:
            with pytest.raises(InvalidRequestError, match="media: local files are not allowed"):
                await luma.edit(path, "a dog")

        [stored] = files_of(sim)
        assert (stored.body.mime_type, stored.body.filename) == ("video/mp4", "cat.mp4")
        assert stored.path.read_bytes() == content
        edits = [job.request for job in sim.ledger.jobs[1:]]
        assert [edit["source"]["file_id"] for edit in edits] == [stored.id] * 5


def _png(folder: Path) -> Path:
    path = folder / "cat.png"
    path.write_bytes(PNG)
    return path


REMEMBERED: dict[str, tuple[Callable[[UploadedFile], None], int]] = {
    "ready": (lambda _: None, 1),
    "still being checked": (lambda file: setattr(file, "ingested_at", file.created_at + 50.0), 1),
    "deleted": (lambda file: setattr(file, "deleted_at", 0.0), 2),
    "failed": (lambda file: setattr(file, "failure", "it is not allowed"), 2),
    "of another account": (lambda file: setattr(file, "owner", "another key"), 2),
    "expires soon": (lambda file: setattr(file, "body", _expiring(file, hours=1)), 2),
    "expires later": (lambda file: setattr(file, "body", _expiring(file, hours=9)), 1),
}


def _expiring(file: UploadedFile, *, hours: float) -> Any:
    at = datetime.now(UTC) + timedelta(hours=hours)
    return file.body.model_copy(update={"expires_at": at.isoformat()})


@pytest.mark.parametrize("kind", REMEMBERED)
async def test_a_file_that_the_journal_remembers_is_checked_once(kind: str, tmp_path: Path) -> None:
    """It is used if it can be, and else uploaded again; no job fails for it."""
    change, uploads = REMEMBERED[kind]
    place = tmp_path / "jobs.db"
    async with Simulator(speed=100, durations=Fixed(0.0)) as sim:
        async with agents(sim, journal=place) as luma:
            await luma.generate("a cat", image=LARGE)
        [first] = files_of(sim)
        change(first)
        async with agents(sim, journal=place) as luma:
            for number in range(3):
                await luma.generate(f"a dog {number}", image=LARGE)

    assert sim.ledger.requests["agents.upload"] == uploads
    assert len(set(used_by(sim)[1:])) == 1
    assert (used_by(sim)[1] == first.id) is (uploads == 1)


async def test_a_job_that_the_journal_knows_uploads_nothing(tmp_path: Path) -> None:
    """The fingerprint is that of the content, whether it was sent inline, uploaded, or from a path.

    So the job is found although the file is gone, and another client sends images in another way.
    """
    place, path = tmp_path / "jobs.db", tmp_path / "large.png"
    path.write_bytes(LARGE)
    async with Simulator(speed=100, durations=Fixed(0.0)) as sim:
        async with agents(sim, journal=place) as luma:
            first = await luma.generate("a cat", image=path, key="cat")
        files_of(sim)[0].deleted_at = 0.0
        async with agents(sim, journal=place) as luma:
            again = await luma.generate("a cat", image=LARGE, key="cat")

    assert again.id == first.id
    assert sim.ledger.requests["agents.create_file"] == 1
    assert sim.ledger.requests["agents.get_file"] <= 5


async def test_a_journal_without_memory_of_files_still_works(tmp_path: Path) -> None:
    """The methods are optional: each process uploads the file once."""

    class Plain:
        """A journal of the user's own, with the methods that each journal must have."""

        def __init__(self, journal: SQLJournal) -> None:
            self._journal = journal

        def __getattr__(self, name: str) -> Any:
            if name in ("find_file", "remember_file"):
                raise AttributeError(name)
            return getattr(self._journal, name)

    async with SQLJournal(tmp_path / "jobs.db") as journal, Simulator(speed=100) as sim:
        for number in range(2):
            async with agents(sim, journal=Plain(journal)) as luma:
                await luma.generate(f"a cat {number}", image=LARGE)

    assert sim.ledger.requests["agents.upload"] == 2


async def test_an_upload_by_tls_never_shows_the_api_key() -> None:
    """The connections of the caller's session are used, and not its headers."""
    async with Simulator(speed=100, ssl_context=server_context()) as sim:
        connector = aiohttp.TCPConnector(ssl=client_context())
        headers = {"Authorization": "Bearer of the session"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            async with agents(sim, session=session) as luma:
                await luma.generate("a cat", image=LARGE)

    assert sim.ledger.requests["agents.upload"] == 1
    assert sim.ledger.keys_seen_by_media == []
