"""Program that reads a journal with very many jobs, and measures stalls of the event loop.

`python -m benchmarks.long_journal METHOD JOURNAL` prints JSON. `METHOD` is `states` or `export`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.full_rows import row
from benchmarks.many import Heartbeat
from benchmarks.programs import output_of
from luma_async import SQLJournal

JOBS = 200_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Result: duration and longest stall of the event loop, in seconds."""

    entries: int
    wall: float
    longest_stall: float


async def fill(place: Path, entries: int = JOBS) -> None:
    """Create a journal of completed jobs with full rows."""
    async with SQLJournal(place):
        pass
    generation = {"id": "", "state": "completed", "prompt": "a cat", "raw": row("a")}
    with sqlite3.connect(place) as database:
        database.executemany(
            "INSERT INTO luma_jobs (key, state, claim, owner, server, request, fingerprint, "
            "task_id, generation, submitted_at, updated_at, request_id) "
            "VALUES (?, 'completed', ?, 'o', 'https://host', ?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    f"row-{number}",
                    f"{number:032x}",
                    json.dumps({"prompt": f"cat {number}", "aspect_ratio": "16:9"}),
                    f"{number:064x}",
                    str(UUID(int=number)),
                    json.dumps(generation | {"id": str(UUID(int=number))}),
                    1.7e9 + number * 7919 % entries,
                    1.7e9 + entries,
                    str(UUID(int=number)),
                )
                for number in range(entries)
            ),
        )
    database.close()


async def read(method: str, place: Path) -> Measured:
    """Read the whole journal once with one of its methods."""
    heartbeat = Heartbeat()
    async with SQLJournal(place) as journal:
        await journal.find("row-1")
        gc.collect()
        gc.freeze()  # keeps the collector from objects of the imports: that stall is not ours
        beating = asyncio.create_task(heartbeat.beat())
        start = time.perf_counter()
        if method == "states":
            entries = len(await journal.states())
        else:
            entries = 0
            async for _ in journal.export():
                entries += 1
        wall = time.perf_counter() - start
        beating.cancel()
    return Measured(entries, wall, heartbeat.longest)


def measure(method: str, place: Path) -> Measured:
    """Run the program in a process of its own, and return its result."""
    return Measured(**json.loads(output_of("long_journal", method, place)))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(read(sys.argv[1], Path(sys.argv[2]))))))
