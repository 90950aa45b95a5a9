"""Simulated gateway in a process of its own, and access to its ledger."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import ssl
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from benchmarks.programs import server
from luma_async.simulator import Fault, LogNormal, Simulator, Variant


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """Running gateway at a URL."""

    url: str
    signal: Callable[[int], None] = lambda _: None

    def restart(self) -> None:
        """Make the gateway cut all connections and listen again."""
        self.signal(signal.SIGUSR1)

    def close_after_answers(self) -> None:
        """Make the gateway close each connection after its answer from now on."""
        self.signal(signal.SIGUSR2)

    def ledger(self) -> dict[str, Any]:
        """Return the ledger: accepted jobs, and statistics of requests."""
        with urllib.request.urlopen(f"{self.url}/simulator/ledger") as answer:
            return dict(json.load(answer))

    def summary(self) -> dict[str, Any]:
        """Return the ledger without the list of jobs."""
        with urllib.request.urlopen(f"{self.url}/simulator/ledger?jobs=none") as answer:
            return dict(json.load(answer))

    def jobs_looked_at(self) -> int:
        """Return the number of jobs in all status requests so far."""
        return int(self.summary()["jobs_looked_at"])

    def jobs_accepted(self) -> int:
        """Return the number of requests that were answered 200 so far."""
        return int(self.summary()["statuses"].get("200", 0))


@contextmanager
def gateway(
    *,
    median: float,
    sigma: float = 0.35,
    speed: float = 1.0,
    latency: float = 0.0,
    batch: str = "array",
    max_rate: float | None = None,
    same_films: bool = False,
    tls: bool = False,
    says_more: bool = False,
    max_jobs: int | None = None,
    full_for: float | None = None,
    rejected: float = 0.0,
    video_bytes: int = 0,
) -> Iterator[GatewayProcess]:
    """Run a gateway whose jobs have log-normal durations.

    Args:
        median: median of the durations in simulated seconds.
        sigma: standard deviation of the logarithm of the durations.
        speed: simulated seconds per second.
        latency: delay of each answer in seconds.
        batch: answer to "get many", as in `Variant`.
        max_rate: maximum number of requests per second.
        same_films: `True` to serve one film for all jobs.
        tls: `True` to use TLS. Programs that are started in the context find the authority of the
            certificate by `SSL_CERT_FILE`.
        says_more: `True` for answers with the progress of jobs, and with estimates.
        max_jobs: maximum number of running jobs.
        full_for: `Retry-After` in seconds for submissions beyond `max_jobs`.
        rejected: fraction of the requests that are answered 429 at random.
        video_bytes: minimum size of videos in bytes.

    """
    settings = {
        "median": median,
        "sigma": sigma,
        "speed": speed,
        "latency": latency,
        "batch": batch,
        "max_rate": max_rate,
        "same_films": same_films,
        "says_more": says_more,
        "max_jobs": max_jobs,
        "full_for": full_for,
        "rejected": rejected,
        "video_bytes": video_bytes,
    }
    with certificate() if tls else nullcontext() as file:
        arguments = [json.dumps(settings), *([file] if file is not None else [])]
        with server("gateway", *arguments) as (url, process):
            yield GatewayProcess(url, process.send_signal)


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def certificate() -> Iterator[Path]:
    """Create a certificate for loopback that programs started in the context trust."""
    authority, before = _authority(), os.environ.get("SSL_CERT_FILE")
    with tempfile.TemporaryDirectory() as folder:
        file, trusted = Path(folder, "server.pem"), Path(folder, "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(file)
        authority.cert_pem.write_to_path(trusted)
        os.environ["SSL_CERT_FILE"] = str(trusted)
        try:
            yield file
        finally:
            if before is None:
                del os.environ["SSL_CERT_FILE"]
            else:
                os.environ["SSL_CERT_FILE"] = before


async def _serve(settings: dict[str, Any], certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    simulator = Simulator(
        durations=LogNormal(settings["median"], settings["sigma"]),
        speed=settings["speed"],
        variant=Variant(
            batch=settings["batch"],
            progress=settings["says_more"],  # if not, rows are as short as they may be
            estimates=settings["says_more"],
        ),
        max_rate=settings["max_rate"],
        same_films=settings["same_films"],
        video_bytes=settings["video_bytes"],
        max_jobs=settings["max_jobs"],
        full_for=settings["full_for"],
        short_side=90,
        ssl_context=context,
    )
    loop, restarts = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: restarts.add(loop.create_task(simulator.restart()))
    )
    closing = Fault.closing(on=("generate", "get", "tasks"))
    loop.add_signal_handler(signal.SIGUSR2, simulator.faults.add, closing)
    async with simulator:
        calls = ("generate", "extend", "get", "tasks")
        if settings["rejected"]:
            simulator.faults.add(
                Fault.rate_limited(retry_after=1, share=settings["rejected"], on=calls)
            )
        if settings["latency"]:
            simulator.faults.add(Fault.slow(settings["latency"], on=calls))
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1]), sys.argv[2] if sys.argv[2:] else None))
