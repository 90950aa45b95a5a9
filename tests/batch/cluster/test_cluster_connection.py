"""A cluster is connected to and checked before anything is submitted, and told the run's phase."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import distributed
import pytest

from luma_async import GatewayDialect, extras
from luma_async.batch import Result, ResultState, RunningRow, Stage, cluster_connection
from luma_async.batch.cluster_connection import ClusterConnection
from luma_async.batch.cluster_run import ClusterRun, Phase, ShardNews, process_name
from luma_async.batch.log_forwarder import LogForwarder, log_forwarded
from luma_async.batch.output_folder import OutputFolder
from luma_async.errors import BatchError, ConfigurationError
from luma_async.version import __version__
from tests.batch.cluster.workers_here import start_workers_here
from tests.clients import KEY, until


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_connection, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(cluster_connection, "ANSWER_TIMEOUT", 0.2)


def a_run(folder: Path) -> ClusterRun:
    return ClusterRun(
        id=uuid4().hex,
        base_url="http://localhost:9",
        dialect=GatewayDialect(),
        journal=str(folder / "jobs.db"),
        output=OutputFolder(folder),
        marker=None,
        max_tasks=20,
        process=process_name(),
    )


async def test_a_scheduler_that_is_not_there_is_told() -> None:
    """The address is in the error."""
    connection = ClusterConnection("tcp://127.0.0.1:9")

    with pytest.raises(BatchError, match=r"tcp://127.0.0.1:9 cannot be reached.*Nothing was"):
        await connection.open()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "no answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "its answer is not that of Dask"),
    ],
    ids=["silent", "http"],
)
async def test_a_server_that_is_not_a_scheduler_is_told(answer: bytes, said: str) -> None:
    """Dask waits without a limit for the first answer of a server that takes its connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        with suppress(ConnectionError):
            await reader.read()  # until the client has closed the connection
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = ClusterConnection(f"tcp://127.0.0.1:{port}")

        async with asyncio.timeout(5):
            with pytest.raises(BatchError, match=rf":{port} cannot be reached.*{said}\. Is it"):
                await connection.open()


async def test_a_scheduler_without_workers_is_told() -> None:
    """The error has the command that starts one."""
    async with distributed.Scheduler(dashboard_address=":0", port=0) as scheduler:
        connection = ClusterConnection(scheduler.address)

        with pytest.raises(BatchError, match=rf"no workers.*dask worker {scheduler.address}"):
            await connection.open()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tls://127.0.0.1:9", "needs certificates.*TLS__CA_FILE.*Nothing was"),
        ("tcp://127.0.0.1", "'tcp://127.0.0.1', cannot be used: missing port.*Nothing was"),
    ],
)
async def test_an_address_that_cannot_be_used_is_told(address: str, said: str) -> None:
    """Dask raises the errors of programmers for them."""
    connection = ClusterConnection(address)

    with pytest.raises(ConfigurationError, match=said):
        await connection.open()


async def test_other_versions_of_packages_that_are_not_used_are_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dask warns of them on standard error."""
    compared = []

    def differ(*_: Any) -> dict[str, str]:
        compared.append(1)
        return {"warning": "numpy differs", "error": ""}

    async with (
        distributed.Scheduler(dashboard_address=":0", port=0) as scheduler,
        distributed.Worker(scheduler.address, nthreads=1),
    ):
        monkeypatch.setattr(distributed.versions, "error_message", differ)
        connection = ClusterConnection(scheduler.address)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", distributed.versions.VersionMismatchWarning)
                await connection.open()
        finally:
            await connection.aclose()

    assert compared


async def test_two_local_clusters_are_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask has a port that it prefers, and warns if another program has it."""
    start_workers_here(monkeypatch)
    with socket.socket() as other:
        with suppress(OSError):  # a program has it already
            other.bind(("127.0.0.1", 8787))
            other.listen()
        connection = ClusterConnection("local:1")
        try:
            assert await connection.open() == 1
        finally:
            await connection.aclose()


def test_a_problem_of_a_worker_is_told_as_a_sentence() -> None:
    """It comes from several places, and is followed by another sentence."""
    missing = cluster_connection._sentence('pip install "luma-async[postgres]"')
    gone = cluster_connection._sentence(OSError("in <TCP (closed)>: Stream is closed"))

    assert missing == 'pip install "luma-async[postgres]".'
    assert gone == "it has ended, or cannot be reached."
    assert cluster_connection._sentence("No key.") == "No key."
    assert cluster_connection._sentence(KeyError("a")) == "KeyError: 'a'."


async def test_a_scheduler_that_ends_is_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After that, telling and leaving have no effect."""
    monkeypatch.setattr(cluster_connection, "CONNECT_TIMEOUT", 1.0)
    run = a_run(tmp_path)
    async with distributed.Scheduler(dashboard_address=":0", port=0) as scheduler:
        async with distributed.Worker(scheduler.address, nthreads=1) as worker:
            connection = ClusterConnection(scheduler.address)
            await connection.open()
            await worker.close(nanny=False)
        await scheduler.close()
        try:
            await until(lambda: connection._client.status == "connecting")
            ended = await asyncio.gather(
                connection.wait_for_scheduler(),
                connection.wait_for_scheduler(),
                return_exceptions=True,
            )
            await connection.tell_phase(run, Phase.STOPPING, 1)
            await connection.stop(run)
            await connection.leave(run)
        finally:
            await connection.aclose()

    assert all(isinstance(error, BatchError) for error in ended)
    assert re.search(r"Dask scheduler at tcp://\S+ has ended.*next run finds", str(ended[0]))
    assert [record.message for record in caplog.records if record.name == "luma_async"] == [
        f"The Dask scheduler at {scheduler.address} is not reached; trying for 1 s."
    ]


async def test_a_scheduler_that_hangs_does_not_hold_up_the_end_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A suspended one takes connections and never answers; the workers notice it themselves."""
    resumed = asyncio.Event()

    async def hang(**_: Any) -> None:
        await resumed.wait()

    async with (
        distributed.Scheduler(dashboard_address=":0", port=0) as scheduler,
        distributed.Worker(scheduler.address, nthreads=1),
    ):
        connection = ClusterConnection(scheduler.address)
        await connection.open()
        monkeypatch.setattr(cluster_connection, "SCHEDULER_TIMEOUT", 0.1)
        scheduler.handlers |= {"set_metadata": hang, "broadcast": hang}
        try:
            async with asyncio.timeout(30):
                await connection.tell_phase(a_run(tmp_path), Phase.ENDED, -1)
                await connection.leave(a_run(tmp_path))
        finally:
            resumed.set()
            await connection.aclose()

    assert not [record for record in caplog.records if record.name == "luma_async"]


def a_client(address: str) -> Any:
    client: Any = distributed.Client  # it has no types
    return client(address, asynchronous=True)


@asynccontextmanager
async def a_hanging_worker() -> AsyncIterator[ClusterConnection]:
    """Connect to two workers, one of which takes connections and does not answer."""
    resumed = asyncio.Event()

    async def hang(*message: Any, **options: Any) -> Any:
        await resumed.wait()
        return await answer(*message, **options)

    async with (
        distributed.Scheduler(dashboard_address=":0", port=0) as scheduler,
        distributed.Worker(scheduler.address, nthreads=1),
        distributed.Worker(scheduler.address, nthreads=1) as worker,
    ):
        answer = worker.handlers["run"]
        worker.handlers["run"] = hang
        connection = ClusterConnection(scheduler.address)
        try:
            assert await connection.open() == 2
            yield connection
        finally:
            resumed.set()
            await connection.aclose()


async def test_all_workers_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of Dask may be given in place of an address; it stays open."""
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    run = a_run(tmp_path)
    async with (
        distributed.Scheduler(dashboard_address=":0", port=0) as scheduler,
        distributed.Worker(scheduler.address, nthreads=3),
        distributed.Worker(scheduler.address, nthreads=2),
        a_client(scheduler.address) as client,
    ):
        connection = ClusterConnection(client)
        try:
            assert await connection.open() == 5
            await connection.check(run)
            await connection.leave(run)
            with monkeypatch.context() as another:
                another.setattr(cluster_connection, "__version__", "9.9")
                with pytest.raises(BatchError, match=rf"scheduler has luma-async {__version__}"):
                    await connection.check(run)
        finally:
            await connection.aclose()

        assert client.status == "running"


async def test_a_worker_that_hangs_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker may be suspended, or cut off. The batch does not wait for it a second time."""
    monkeypatch.setenv("LUMA_API_KEY", KEY)
    monkeypatch.setattr(cluster_connection, "CHECK_TIMEOUT", 0.3)
    async with a_hanging_worker() as connection:
        async with asyncio.timeout(5):
            with pytest.raises(BatchError, match=r"Not all workers of .*tcp://.* answer.*Nothing"):
                await connection.check(a_run(tmp_path))
            await connection.leave(a_run(tmp_path))

    assert not [record for record in caplog.records if record.name == "luma_async"]


async def test_a_worker_that_hangs_at_the_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may still be in the batch, and the log says why that is not known."""
    monkeypatch.setattr(cluster_connection, "LEAVE_TIMEOUT", 0.1)
    async with a_hanging_worker() as connection:
        await connection.leave(a_run(tmp_path))

    assert [record.message for record in caplog.records if record.name == "luma_async"] == [
        "Workers of the cluster may still be in the batch: no answer"
    ]


def test_a_version_is_told_whose_it_is() -> None:
    """Both machines may be meant, so the error names the one to change, and the version."""
    missing = ModuleNotFoundError("No module named 'luma_async'")

    with pytest.raises(BatchError, match=r"^The worker at tcp://a:1 has ended, or cannot"):
        cluster_connection._check_version("worker at tcp://a:1", OSError("closed"))
    with pytest.raises(BatchError, match=r"^The worker at tcp://a:1 has no luma-async\. Install"):
        cluster_connection._check_version("worker at tcp://a:1", missing)
    with pytest.raises(BatchError, match=rf"has luma-async 0\.0\.1\. Install .*{__version__}"):
        cluster_connection._check_version("worker at tcp://a:1", "0.0.1")


def test_the_order_to_workers_shows_no_password(tmp_path: Path) -> None:
    """Dask logs what it runs."""
    run = a_run(tmp_path)

    assert "jobs.db" not in repr(run)


def test_news_arrive_as_they_were_sent() -> None:
    """Dask transports plain values only."""
    result = Result(key="a", line=1, state=ResultState.DONE, prompt="ä", file="videos/a.mp4")
    running = (RunningRow("b", Stage.PENDING), RunningRow("c", Stage.PROCESSING, 0.5))
    news = ShardNews(
        shard="1.1", results=(result,), running=running, paid=3, repeated=1, has_problem=False
    )

    assert ShardNews.of_message(tuple(news.message())) == news


def test_warnings_of_workers_are_logged_by_the_coordinator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody looks at the terminals of workers."""
    forwarder = LogForwarder()
    logger = logging.getLogger("luma_async")
    forwarder.start()
    try:
        logger.warning("the disk of %s is full", "a")
        logger.info("all is well")
    finally:
        forwarder.stop()
    logger.warning("too late")
    caplog.clear()

    log_forwarded(forwarder.take(), "tcp://a:1")

    assert caplog.messages == ["the disk of a is full (on the worker tcp://a:1)"]
    assert forwarder.take() == []


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask is not part of the command line."""
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "distributed")

    with pytest.raises(ModuleNotFoundError, match=r'pip install "luma-async\[cluster\]"'):
        ClusterConnection("local:2")
