"""Batch of fifty thousand rows: time to check its file, time and memory to run it."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.batched import measure
from benchmarks.gateway import gateway
from benchmarks.row import Row

ROWS = 50_000


def rows() -> Iterator[Row]:
    """Check the same rows in three formats, and run those of the first in compressed time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in _manifests(folder):
            checked = measure("-", path, folder)
            yield Row(
                f"{ROWS:,} rows of {path.suffix} checked",
                f"{checked.checking:.1f} s, {checked.peak_resident / 2**20:.0f} MiB",
                "under 10 s",
                checked.checking < 10,
            )
        with gateway(median=60, speed=60, same_films=True) as server:
            run = measure(server.url, folder / "rows.csv", folder / "out")
            submitted = len(server.ledger()["jobs"])
    yield Row(
        f"{ROWS:,} rows run, a file each: memory",
        f"{run.peak_resident / 2**20:.0f} MiB",
        "under 300 MB",
        run.peak_resident < 300 * 10**6,
    )
    yield Row(
        f"{ROWS:,} rows run: files that are there, jobs that were paid for",
        f"{run.done:,}, {submitted:,} in {run.running:.0f} s",
        f"{ROWS:,} each",
        run.done == submitted == ROWS,
    )
    yield Row(
        f"{ROWS:,} rows run: longest time without a result, and that the loop was held",
        f"{run.longest_silence:.1f} s, {run.longest_stall * 1000:.0f} ms",
    )


def _manifests(folder: Path) -> Iterator[Path]:
    """Write the same rows in three formats; every fifth row begins a chain of five."""
    fields = [
        {
            "key": f"row-{number}",
            "prompt": f"a cat dances on a moonlit roof, take {number}",
            "aspect_ratio": "16:9",
            "extends": f"row-{number - 1}" if number % 5 else "",
        }
        for number in range(ROWS)
    ]
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(fields[0]))
        writer.writeheader()
        writer.writerows(fields)
    lines = [json.dumps(row) for row in fields]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "rows.yaml").write_text("\n".join(f"- {line}" for line in lines), "utf-8")
    yield from (folder / f"rows.{form}" for form in ("csv", "jsonl", "yaml"))
