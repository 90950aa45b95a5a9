"""Batches whose videos go to a bucket: whole, once, and continued after anything."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from luma_async import BatchError, ConfigurationError
from luma_async.batch import Batch, LiveGallery, read_manifest, remote_files
from luma_async.batch.remote_files import RemoteFiles, without_secrets
from luma_async.simulator import Fault, Fixed, Simulator
from tests.batch.buckets import SECRET, S3Server, Way, credentials
from tests.batch.runs import a_manifest, cats, end_all, lines, run, small
from tests.clients import HOUR, InTurn, connect, until
from tests.forked_programs import PYTHON, ForkedProgram
from tests.loops import skip
from tests.media.hosts import media

BUCKET = "films"
URL = f"s3://{BUCKET}/cats"


@pytest.fixture
async def way(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """Return the way to an empty bucket, which the environment names."""
    server.call("POST", "moto-api/reset")
    server.call("PUT", BUCKET)
    async with Way(server) as way:
        for name, value in credentials(way.url).items():
            monkeypatch.setenv(name, value)
        yield way
        S3FileSystem.clear_instance_cache()


def downloaded(sim: Simulator) -> dict[str, int]:
    """Return the number of bytes that were sent of the video of each job."""
    return {
        name: sum(end - start for start, end in ranges) for name, ranges in sim.ledger.sent.items()
    }


async def test_a_bucket_is_complete_by_itself(way: Way, server: S3Server, tmp_path: Path) -> None:
    """Videos, results, and a gallery that shows them; the local gallery says where they are."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        manifest = read_manifest(a_manifest(tmp_path, *cats(3)))
        batch = Batch(luma, manifest, tmp_path, output=URL)
        async with LiveGallery(batch, title="Cats", command="again"):
            found = [result async for result in batch.run()]

    sizes = server.sizes(BUCKET)
    assert sizes.keys() == {
        "cats/gallery.html",
        "cats/results.jsonl",
        *(f"cats/videos/cat-{n}.mp4" for n in range(3)),
    }
    assert {f"cats/{result.file}": result.bytes for result in found} == server.videos(BUCKET)
    assert server.call("GET", f"{BUCKET}/cats/results.jsonl").decode() == (
        tmp_path / "results.jsonl"
    ).read_text("utf-8")
    page = server.call("GET", f"{BUCKET}/cats/gallery.html").decode()
    assert 'href="videos/cat-2.mp4"' in page
    assert f"Its file is {URL}/videos/cat-2.mp4." in (tmp_path / "gallery.html").read_text("utf-8")
    assert list(tmp_path.rglob("*.mp4*")) == []


async def test_a_bucket_is_up_to_date_while_the_batch_runs(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """The results and the gallery are copied after half a minute, if rows have ended."""
    async with small(durations=InTurn(0.1, HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            manifest = read_manifest(a_manifest(tmp_path, *cats(2)))
            batch = Batch(luma, manifest, tmp_path, output=URL)
            async with LiveGallery(batch, title="Cats", command="again", every=0.05):
                running = batch.run()
                first = await anext(running)
                await until(lambda: '"done"' in read(tmp_path / "gallery-live"))
                assert server.sizes(BUCKET)["cats/results.jsonl"] == 0
                skip(30)
                await until(lambda: "cats/gallery.html" in server.sizes(BUCKET))
                page = server.call("GET", f"{BUCKET}/cats/gallery.html").decode()
                await until(lambda: server.sizes(BUCKET)["cats/results.jsonl"])
                await running.aclose()

    assert f'href="{first.file}"' in page


def read(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("rows-*.js"))


async def test_what_is_there_is_found_with_one_listing(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """Another run asks for nothing else than a truncated object, however many rows there are."""
    manifest = a_manifest(tmp_path, *cats(12))
    async with small() as sim:
        await run(sim, manifest, tmp_path, output=URL)
        asked, way.requests = sim.ledger.requests.total(), 0

        assert await run(sim, manifest, tmp_path, output=URL) == []

        assert sim.ledger.requests.total() == asked
        assert way.requests < 10
        server.call("PUT", f"{BUCKET}/cats/videos/cat-7.mp4", b"a part")
        [again] = await run(sim, manifest, tmp_path, output=URL)

        assert len(sim.ledger.jobs) == 12
    assert again.key == "cat-7"
    assert len(set(server.videos(BUCKET).values())) == 1


async def test_another_machine_reads_the_results_from_the_bucket(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """It has the journal and no folder, and asks for nothing that is there. So does the first."""
    found: dict[str, list[str]] = {}
    async with small() as sim:
        for machine, rows in [("one", 2), ("two", 3), ("one", 3)]:
            manifest = read_manifest(a_manifest(tmp_path, *cats(rows)))
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = Batch(luma, manifest, tmp_path / machine, output=URL)
                found[f"{machine}, {rows}"] = [result.key async for result in batch.run()]

        assert len(sim.ledger.jobs) == len(downloaded(sim)) == 3
    assert {run: len(keys) for run, keys in found.items()} == {
        "one, 2": 2,
        "two, 3": 1,
        "one, 3": 0,
    }
    assert {line["key"] for line in lines(tmp_path / "one")} == {"cat-0", "cat-1", "cat-2"}


async def test_a_new_journal_does_not_pay_for_uncertain_rows(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """The results in the bucket tell of them, and only the journal of them could settle them."""
    manifest = a_manifest(tmp_path, *cats(1))
    async with small() as sim:
        sim.faults.add(Fault.cut(after=True, on=["generate"]))
        [uncertain] = await run(sim, manifest, tmp_path / "one", output=URL)
        with pytest.raises(BatchError, match=r"'cat-0' is uncertain .* but the journal is empty"):
            await run(sim, manifest, tmp_path / "two", output=URL)

        assert len(sim.ledger.jobs) == 1
    assert uncertain.state == "uncertain"


async def test_an_upload_that_is_cut_is_repeated(
    way: Way, server: S3Server, tmp_path: Path, quick_retries: None
) -> None:
    """Half of a video was sent, twice; it is in the bucket once, and was downloaded once."""
    way.breaks += ["cut", "cut"]
    async with small() as sim:
        [result] = await run(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=URL)

        assert list(downloaded(sim).values()) == list(server.videos(BUCKET).values())
    assert (result.state, way.breaks) == ("done", [])


async def test_a_bucket_that_is_gone_costs_nothing(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """The videos that are paid for stay on the disk, and the next run uploads them."""
    manifest = a_manifest(tmp_path, *cats(2))
    async with small(durations=Fixed(HOUR)) as sim:
        running = asyncio.create_task(run(sim, manifest, tmp_path, output=URL))
        await until(lambda: len(sim.ledger.jobs) == 2)
        server.call("DELETE", f"{BUCKET}/cats/results.jsonl")
        server.call("DELETE", BUCKET)
        with pytest.raises(BatchError, match=r"results\.jsonl cannot be copied to s3://films/cats"):
            await end_all(sim, running)
        for line in lines(tmp_path):
            assert line["state"] == "not downloaded"
            assert "was not uploaded to s3://films/cats: not found" in line["error"]
        server.call("PUT", BUCKET)

        again = await run(sim, manifest, tmp_path, output=URL)

        assert len(sim.ledger.jobs) == 2
        assert sorted(downloaded(sim).values()) == sorted(server.videos(BUCKET).values())
    assert [result.state for result in again] == ["done", "done"]


@pytest.mark.parametrize("moment", ["download", "upload"])
async def test_a_killed_run_is_continued(
    moment: str, way: Way, server: S3Server, tmp_path: Path
) -> None:
    """After SIGKILL, no object is half, and the next run transfers what is missing only."""
    manifest, folder = a_manifest(tmp_path, *cats(1)), tmp_path / "rows"
    folder.mkdir()
    async with small(video_bytes=2**20) as sim:
        if moment == "upload":
            way.breaks.append("hold")
        else:
            sim.faults.add(media(bytes_per_second=100_000))
        has_come = way.is_held.is_set if moment == "upload" else partial(has_part, folder)
        words = map(str, (sim.url, manifest, folder, URL))
        with ForkedProgram([*PYTHON, "-m", "tests.programs.remote_batch", *words]) as process:
            await until(has_come)
            process.kill()
        assert server.videos(BUCKET) == {}
        sim.faults.clear()

        [result] = await run(sim, manifest, folder, output=URL)

        assert len(sim.ledger.jobs) == 1
        [ranges] = sim.ledger.sent.values()
        assert ranges[-1][1] == result.bytes
        assert [start for start, _ in ranges[1:]] == ([] if moment == "upload" else [ANY])
    assert server.videos(BUCKET) == {"cats/videos/cat-0.mp4": result.bytes}
    assert not list((folder / ".upload").glob("*/"))


def has_part(folder: Path) -> bool:
    """Return `True` if some of a video has arrived."""
    return any(path.stat().st_size > 50_000 for path in folder.glob(".upload/*/*.part"))


async def test_keys_that_are_not_valid_are_an_error_before_any_payment(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """The error names the bucket and the reason, and not the keys."""
    server.check_keys(strictly=True)
    try:
        async with small() as sim:
            with pytest.raises(BatchError) as caught:
                await run(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=URL)

            assert sim.ledger.jobs == []
    finally:
        server.check_keys(strictly=False)
    assert str(caught.value).startswith(f"{URL} cannot be used: ")
    assert "Nothing was submitted." in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_bucket_that_does_not_exist_is_an_error_before_any_payment(
    way: Way, server: S3Server, tmp_path: Path
) -> None:
    """It is not created."""
    async with small() as sim:
        with pytest.raises(BatchError, match=r"bucket does not exist.* Nothing was submitted"):
            await run(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output="s3://none/cats")

        assert sim.ledger.jobs == []


async def test_a_redo_keeps_the_earlier_object(way: Way, server: S3Server, tmp_path: Path) -> None:
    """It has the id of its job in its name, as in a folder."""
    manifest = a_manifest(tmp_path, *cats(2))
    async with small() as sim:
        first = {each.key: each for each in await run(sim, manifest, tmp_path, output=URL)}
        [new] = await run(sim, manifest, tmp_path, output=URL, redo=["cat-1"])

    [earlier] = new.earlier
    assert earlier.id == first["cat-1"].id
    assert server.videos(BUCKET).keys() == {
        "cats/videos/cat-0.mp4",
        "cats/videos/cat-1.mp4",
        f"cats/{earlier.file}",
    }


async def test_a_machine_takes_over_what_another_has_redone(tmp_path: Path) -> None:
    """Its own result is older, and would replace that of the new video."""
    url = (tmp_path / "out").as_uri()
    manifest = read_manifest(a_manifest(tmp_path, *cats(2)))
    async with small() as sim:
        for machine, redo in [("one", ()), ("two", ["cat-1"]), ("one", ()), ("two", ())]:
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = Batch(luma, manifest, tmp_path / machine, output=url, redo=redo)
                _ = [result async for result in batch.run()]

        first, *_, redone = [job.id for job in sim.ledger.jobs if job.prompt == "a cat, take 1"]
    [there] = [line for line in lines(tmp_path / "out") if line["key"] == "cat-1"]
    assert there["id"] == redone
    assert [video["id"] for video in there["earlier"]] == [first]
    assert lines(tmp_path / "one") == lines(tmp_path / "out") == lines(tmp_path / "two")


async def test_a_filesystem_without_whole_uploads_gets_whole_files(tmp_path: Path) -> None:
    """They are written under other names first, and earlier ones are renamed."""
    folder = tmp_path / "out [1]"
    url = folder.as_uri().replace("%20", " ").replace("%5B", "[").replace("%5D", "]")
    manifest = a_manifest(tmp_path, *cats(2))
    async with small() as sim:
        await run(sim, manifest, tmp_path / "work", output=url)
        [new] = await run(sim, manifest, tmp_path / "work", output=url, redo=["cat-1"])
        await run(sim, manifest, tmp_path / "work", output=url)

        assert len(sim.ledger.jobs) == 3
    assert {path.name for path in folder.rglob("*")} == {
        *("results.jsonl", "videos", "cat-0.mp4", "cat-1.mp4"),
        str(new.earlier[0].file).removeprefix("videos/"),
    }


async def test_a_filesystem_without_renaming_gets_whole_files(tmp_path: Path) -> None:
    """Files are copied and removed there."""
    root = f"/{uuid4().hex}"
    async with small() as sim:
        await run(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=f"memory:/{root}")

    assert MemoryFileSystem().find(root) == [
        f"{root}/results.jsonl",
        f"{root}/videos/cat-0.mp4",
    ]


async def test_files_that_are_short_are_sent_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick_retries: None
) -> None:
    """The size is checked before a file gets its name."""
    put, puts = MemoryFileSystem.put_file, []

    def put_half(fs: MemoryFileSystem, source: str, target: str, **options: Any) -> None:
        puts.append(target)
        put(fs, source, target, **options)
        if len(puts) == 1:
            fs.pipe_file(target, b"half")

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_half)
    files = RemoteFiles(f"memory://{uuid4().hex}")
    (tmp_path / "cat.mp4").write_bytes(b"a whole video")

    assert await files.upload(tmp_path / "cat.mp4", "videos/cat.mp4") == 13

    assert len(puts) == 2
    assert await files.sizes("videos") == {"cat.mp4": 13}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("oci://bucket/cats", r"Output to oci://bucket/cats needs ocifs: pip install ocifs"),
        ("wat://bucket", r"Output to wat://bucket is not possible: Protocol not known: wat\."),
        ("s3://", r"must be a URL with a bucket, such as s3://bucket/folder\."),
        ("cats", r"must be a URL such as s3://bucket/folder, got 'cats'"),
    ],
)
async def test_an_output_that_is_not_possible_is_an_error(
    url: str, message: str, tmp_path: Path
) -> None:
    """A missing package is named. Nothing is submitted."""
    async with small() as sim:
        with pytest.raises(ConfigurationError, match=message):
            await run(sim, a_manifest(tmp_path, *cats(1)), tmp_path, output=url)

        assert sim.ledger.jobs == []


def test_an_output_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fsspec, the error has the command that installs it."""
    monkeypatch.setattr(remote_files, "is_installed", lambda name: name != "fsspec")

    with pytest.raises(
        ConfigurationError, match=r'needs fsspec: pip install "luma-async\[remote\]"'
    ):
        RemoteFiles(URL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/cats", "s3://bucket/cats"),
        ("sftp://me:pass/word@host:22/cats", "sftp://me:***@host:22/cats"),
        ("sftp://host:22/a@b", "sftp://host:22/a@b"),
        ("ftp://me@host/cats", "ftp://me@host/cats"),
        ("abfs://c@a.example/cats?sig=abc&sv=1", "abfs://c@a.example/cats?sig=***&sv=***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """User and host stay, so that a user knows it again."""
    assert without_secrets(url) == shown
