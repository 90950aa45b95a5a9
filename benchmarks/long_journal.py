"""A program that reads a journal of very many jobs, and measures how long the loop is held.

It is run as a process of its own, `python -m benchmarks.long_journal WHAT JOURNAL`, so that nothing
else is in it, and prints JSON. `WHAT` is `states` or `export`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.full_rows import row
from benchmarks.many import Heartbeat
from luma_async import SQLJournal

JOBS = 200_000


@dataclass(frozen=True, slots=True)
class Measured:
    """How long it took, and the longest time that the event loop was held, in seconds."""

    entries: int
    wall: float
    longest_stall: float


async def fill(place: Path, entries: int = JOBS) -> None:
    """Make a journal of completed jobs, each with its row."""
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


async def read(what: str, place: Path) -> Measured:
    """Read all of it once."""
    heartbeat = Heartbeat()
    async with SQLJournal(place) as journal:
        await journal.find("row-1")
        gc.collect()
        gc.freeze()  # what the imports left behind; its collection is the interpreter's stall
        beating = asyncio.create_task(heartbeat.beat())
        start = time.perf_counter()
        if what == "states":
            entries = len(await journal.states())
        else:
            entries = 0
            async for _ in journal.export():
                entries += 1
        wall = time.perf_counter() - start
        beating.cancel()
    return Measured(entries, wall, heartbeat.longest)


def measure(what: str, place: Path) -> Measured:
    """Run the program in a process of its own and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.long_journal", what, str(place)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(read(sys.argv[1], Path(sys.argv[2]))))))
