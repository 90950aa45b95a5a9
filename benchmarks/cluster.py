"""Batch on a Dask cluster: a run with accidents, the cost of coordination, and the throughput."""

from __future__ import annotations

import asyncio
import csv
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import GatewayProcess, gateway
from benchmarks.row import Row
from tests.journal.postgres import running_postgres

ROWS = 2_000
CHAIN = 4
LIMIT = 20
WORKERS = 4
CUT = 10.0
"""Seconds for which the database is away."""

COST_ROWS = (200, 1_200)
"""Sizes of two batches: the difference of their CPU seconds is without the start of programs."""

COST_ROUNDS = 5
"""Comparisons of the cost, one after the other: a single one differs by a millisecond by chance."""

KEY = "benchmark-key"
BATCH = [sys.executable, "-m", "luma_async.cli", "batch"]


def rows() -> Iterator[Row]:
    """Run batches as a user does, with the command line."""
    yield from asyncio.run(_accidents())
    yield from _cost()
    yield from _throughput()


@dataclass(slots=True)
class _Proxy:
    """Way to a database that can be cut."""

    port: int
    of_database: int
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] | None = None

    async def listen(self) -> None:
        self._open = set()
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        assert self._server is not None
        assert self._open is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._open is not None
        there, back = await asyncio.open_connection("127.0.0.1", self.of_database)
        self._open |= {writer, back}
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            self._open -= {writer, back}
            for each in (writer, back):
                each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _accidents() -> list[Row]:
    """Run chains on four workers; two are killed, and the database is cut."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_postgres() as postgres,
        gateway(median=1.0, sigma=0.1, same_films=True) as server,
    ):
        folder = Path(name)
        _write_rows(folder / "rows.csv", ROWS, chain=CHAIN)
        proxy = _Proxy(0, postgres.port)
        await proxy.listen()
        place = postgres.url("postgres").replace(f":{postgres.port}/", f":{proxy.port}/")
        environment = _environment(server)
        async with _dask(folder, environment) as (address, workers):
            start = time.monotonic()
            batch = await asyncio.create_subprocess_exec(
                *[*BATCH, "rows.csv", "--cluster", address, "--journal", place],
                *["--max-tasks", str(LIMIT)],
                cwd=folder,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            talk = asyncio.create_task(batch.communicate())
            for worker, share in ((workers[0], 0.2), (workers[1], 0.4)):
                await _until_accepted(server, share * ROWS, talk)
                worker.send_signal(signal.SIGKILL)
            await _until_accepted(server, 0.6 * ROWS, talk)
            proxy.cut()
            await asyncio.sleep(CUT)
            await proxy.listen()
            _, said = await talk
            seconds = time.monotonic() - start
        sys.stderr.write(said.decode()[-3000:])
        return list(_of_accidents(folder / "rows", server.ledger(), seconds, batch.returncode))


def _of_accidents(
    folder: Path, ledger: dict[str, Any], seconds: float, code: int | None
) -> Iterator[Row]:
    jobs = ledger["jobs"]
    paid = Counter(job["prompt"] for job in jobs)
    videos = len(list((folder / "videos").glob("*.mp4")))
    exactly_once = len(paid) == len(jobs) == videos == ROWS
    yield Row(
        f"{ROWS:,} rows in chains on {WORKERS} workers, 2 of them killed, database away for "
        f"{CUT:.0f} s: rows paid for, jobs, videos",
        f"{len(paid):,}, {len(jobs):,}, {videos:,} in {seconds:.0f} s, exit code {code}",
        f"{ROWS:,} each",
        exactly_once and code == 0,
    )
    yield Row(
        "most jobs that ran at once, of all workers",
        f"{ledger['most_jobs']}",
        f"at most {LIMIT}",
        ledger["most_jobs"] <= LIMIT,
    )


def _cost() -> Iterator[Row]:
    """Compare the CPU seconds of a batch on one worker with those of a batch without a cluster."""
    pairs = [(_cpu_of_job(None), _cpu_of_job("local:1")) for _ in range(COST_ROUNDS)]
    more = [on_cluster - plain for plain, on_cluster in pairs]
    yield Row(
        "coordination: CPU time for each job, beside that of the batch itself, median of "
        f"{COST_ROUNDS}",
        f"{median(more):.2f} ms ({min(more):.2f} to {max(more):.2f}), beside "
        f"{median(plain for plain, _ in pairs):.2f} ms",
        "under 1 ms",
        median(more) < 1,
    )


def _cpu_of_job(cluster: str | None) -> float:
    """Return the milliseconds of CPU time for each job, without those of the start."""
    few, many = COST_ROWS
    return (_cpu_seconds(many, cluster) - _cpu_seconds(few, cluster)) / (many - few) * 1000


def _throughput() -> Iterator[Row]:
    """Measure the rows per second with jobs of one second, all of which may run at once."""
    for workers in (1, 2, 4):
        with gateway(median=1.0, sigma=0.1, same_films=True) as server:
            seconds, used = _run(server, ROWS, f"local:{workers}", max_tasks=ROWS)
        yield Row(
            f"{ROWS:,} jobs of 1 s at once on {workers} workers of this machine",
            f"{ROWS / seconds:.0f} rows/s, {used / ROWS * 1000:.1f} ms of CPU time for each",
        )


def _cpu_seconds(number: int, cluster: str | None) -> float:
    with gateway(median=1.0, sigma=0.1, same_films=True) as server:
        return _run(server, number, cluster, max_tasks=200)[1]


def _run(
    server: GatewayProcess, number: int, cluster: str | None, *, max_tasks: int
) -> tuple[float, float]:
    """Run a batch; return its seconds, and the CPU seconds of all its processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_rows(folder / "rows.csv", number, chain=1)
        command = [*BATCH, "rows.csv", "--max-tasks", str(max_tasks)]
        # Both count the running jobs in the journal, because that is not a cost of the cluster.
        command += ["--max-tasks-scope", "journal"] if cluster is None else ["--cluster", cluster]
        started, before = time.monotonic(), _used()
        environment = _environment(server)
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        return time.monotonic() - started, _used() - before


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _environment(server: GatewayProcess) -> dict[str, str]:
    here = str(Path(__file__).parents[1])
    return {
        **os.environ,
        "LUMA_API_KEY": KEY,
        "LUMA_BASE_URL": server.url,
        "LUMA_DIALECT": "gateway",
        "PYTHONPATH": here,
    }


def _write_rows(path: Path, number: int, *, chain: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "prompt", "extends"])
        for at in range(number):
            source = f"row-{at - 1}" if at % chain else ""
            writer.writerow([f"row-{at}", f"a cat dances, take {at}", source])


@asynccontextmanager
async def _dask(
    folder: Path, environment: dict[str, str]
) -> AsyncIterator[tuple[str, Sequence[asyncio.subprocess.Process]]]:
    """Start a scheduler and its workers as a user does; a worker that is killed stays away."""
    async with AsyncExitStack() as ended_last:
        port = _free_port()
        address = f"tcp://127.0.0.1:{port}"

        async def start(module: str, *arguments: str) -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"],
                cwd=folder,
                env=environment,
                stderr=asyncio.subprocess.DEVNULL,
            )
            ended_last.push_async_callback(process.wait)
            ended_last.callback(_terminate, process)
            return process

        scheduler = ("dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
        await start(*scheduler)
        worker = ("dask_worker", address, "--nthreads", "1", "--no-nanny")
        yield address, [await start(*worker) for _ in range(WORKERS)]


def _terminate(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _until_accepted(server: GatewayProcess, number: float, batch: asyncio.Task[Any]) -> None:
    """Return once the server has accepted a number of jobs, or the batch has ended."""
    while not batch.done():
        summary = await asyncio.to_thread(server.ledger)
        if len(summary["jobs"]) >= number:
            return
        await asyncio.sleep(0.5)
