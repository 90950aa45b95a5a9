"""The simulated gateway as a process: started, asked for its books, and ended."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from luma_async.simulator import Fault, LogNormal, Simulator, Variant


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A running gateway."""

    url: str

    def ledger(self) -> dict[str, Any]:
        """Return what it took, and how hard it was pressed."""
        with urllib.request.urlopen(f"{self.url}/simulator/ledger") as answer:
            return dict(json.load(answer))

    def jobs_looked_at(self) -> int:
        """Return how many jobs were looked at so far, a batch counting as many as it names."""
        with urllib.request.urlopen(f"{self.url}/simulator/ledger?jobs=none") as answer:
            return int(json.load(answer)["jobs_looked_at"])


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
) -> Iterator[GatewayProcess]:
    """Run a gateway whose jobs take log-normal times, and whose answers take `latency` seconds.

    `batch` is how it answers to looks at many jobs at once, `max_rate` how many requests a second
    it allows.
    """
    settings = {
        "median": median,
        "sigma": sigma,
        "speed": speed,
        "latency": latency,
        "batch": batch,
        "max_rate": max_rate,
        "same_films": same_films,
    }
    command = [sys.executable, "-m", "benchmarks.gateway", json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield GatewayProcess(process.stdout.readline().strip())
        finally:
            process.terminate()


async def _serve(settings: dict[str, Any]) -> None:
    simulator = Simulator(
        durations=LogNormal(settings["median"], settings["sigma"]),
        speed=settings["speed"],
        variant=Variant(batch=settings["batch"]),
        max_rate=settings["max_rate"],
        same_films=settings["same_films"],
        short_side=90,
    )
    async with simulator:
        if settings["latency"]:
            calls = ("generate", "extend", "get", "tasks")
            simulator.faults.add(Fault.slow(settings["latency"], on=calls))
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
