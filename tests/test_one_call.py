"""`LumaClient.run()`: one call to a video."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from luma_async import (
    ConfigurationError,
    DownloadError,
    ExtendRequest,
    GenerateRequest,
    Generation,
    GenerationFailedError,
    InvalidRequestError,
    State,
    SubmissionUncertainError,
    TaskTimeoutError,
)
from luma_async.simulator import Fault, Simulator
from tests.clients import HOUR, connect, until
from tests.disks import run, small_disk
from tests.media.hosts import sent, small
from tests.platforms import needs_posix


async def test_one_call_returns_the_video(tmp_path: Path) -> None:
    """With `download=`, the file is there when it returns."""
    async with small() as sim, connect(sim) as luma:
        video = await luma.run("a cat dances", aspect_ratio="1:1", download=tmp_path / "cat.mp4")

        assert (video.state, video.prompt) == (State.COMPLETED, "a cat dances")
        assert (tmp_path / "cat.mp4").stat().st_size > 1000
        assert luma.tasks == ()
    assert [dict(job.request) for job in sim.ledger.jobs] == [
        {"user_prompt": "a cat dances", "aspect_ratio": "1:1"}
    ]


async def test_a_folder_gets_the_file_under_its_id(tmp_path: Path) -> None:
    """As in `download()`."""
    async with small() as sim, connect(sim) as luma:
        video = await luma.run(GenerateRequest("a cat", aspect_ratio="1:1"), download=tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [f"{video.id}.mp4"]


async def test_a_video_is_extended_in_one_call() -> None:
    """The source may be a generation, a handle that is still running, or an id."""
    async with small() as sim, connect(sim) as luma:
        video = await luma.run("a cat")
        await luma.run("it bows", extends=video, expand_prompt=False)
        await luma.run(ExtendRequest("it sits"), extends=await luma.generate("a dog"))
        await luma.run("it sleeps", extends=video.id)

    first, bow, dog, sits, sleeps = sim.ledger.jobs
    assert (bow.parent, sits.parent, sleeps.parent) == (first, dog, first)
    assert dict(bow.request) == {"user_prompt": "it bows", "expand_prompt": False}


async def test_asked_twice_it_is_paid_once_and_downloaded_once(tmp_path: Path) -> None:
    """A worker repeats the call with its job key, also in a new process; the file is its own."""
    async with small() as sim:
        videos = []
        for _ in range(2):
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                videos += [
                    await luma.run("a cat", key="row-1", download=tmp_path / "cat.mp4")
                    for _ in range(2)
                ]

    assert len({video.id for video in videos}) == 1
    assert len(sim.ledger.jobs) == 1
    assert len(sent(sim)) == 1


async def test_a_deleted_file_is_downloaded_again(tmp_path: Path) -> None:
    """The job is not paid for again."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        for _ in range(2):
            await luma.run("a cat", key="row-1", download=tmp_path / "cat.mp4")
            (tmp_path / "cat.mp4").unlink()

    assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("how", ["failed", "uncertain"])
async def test_a_job_that_is_submitted_again_has_no_file_yet(how: str, tmp_path: Path) -> None:
    """A file of its name is that of another job, and an error before the job is paid for."""
    file = tmp_path / "cat.mp4"
    again: dict[str, Any] = {f"retry_{how}": True}
    async with small() as sim:
        if how == "failed":
            sim.fail_next("moderated")
        else:
            sim.faults.add(Fault.cut(after=True, times=1))
        for _ in range(2):  # the second call raises the same error again
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                with pytest.raises((GenerationFailedError, SubmissionUncertainError)):
                    await luma.run("a cat", key="row-1", download=file)
            file.write_bytes(b"another")

        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            with pytest.raises(DownloadError, match="already exists, so nothing was submitted"):
                await luma.run("a cat", key="row-1", download=file, **again)
            assert len(sim.ledger.jobs) == 1

            file.unlink()
            await luma.run("a cat", key="row-1", download=file, **again)

        assert len(sim.ledger.jobs) == 2
        assert file.stat().st_size > 1000


@pytest.mark.parametrize("options", [{}, {"key": "row-2"}], ids=["no key", "a new key"])
async def test_a_file_of_another_job_is_an_error_before_it_costs(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """Nothing is submitted, and the file stays as it is."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        await luma.run("a cat", key="row-1", download=tmp_path / "cat.mp4")
        before = (tmp_path / "cat.mp4").read_bytes()

        with pytest.raises(DownloadError, match="already exists, so nothing was submitted"):
            await luma.run("a dog", download=tmp_path / "cat.mp4", **options)
        assert len(sim.ledger.jobs) == 1
        assert (tmp_path / "cat.mp4").read_bytes() == before

        dog = await luma.run("a dog", download=tmp_path / "cat.mp4", overwrite=True, **options)
        assert dog.id == sim.ledger.jobs[1].id
        assert (tmp_path / "cat.mp4").read_bytes() != before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "path",
    ["a\0b", "a" * 300, "a" * 300 + "/", b"cat.mp4", 5],
    ids=["NUL", "long", "long folder", "bytes", "5"],
)
async def test_a_path_that_cannot_be_a_file_costs_nothing(path: Any, overwrite: bool) -> None:
    """It is found before the job is submitted."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match=r"not a valid|cannot be used|must be a text"):
            await luma.run("a cat", download=path, overwrite=overwrite)

    assert sim.ledger.jobs == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "place", ["file/cat.mp4", "file/videos/", "file/new/cat.mp4", "link/cat.mp4"]
)
async def test_a_folder_that_is_a_file_costs_nothing(
    place: str, overwrite: bool, tmp_path: Path
) -> None:
    """The folder of a download is looked at before the job is submitted; the error names it."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(
            DownloadError, match=r"(file|link) is not a folder, so nothing was submitted"
        ):
            await luma.run("a cat", download=f"{tmp_path}/{place}", overwrite=overwrite)

    assert sim.ledger.jobs == []


@needs_posix
@pytest.mark.parametrize("place", ["", "/", "/new/cat.mp4", "/cat.mp4"])
async def test_a_folder_that_this_user_may_not_write_in_costs_nothing(place: str) -> None:
    """Missing folders would be created in it."""
    is_root = os.geteuid() == 0
    async with small() as sim, connect(sim) as luma:
        with TemporaryDirectory() as folder:
            Path(folder).chmod(0o555)
            if is_root:  # who may write anywhere
                os.seteuid(65534)
            try:
                with pytest.raises(
                    DownloadError, match="is not writable, so nothing was submitted"
                ):
                    await luma.run("a cat", download=f"{folder}{place}")
            finally:
                if is_root:
                    os.seteuid(0)
                Path(folder).chmod(0o700)

    assert sim.ledger.jobs == []


async def test_a_read_only_disk_costs_nothing(tmp_path: Path) -> None:
    """Nobody may write there, not even root. A job that the journal knows keeps its file."""
    with small_disk(tmp_path / "disk", kilobytes=600) as disk:
        async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
            video = await luma.run("a cat", key="row-1", download=disk / "cat.mp4")
            run("mount", "-o", "remount,ro", str(disk))

            again = await luma.run("a cat", key="row-1", download=disk / "cat.mp4")
            with pytest.raises(DownloadError, match="is not writable, so nothing was submitted"):
                await luma.run("a dog", download=disk / "dog.mp4")

    assert again.id == video.id
    assert len(sim.ledger.jobs) == 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["cat.mp4.part", "cat.mp4.part.json"])
async def test_a_part_file_that_cannot_be_written_costs_nothing(
    name: str, overwrite: bool, tmp_path: Path
) -> None:
    """A folder has the name that the file or its note has while it is incomplete."""
    (tmp_path / name).mkdir()
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match=f"{name} is not a regular file, so nothing was"):
            await luma.run("a cat", download=tmp_path / "cat.mp4", overwrite=overwrite)

    assert sim.ledger.jobs == []


@needs_posix
async def test_a_part_file_of_another_user_costs_nothing() -> None:
    """Its folder is writable, but the part file is not, so that no download can continue it."""
    is_root = os.geteuid() == 0
    async with small() as sim, connect(sim) as luma:
        with TemporaryDirectory() as folder:
            Path(folder).chmod(0o777)
            part = Path(folder, "cat.mp4.part")
            part.touch()
            part.chmod(0o444)
            if is_root:  # who may write anywhere
                os.seteuid(65534)
            try:
                with pytest.raises(DownloadError, match=r"mp4\.part is not writable, so nothing"):
                    await luma.run("a cat", download=f"{folder}/cat.mp4")
            finally:
                if is_root:
                    os.seteuid(0)

    assert sim.ledger.jobs == []


async def test_an_interrupted_download_is_no_obstacle(tmp_path: Path) -> None:
    """Its part file is a regular file, and folders that are missing are created."""
    (tmp_path / "cat.mp4.part").write_bytes(b"")
    async with small() as sim, connect(sim) as luma:
        await luma.run("a cat", download=tmp_path / "cat.mp4")
        await luma.run("a dog", download=tmp_path / "new" / "folder" / "dog.mp4")

    assert (tmp_path / "cat.mp4").is_file()
    assert (tmp_path / "new" / "folder" / "dog.mp4").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
async def test_an_empty_path_costs_nothing(
    overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is mostly a variable that is not set. The current folder has a name: a dot."""
    monkeypatch.chdir(tmp_path)
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="must not be empty"):
            await luma.run("a cat", download="", overwrite=overwrite)
        assert sim.ledger.jobs == []

        video = await luma.run("a cat", download=Path())
        assert (tmp_path / f"{video.id}.mp4").is_file()


async def test_a_link_to_nowhere_costs_nothing(tmp_path: Path) -> None:
    """It is not a file, and only `overwrite=True` replaces it."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="is not a file"):
            await luma.run("a cat", download=tmp_path / "link")
        assert sim.ledger.jobs == []

        await luma.run("a cat", download=tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_file()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
async def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    """With `overwrite=True`, root would lose `/dev/null`. A named pipe stands for it here."""
    os.mkfifo(tmp_path / "null")
    async with small() as sim, connect(sim) as luma:
        with pytest.raises(DownloadError, match="replaces files only"):
            await luma.run("a cat", download=tmp_path / "null", overwrite=True)
        assert sim.ledger.jobs == []

        video = await luma.run("a cat")
        with pytest.raises(DownloadError, match="replaces files only"):
            await luma.download(video, tmp_path / "null", overwrite=True)

    assert (tmp_path / "null").is_fifo()


async def test_a_failed_job_is_named() -> None:
    """The error has the id and the reason."""
    async with small(failure_rate=1.0) as sim, connect(sim) as luma:
        with pytest.raises(GenerationFailedError, match="could not be rendered") as caught:
            await luma.run("a cat")

    assert sim.ledger.jobs[0].id in str(caught.value)


async def test_a_download_that_fails_names_the_job(tmp_path: Path) -> None:
    """The job is paid for, so its id must not be lost."""
    async with small() as sim, connect(sim) as luma:
        sim.faults.add(Fault.page(403, on=["media"]))

        with pytest.raises(DownloadError) as caught:
            await luma.run("a cat", download=tmp_path / "cat.mp4")

    assert sim.ledger.jobs[0].id in str(caught.value)


async def test_a_job_that_takes_too_long_goes_on() -> None:
    """The error has the id, and `watch()` returns the handle."""
    async with Simulator(speed=0.001) as sim, connect(sim) as luma:
        with pytest.raises(TaskTimeoutError, match=r"watch\('.*'\) returns its handle") as caught:
            await luma.run("a cat", timeout=0.05)

        [task] = luma.tasks
        assert caught.value.task_id == task.id
        sim.advance(HOUR)
        assert (await (await luma.watch(task.id))).state is State.COMPLETED


@pytest.mark.parametrize("timeout", ["60", math.nan, b"1"], ids=repr)
async def test_a_timeout_that_is_not_a_number_costs_nothing(timeout: Any) -> None:
    """A setting of the environment is a text. In `wait()` it is the same error."""
    async with Simulator(speed=0.001) as sim, connect(sim) as luma:
        with pytest.raises(InvalidRequestError, match="timeout: must be a number of seconds"):
            await luma.run("a cat", timeout=timeout)
        assert sim.ledger.jobs == []

        task = await luma.generate("a cat")
        with pytest.raises(InvalidRequestError, match="timeout: must be a number of seconds"):
            await task.wait(timeout)


@pytest.mark.parametrize("timeout", [0, 0.0, -1, -math.inf], ids=repr)
async def test_a_timeout_that_leaves_no_time_costs_nothing(timeout: float) -> None:
    """The job would be paid for, and its result given up at once. `wait(0)` asks for its end."""
    async with Simulator(speed=0.001) as sim, connect(sim) as luma:
        problem = "timeout: must be more than 0 seconds, got .*; nothing was submitted"
        with pytest.raises(InvalidRequestError, match=problem):
            await luma.run("a cat", timeout=timeout)
        assert sim.ledger.jobs == []

        task = await luma.generate("a cat")
        with pytest.raises(TaskTimeoutError):
            await task.wait(timeout)
        sim.advance(HOUR)
        await task
        assert await task.wait(timeout) is task.generation


async def test_a_cancelled_call_leaves_its_job_running(caplog: pytest.LogCaptureFixture) -> None:
    """The handle is out of reach, so the log tells how to get it."""
    async with Simulator(speed=0.001) as sim, connect(sim) as luma:
        call = asyncio.create_task(luma.run("a cat"))
        await until(lambda: luma.tasks)
        call.cancel()
        with caplog.at_level(logging.WARNING, "luma_async"), pytest.raises(asyncio.CancelledError):
            await call

        [task] = luma.tasks
        sim.advance(HOUR)
        await task
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"run() was cancelled. Its job {task.id} is pending")
    assert told.endswith(f"watch('{task.id}') returns its handle.")


async def test_a_key_needs_a_journal() -> None:
    """As in `generate()`."""
    async with Simulator() as sim, connect(sim) as luma:
        with pytest.raises(ConfigurationError, match="needs a journal"):
            await luma.run("a cat", key="row-1")


async def test_the_running_tasks_are_listed_oldest_first() -> None:
    """A job that is watched later, but was submitted before, comes first."""
    five_minutes_ago = datetime.now(UTC) - timedelta(minutes=5)
    async with Simulator(speed=0.001) as sim, connect(sim) as luma:
        new = [await luma.generate(f"cat {n}") for n in range(3)]
        old = luma._manager.add(
            Generation(id="old", state=State.PROCESSING, created_at=five_minutes_ago)
        )
        assert luma.tasks == (old, *new)


async def test_the_list_of_running_tasks_is_a_snapshot() -> None:
    """Jobs that end, or are forgotten, are not in the next one."""
    async with Simulator(speed=0.001) as sim:
        async with connect(sim) as luma:
            tasks = [await luma.generate(f"cat {n}") for n in range(3)]
            before = luma.tasks
            tasks[0].forget()

            assert before == tuple(tasks)
            assert luma.tasks == tuple(tasks[1:])
        assert luma.tasks == ()
