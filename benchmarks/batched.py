"""A program that runs a batch and measures itself.

`python -m benchmarks.batched URL MANIFEST FOLDER [OUTPUT]` prints JSON. With no URL, `-`, it only
checks. OUTPUT is the URL of the videos, if they are not in FOLDER.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.many import Heartbeat
from benchmarks.memory import peak_resident
from luma_async import FixedSchedule, LumaClient
from luma_async.batch import Batch, read_manifest, write_gallery


@dataclass(frozen=True, slots=True)
class Measured:
    """Cost of a batch in seconds and bytes."""

    rows: int
    done: int
    checking: float
    running: float
    longest_stall: float
    longest_silence: float
    peak_resident: int


async def run(url: str, path: Path, folder: Path, output: str | None = None) -> Measured:
    """Check a manifest, and run it if a gateway is given."""
    start = time.perf_counter()
    manifest = read_manifest(path)
    checking = time.perf_counter() - start
    done, running, silence, heartbeat = 0, 0.0, 0.0, Heartbeat()
    if url != "-":
        gc.collect()
        gc.freeze()
        async with LumaClient(
            "benchmark-key",
            base_url=url,
            schedule=FixedSchedule(0.5),
            journal=folder / "jobs.db",
            max_downloads=8,
        ) as luma:
            batch = Batch(luma, manifest, folder, max_tasks=500, output=output)
            beating = asyncio.create_task(heartbeat.beat())
            began = last = time.perf_counter()
            async for result in batch.run():
                done += result.file is not None
                now = time.perf_counter()
                silence, last = max(silence, now - last), now
            running = time.perf_counter() - began
            beating.cancel()
            write_gallery(folder, batch.results, title="benchmark", command="")
    return Measured(
        rows=len(manifest.rows),
        done=done,
        checking=checking,
        running=running,
        longest_stall=heartbeat.longest,
        longest_silence=silence,
        peak_resident=peak_resident(),
    )


def measure(url: str, path: Path, folder: Path, *output: str) -> Measured:
    """Run this module in a process of its own and return its measurements."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.batched", url, str(path), str(folder), *output]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout))


if __name__ == "__main__":
    where, manifest, target, *output = sys.argv[1:]
    print(json.dumps(asdict(asyncio.run(run(where, Path(manifest), Path(target), *output)))))
