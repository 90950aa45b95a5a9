"""A batch on a cluster is run as one on a single client: each row once, and each video there."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed
import pytest

from luma_async import ConfigurationError, InsufficientCreditsError, JournalError, SQLJournal
from luma_async.batch import Result, ResultState, cluster, cluster_worker
from luma_async.batch.cluster_connection import ClusterConnection
from luma_async.batch.cluster_run import ClusterRun, Phase
from luma_async.batch.remote_folder import RemoteFolder
from luma_async.errors import BatchError
from luma_async.journal import Entry
from luma_async.journal.shared_journal import Limit
from luma_async.simulator import Fixed
from tests.batch.cluster.workers_here import batch_on, run_on_cluster, start_workers_here
from tests.batch.runs import a_manifest, cats, end_all, lines, small
from tests.clients import HOUR, InTurn, connect, until


@pytest.fixture(autouse=True)
def workers(monkeypatch: pytest.MonkeyPatch) -> list[distributed.Worker]:
    return start_workers_here(monkeypatch)


def chains(number: int, length: int) -> list[dict[str, Any]]:
    return [
        {"key": f"cat-{n}-{at}", "prompt": f"take {n}, part {at}"}
        | ({"extends": f"cat-{n}-{at - 1}"} if at else {})
        for n in range(number)
        for at in range(length)
    ]


async def test_each_row_is_made_once_by_one_of_the_workers(tmp_path: Path) -> None:
    """Results, files and counts are those of a batch on one client; another run finds all done."""
    rows = chains(6, 2)
    async with small(durations=Fixed(1.0)) as sim:
        manifest = a_manifest(tmp_path, *rows)
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, manifest, tmp_path, max_tasks=4)
            results = [result async for result in batch.run()]
            requests = luma.stats().requests
        again = await run_on_cluster(sim, manifest, tmp_path)
        prompts = Counter(job.prompt for job in sim.ledger.jobs)
        most = sim.ledger.most_jobs

    progress = batch.progress
    assert {result.key: result.state for result in results} == {
        row["key"]: ResultState.DONE for row in rows
    }
    assert {line["key"] for line in lines(tmp_path)} == {row["key"] for row in rows}
    assert all((tmp_path / str(result.file)).stat().st_size for result in results)
    assert prompts == Counter(row["prompt"] for row in rows)
    assert (progress.downloaded, progress.done, progress.paid, progress.left) == (12, 12, 12, 0)
    assert (progress.running, progress.submitted, batch.running_rows) == (0, 12, [])
    assert most == 4
    assert requests == 0
    assert again == []
    assert not list(tmp_path.glob(".cluster-*"))


async def test_rows_that_run_are_known_while_they_run(tmp_path: Path) -> None:
    """The gallery and the progress of a terminal show them."""
    async with small(durations=InTurn(0.0, HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, a_manifest(tmp_path, *cats(5)), tmp_path)
            results = batch.run()
            first = await anext(results)
            await until(lambda: len(batch.running_rows) == 4 and batch.progress.running == 4)
            keys = {row.key for row in batch.running_rows}
            rest = await end_all(sim, asyncio.create_task(_all(results)))

    assert keys == {result.key for result in rest}
    assert first.state is ResultState.DONE


async def _all(results: Any) -> list[Result]:
    return [result async for result in results]


async def test_a_stopped_batch_submits_no_more_on_any_worker(tmp_path: Path) -> None:
    """Running jobs are watched to their ends, and the next run does the rest."""
    async with small(durations=InTurn(0.0, HOUR)) as sim:
        manifest = a_manifest(tmp_path, *cats(12))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, manifest, tmp_path, max_tasks=4)
            results = batch.run()
            first = await anext(results)
            batch.stop()
            ended = [first, *await end_all(sim, asyncio.create_task(_all(results)))]
        taken = len(sim.ledger.jobs)
        rest = await end_all(sim, asyncio.create_task(run_on_cluster(sim, manifest, tmp_path)))

    assert taken == len(ended) < 12
    assert len(rest) == 12 - taken
    assert len(sim.ledger.jobs) == len(lines(tmp_path)) == 12


async def test_a_worker_that_hangs_keeps_no_other_from_its_jobs_when_a_batch_is_stopped(
    tmp_path: Path, workers: list[distributed.Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signs of life go on, so that the other workers watch their jobs to the ends."""
    monkeypatch.setattr(cluster, "BEAT_EVERY", 0.05)
    resumed = asyncio.Event()
    beats: list[int] = []
    tell_phase = ClusterConnection.tell_phase

    async def count(self: Any, run: ClusterRun, phase: Phase, beat: int) -> None:
        if phase is Phase.STOPPING:
            beats.append(beat)
        await tell_phase(self, run, phase, beat)

    async def hang(*message: Any, **options: Any) -> Any:
        await resumed.wait()
        return await answer(*message, **options)

    monkeypatch.setattr(ClusterConnection, "tell_phase", count)
    async with small(durations=InTurn(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, a_manifest(tmp_path, *cats(4)), tmp_path)
            running = asyncio.create_task(_all(batch.run()))
            try:
                await until(lambda: len(sim.ledger.jobs) == 4)
                answer = workers[0].handlers["run"]
                workers[0].handlers["run"] = hang
                batch.stop()
                await until(lambda: len(beats) > 3)
            finally:
                resumed.set()
            ended = await end_all(sim, running)

    assert [result.state for result in ended] == [ResultState.DONE] * 4


async def test_a_batch_that_is_left_at_once_is_continued(tmp_path: Path) -> None:
    """The clients of the workers are closed, and the jobs that run are found again."""
    async with small(durations=InTurn(HOUR)) as sim:
        manifest = a_manifest(tmp_path, *cats(4))
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            running = asyncio.create_task(_all(batch_on(luma, manifest, tmp_path).run()))
            await until(lambda: len(sim.ledger.jobs) == 4)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        left = dict(cluster_worker._runs)
        rest = await end_all(sim, asyncio.create_task(run_on_cluster(sim, manifest, tmp_path)))

    assert left == {}
    assert len(rest) == 4 == len(sim.ledger.jobs)


async def test_another_worker_goes_on_with_the_rows_of_one_that_is_gone(
    tmp_path: Path, workers: list[distributed.Worker], caplog: pytest.LogCaptureFixture
) -> None:
    """Their jobs are found by their job keys, and the log tells it."""
    async with small(durations=InTurn(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, a_manifest(tmp_path, *chains(2, 2)), tmp_path)
            running = asyncio.create_task(_all(batch.run()))
            await until(lambda: len(sim.ledger.jobs) == 2)
            await workers[0].close(nanny=False)
            results = await end_all(sim, running)

    assert [result.state for result in results] == [ResultState.DONE] * 4
    assert len(sim.ledger.jobs) == 4
    assert "A worker died. Another one runs its 2 rows of the batch." in caplog.text


async def test_a_job_that_failed_in_this_run_is_not_retried_when_its_rows_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`retry_failed` is for failures of earlier runs; a dead worker must not cost another job."""
    real, tries = cluster_worker.WorkerRun.run_shard, Counter[str]()

    async def fail_once(run: Any, shard: Any) -> Any:
        report = await real(run, shard)
        tries[shard.name] += 1
        if shard.name == "1.1":
            raise RuntimeError("the worker is out of memory")
        return report

    async with small(failure_rate=1.0) as sim:
        manifest = a_manifest(tmp_path, *cats(1))
        await run_on_cluster(sim, manifest, tmp_path)
        monkeypatch.setattr(cluster_worker.WorkerRun, "run_shard", fail_once)
        monkeypatch.setattr(cluster_worker.WorkerRun, "_send_news", lambda _: None)
        monkeypatch.setattr(cluster, "LONGEST_PAUSE", 0.01)
        results = await run_on_cluster(sim, manifest, tmp_path, retry_failed=True)

    assert tries == Counter({"1.1": 1, "1.2": 1})
    assert [result.state for result in results] == [ResultState.FAILED]
    assert len(sim.ledger.jobs) == 2


async def test_rows_wait_for_a_journal_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away for a while ends no row, and nothing is submitted meanwhile."""
    real, refused = SQLJournal.claim_within, Counter[str]()

    async def claim(journal: SQLJournal, limit: Limit, entry: Entry, **how: Any) -> Entry | None:
        refused[entry.key] += 1
        if refused[entry.key] == 1:
            raise JournalError("the database is away")
        return await real(journal, limit, entry, **how)

    monkeypatch.setattr(SQLJournal, "claim_within", claim)
    monkeypatch.setattr(cluster, "LONGEST_PAUSE", 0.01)
    async with small() as sim:
        results = await run_on_cluster(sim, a_manifest(tmp_path, *cats(3)), tmp_path)

    assert [result.state for result in results] == [ResultState.DONE] * 3
    assert len(sim.ledger.jobs) == len(refused) == 3


async def test_rows_that_no_worker_can_run_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are still to do, and the batch has a problem."""

    async def fail(run: Any, shard: Any) -> Any:
        raise RuntimeError(f"out of memory in {shard.name}")

    monkeypatch.setattr(cluster_worker.WorkerRun, "run_shard", fail)
    monkeypatch.setattr(cluster, "LONGEST_PAUSE", 0.01)
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = batch_on(luma, a_manifest(tmp_path, *cats(1)), tmp_path)
        results = await _all(batch.run())

    assert results == []
    assert batch.progress.left == 1
    assert "out of memory in 1.7" in str(batch.problem)


async def test_a_scheduler_that_ends_ends_the_batch_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another attempt cannot help; the rows are still to do, and the next run continues."""

    async def fail(*_: Any) -> Any:
        raise BatchError("the connection to the Dask scheduler was lost")

    async def end(_: Any) -> None:
        raise BatchError("The Dask scheduler has ended.")

    async with small() as sim:
        manifest = a_manifest(tmp_path, *cats(2))
        with monkeypatch.context() as patches:
            patches.setattr(ClusterConnection, "run_shard", fail)
            patches.setattr(ClusterConnection, "wait_for_scheduler", end)
            async with connect(sim, journal=tmp_path / "jobs.db") as luma:
                batch = batch_on(luma, manifest, tmp_path)
                results = await _all(batch.run())
        rest = await run_on_cluster(sim, manifest, tmp_path)

    assert (results, batch.progress.left) == ([], 2)
    assert str(batch.problem) == "The Dask scheduler has ended."
    assert "run again" not in caplog.text
    assert len(rest) == 2


async def test_the_marker_of_a_run_that_was_killed_is_removed(tmp_path: Path) -> None:
    """The folder is shown to others, and has no file that nobody knows."""
    (tmp_path / ".cluster-0123456789ab").touch()
    async with small() as sim:
        await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path)

    assert not list(tmp_path.glob(".cluster-*"))


async def test_an_error_of_all_rows_stops_all_workers(tmp_path: Path) -> None:
    """An empty account rejects the other rows as well."""
    async with small(credits=3) as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = batch_on(luma, a_manifest(tmp_path, *cats(40)), tmp_path, max_tasks=1)
        results = await _all(batch.run())

    assert isinstance(batch.problem, InsufficientCreditsError)
    assert Counter(result.state for result in results)[ResultState.DONE] == 3
    assert len(results) < 10
    assert batch.is_stopped


async def test_at_most_the_limit_is_paid_for(tmp_path: Path) -> None:
    """A row whose source is left out is left out as well."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        batch = batch_on(luma, a_manifest(tmp_path, *chains(4, 3)), tmp_path, limit_jobs=5)
        results = await _all(batch.run())

    assert len(results) == len(sim.ledger.jobs) == 5
    assert batch.progress.left == 7


async def test_a_worker_without_an_api_key_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API keys are not sent to workers: each has its own."""
    monkeypatch.delenv("LUMA_API_KEY")
    async with small() as sim:
        with pytest.raises(BatchError, match=r"The worker at .* There is no API key"):
            await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path)

        assert not sim.ledger.requests
    assert not list(tmp_path.glob(".cluster-*"))


async def test_a_worker_that_sees_another_folder_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of the same name on another machine would get the videos, and nobody find them."""
    monkeypatch.setattr(Path, "touch", lambda _: None)
    async with small() as sim:
        with pytest.raises(BatchError, match=r"another folder of that name.*Nothing was submitted"):
            await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path)

        assert not sim.ledger.requests


async def test_a_url_that_is_another_place_on_a_worker_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk or a memory of the worker's own would get the videos, although it has such a URL."""
    real, shared, own = cluster_worker._joined, tmp_path / "shared", tmp_path / "own"
    (own / "videos").mkdir(parents=True)

    def joined(run: ClusterRun, worker: distributed.Worker) -> cluster_worker.WorkerRun:
        elsewhere = RemoteFolder(own.as_uri(), tmp_path / "cache")
        return real(replace(run, output=elsewhere), worker)

    monkeypatch.setattr(cluster_worker, "_joined", joined)
    async with small() as sim:
        with pytest.raises(BatchError, match=r"The worker at .*another place.*Nothing was submitt"):
            await run_on_cluster(
                sim, a_manifest(tmp_path, *cats(1)), tmp_path / "work", output=shared.as_uri()
            )

        assert not sim.ledger.requests
    assert list((shared / "videos").iterdir()) == list((own / "videos").iterdir()) == []


async def test_the_marker_of_a_run_that_was_killed_is_removed_from_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is left there that nobody knows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    videos = tmp_path / "there" / "videos"
    videos.mkdir(parents=True)
    (videos / ".cluster-0123456789ab").touch()
    url = (tmp_path / "there").as_uri()
    async with small() as sim:
        await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path / "work", output=url)

    assert [path.name for path in videos.iterdir()] == ["cat-0.mp4"]


async def test_workers_leave_a_run_whose_coordinator_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They submit no more, and their jobs are left to the next run."""
    monkeypatch.setattr(cluster_worker, "SILENCE", 0.5)
    monkeypatch.setattr(cluster, "BEAT_EVERY", 0.05)
    async with small(durations=InTurn(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, a_manifest(tmp_path, *cats(4)), tmp_path)
            running = asyncio.create_task(_all(batch.run()))
            await until(lambda: len(sim.ledger.jobs) == 4)
            assert cluster_worker._runs
            monkeypatch.setattr(ClusterConnection, "tell_phase", _say_nothing)
            monkeypatch.setattr(cluster, "LONGEST_PAUSE", 60)
            await until(lambda: not cluster_worker._runs)
            running.cancel()
            await asyncio.wait([running])


async def test_workers_leave_a_run_whose_scheduler_hangs(
    tmp_path: Path, workers: list[distributed.Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell them then whether their coordinator lives."""
    monkeypatch.setattr(cluster_worker, "SILENCE", 0.5)
    monkeypatch.setattr(cluster_worker, "SCHEDULER_TIMEOUT", 0.2)
    resumed = asyncio.Event()

    async def hang(**_: Any) -> None:
        await resumed.wait()

    async with small(durations=InTurn(HOUR)) as sim:
        async with connect(sim, journal=tmp_path / "jobs.db") as luma:
            batch = batch_on(luma, a_manifest(tmp_path, *cats(4)), tmp_path)
            running = asyncio.create_task(_all(batch.run()))
            await until(lambda: len(sim.ledger.jobs) == 4)
            scheduler = batch._connection._address.scheduler
            scheduler.handlers["get_metadata"] = hang
            await until(lambda: not cluster_worker._runs)
            resumed.set()
            running.cancel()
            await asyncio.wait([running])


async def test_an_error_before_the_first_shard_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a current folder that was removed, so that paths of images cannot be completed."""

    def fail(*_: object, **__: object) -> None:
        raise FileNotFoundError("the current folder")

    monkeypatch.setattr(cluster, "split", fail)
    async with small() as sim:
        with pytest.raises(FileNotFoundError, match="the current folder"):
            async with asyncio.timeout(60):
                await run_on_cluster(sim, a_manifest(tmp_path, *cats(1)), tmp_path)

        assert sim.ledger.jobs == []


async def _say_nothing(*_: object) -> None:
    pass


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tls://scheduler:8786"])
async def test_a_journal_in_a_file_is_not_for_other_machines(tmp_path: Path, address: str) -> None:
    """The error names the form of a journal that is."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match=r"--journal postgresql://user@host/name"):
            batch_on(luma, a_manifest(tmp_path, *cats(1)), tmp_path, cluster=address)


@pytest.mark.parametrize("name", ["local", "local:0", "local:-1", "scheduler:8786", ""])
async def test_a_cluster_has_a_number_or_an_address(tmp_path: Path, name: str) -> None:
    """Other texts are errors that show both forms."""
    async with small() as sim, connect(sim, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match=r"local:4, or .*tcp://scheduler:8786"):
            batch_on(luma, a_manifest(tmp_path, *cats(1)), tmp_path, cluster=name)


async def test_workers_upload_the_videos_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need no folder of the batch; what they keep on the way is in the cache of their user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = (tmp_path / "there").as_uri()
    async with small() as sim:
        manifest = a_manifest(tmp_path, *chains(2, 2))
        results = await run_on_cluster(sim, manifest, tmp_path / "work", output=url)
        again = await run_on_cluster(sim, manifest, tmp_path / "work", output=url)

    assert {result.state for result in results} == {ResultState.DONE}
    assert len(list((tmp_path / "there" / "videos").iterdir())) == 4
    assert lines(tmp_path / "there") == lines(tmp_path / "work")
    assert again == []
    assert list((tmp_path / "cache" / "luma-async").glob("*/.upload"))
    assert not list((tmp_path / "cache").rglob("*.mp4"))
    assert not list((tmp_path / "work").rglob("*.mp4"))
