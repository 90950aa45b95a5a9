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

from luma_async.simulator import Fault, LogNormal, Simulator


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
    *, median: float, sigma: float = 0.35, speed: float = 1.0, latency: float = 0.0
) -> Iterator[GatewayProcess]:
    """Run a gateway whose jobs take log-normal times, and whose answers take `latency` seconds."""
    settings = map(str, (median, sigma, speed, latency))
    command = [sys.executable, "-m", "benchmarks.gateway", *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield GatewayProcess(process.stdout.readline().strip())
        finally:
            process.terminate()


async def _serve(median: float, sigma: float, speed: float, latency: float) -> None:
    async with Simulator(durations=LogNormal(median, sigma), speed=speed) as simulator:
        if latency:
            simulator.faults.add(Fault.slow(latency, on=["generate", "extend", "get", "tasks"]))
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(*map(float, sys.argv[1:])))
