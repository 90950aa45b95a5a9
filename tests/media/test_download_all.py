"""download_all: many files are downloaded, and one failure does not affect the others."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from luma_async import (
    ClientClosedError,
    CompletedOutcome,
    DownloadError,
    FailedOutcome,
    Generation,
    GenerationFailedError,
    InvalidRequestError,
    LumaClient,
    LumaError,
    NotFoundError,
)
from luma_async.media import Download
from luma_async.media.downloads import READ_AHEAD, Sources
from luma_async.simulator import Fixed
from tests.clients import HOUR, InTurn, connect, until
from tests.media.hosts import MEGABYTE, a_video, media, small


async def list_of(files: AsyncIterator[Download]) -> list[Download]:
    return [each async for each in files]


async def every(luma: LumaClient, sources: Sources, folder: Path, **how: Any) -> list[Download]:
    return [each async for each in luma.download_all(sources, folder, **how)]


async def test_every_kind_of_source_is_accepted(tmp_path: Path) -> None:
    """Handles of running jobs, generations, outcomes and ids are accepted in any iterable."""
    async with small() as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"cat {n}", aspect_ratio="1:1") for n in range(3)]
        generation = await tasks[1]
        [outcome] = [each async for each in luma.run_many(["another cat"])]

        files = await every(luma, [tasks[0], generation, outcome, tasks[2].id], tmp_path / "all")

    assert {each.id: each.path for each in files} == {
        id: tmp_path / "all" / f"{id}.mp4" for id in (*(task.id for task in tasks), outcome.id)
    }
    assert all(each.ok and each.watermark_free and each.path.stat().st_size for each in files)
    assert {type(each.source) for each in files} == {
        type(tasks[0]),
        Generation,
        CompletedOutcome,
        str,
    }


async def test_the_outcomes_of_run_many_are_downloaded_as_they_end(tmp_path: Path) -> None:
    """Files arrive while other jobs are still running."""
    settings = {"durations": Fixed(HOUR), "same_films": True, "link_lifetime": math.inf}
    async with small(**settings) as sim, connect(sim) as luma:
        prompts = [f"cat {n}" for n in range(30)]
        outcomes = luma.run_many(prompts, max_tasks=3)
        async with aclosing(luma.download_all(outcomes, tmp_path)) as files:
            first = asyncio.create_task(anext(files))
            await until(lambda: len(sim.ledger.jobs) == 3)
            sim.advance(HOUR)
            assert (await first).ok
            assert len(sim.ledger.jobs) <= 6

            rest = asyncio.create_task(list_of(files))
            while not rest.done():
                sim.advance(HOUR)
                await asyncio.wait([rest], timeout=0.02)

    assert all(each.ok for each in await rest)
    assert len(list(tmp_path.glob("*.mp4"))) == 30


async def test_one_failure_does_not_affect_the_others(tmp_path: Path) -> None:
    """Failed jobs, unknown ids and rejected requests are each reported with their reason."""
    async with small(failure_rate=0.5) as sim, connect(sim) as luma:
        tasks = [await luma.generate(f"cat {n}", aspect_ratio="1:1") for n in range(12)]
        refused = FailedOutcome("", InvalidRequestError({"prompt": "is empty"}))

        files = await every(luma, [tasks[0], "unknown", refused, *tasks[1:]], tmp_path)

    failed = {job.id for job in sim.ledger.jobs if job.failure}
    assert 0 < len(failed) < 12
    errors: dict[str | None, type[LumaError]] = dict.fromkeys(failed, GenerationFailedError)
    errors |= {"unknown": NotFoundError, None: InvalidRequestError}
    assert {each.id: type(each.error) for each in files if not each.ok} == errors
    assert {each.id for each in files if each.ok} == {task.id for task in tasks} - failed
    assert len(list(tmp_path.iterdir())) == 12 - len(failed)


async def test_running_jobs_do_not_block_finished_ones(tmp_path: Path) -> None:
    """Finished jobs are downloaded although more running jobs than slots come before them."""
    durations = InTurn(0.1, HOUR)
    async with small(durations=durations) as sim, connect(sim, max_downloads=2) as luma:
        done = await a_video(luma)
        waiting = [await luma.generate(f"slow {n}", aspect_ratio="1:1") for n in range(5)]
        ids = [task.id for task in waiting]
        async with aclosing(luma.download_all([*waiting, *ids, done], tmp_path)) as files:
            first = await anext(files)

    assert first.id == done.id


async def test_existing_files_are_not_downloaded_again(tmp_path: Path) -> None:
    """Repeating a call downloads only missing files, and `overwrite=True` downloads all."""
    async with small() as sim, connect(sim) as luma:
        ids = [(await a_video(luma)).id for _ in range(3)]
        there = tmp_path / f"{ids[1]}.mp4"
        there.write_bytes(b"from before")

        again = await every(luma, ids, tmp_path)
        assert there.read_bytes() == b"from before"
        assert {each.path for each in again} == {tmp_path / f"{id}.mp4" for id in ids}
        assert len(sim.ledger.sent) == 2

        await every(luma, ids, tmp_path, overwrite=True)
        assert there.stat().st_size > 1000


async def test_the_same_job_twice_is_one_file(tmp_path: Path) -> None:
    """The second download is not an error, although the first one is writing the file."""
    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        task = await a_video(luma)

        files = await every(luma, [task, task.id, task, await task], tmp_path)

    assert [each.error for each in files] == [None] * 4
    assert {each.path for each in files} == {tmp_path / f"{task.id}.mp4"}
    assert len(sim.ledger.sent[f"{task.id}/clean.mp4"]) == 1


async def test_sources_are_read_as_they_are_needed(tmp_path: Path) -> None:
    """A slow consumer slows down the reading of an endless list."""
    read = 0

    async with small() as sim, connect(sim, max_downloads=2) as luma:
        id = (await a_video(luma)).id
        await luma.download(id, tmp_path)

        def endless() -> Iterator[str]:
            nonlocal read
            while True:
                read += 1
                yield id

        async with aclosing(luma.download_all(endless(), tmp_path)) as files:
            for _ in range(10):
                assert (await anext(files)).ok
            await asyncio.sleep(0.1)

    assert read <= 10 + READ_AHEAD + 1


async def test_stopping_early_leaves_nothing_behind(tmp_path: Path) -> None:
    """All tasks end, unfinished downloads can be resumed, and the iterator of sources is closed."""
    closed = False

    async with small(video_bytes=MEGABYTE) as sim, connect(sim) as luma:
        ids = [(await a_video(luma)).id for _ in range(6)]
        sim.faults.add(media(bytes_per_second=20_000))

        async def source() -> AsyncIterator[str]:
            nonlocal closed
            try:
                for id in ids:
                    yield id
            finally:
                closed = True

        files = luma.download_all(source(), tmp_path)
        begun = asyncio.create_task(anext(files))
        await until(lambda: len(list(tmp_path.glob("*.part"))) == 4)
        begun.cancel()
        await asyncio.sleep(0)
        begun.cancel()  # an impatient caller
        with pytest.raises(asyncio.CancelledError):
            await begun
        await files.aclose()

        assert closed
        left = {task.get_name() for task in asyncio.all_tasks()}
        assert not any(name.startswith("luma-async download") for name in left)
        sim.faults.clear()
        assert all(each.ok for each in await every(luma, ids, tmp_path))
    assert len(list(tmp_path.iterdir())) == 6


async def test_an_error_of_the_sources_is_raised_after_their_results(tmp_path: Path) -> None:
    """Sources that were read before the error are still downloaded."""
    files: list[Download] = []
    async with small() as sim, connect(sim) as luma:
        id = (await a_video(luma)).id

        def breaking() -> Iterator[str]:
            yield id
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async for each in luma.download_all(breaking(), tmp_path):
                files.append(each)  # noqa: PERF401  what came before the error is kept

    assert [each.ok for each in files] == [True]


async def test_a_cancellation_within_the_sources_is_raised(tmp_path: Path) -> None:
    """The cancellation is not mistaken for the end of the list."""
    async with small() as sim, connect(sim) as luma:

        async def cancelled() -> AsyncIterator[str]:
            yield (await a_video(luma)).id
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await every(luma, cancelled(), tmp_path)

    assert len(list(tmp_path.iterdir())) == 1


async def test_a_closed_client_ends_an_endless_list(tmp_path: Path) -> None:
    """Each source that was read ends with `ClientClosedError`, and no others are read."""
    async with small() as sim, connect(sim) as luma:
        id = (await a_video(luma)).id
    files = await every(luma, itertools.repeat(id), tmp_path)

    assert 0 < len(files) <= READ_AHEAD
    assert {type(each.error) for each in files} == {ClientClosedError}


async def test_closing_the_client_ends_all_downloads(tmp_path: Path) -> None:
    """Running downloads end, and downloads that wait for their jobs end, too."""
    async with small(video_bytes=MEGABYTE, durations=InTurn(0.1, HOUR)) as sim:
        luma = connect(sim)
        coming = await a_video(luma)
        running = await luma.generate("cat", aspect_ratio="1:1")
        sim.faults.add(media(bytes_per_second=20_000))
        files = asyncio.create_task(every(luma, [coming, running], tmp_path))
        await until((tmp_path / f"{coming.id}.part").exists)

        await luma.aclose()
        ended = await files

    assert {each.id: type(each.error) for each in ended} == {
        coming.id: ClientClosedError,
        running.id: ClientClosedError,
    }


async def test_other_files_are_saved_in_folders_too(tmp_path: Path) -> None:
    """Each thumbnail has a name of its own."""
    async with small() as sim, connect(sim) as luma:
        ids = [(await a_video(luma)).id for _ in range(2)]

        files = await every(luma, ids, tmp_path, what="thumbnail")

    assert {each.path for each in files} == {tmp_path / f"{id}.thumbnail.jpg" for id in ids}
    assert {each.watermark_free for each in files} == {None}


async def test_a_full_disk_is_reported_for_each_file(tmp_path: Path) -> None:
    """The error is part of each result, and is not raised."""
    (tmp_path / "file").write_text("not a folder")
    async with small() as sim, connect(sim) as luma:
        ids = [(await a_video(luma)).id for _ in range(2)]

        files = await every(luma, ids, tmp_path / "file")

    assert [type(each.error) for each in files] == [DownloadError] * 2
