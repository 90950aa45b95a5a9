"""Benchmarks of media: time that images block the event loop, and speed and memory of downloads."""

from __future__ import annotations

import hashlib
import random
import shutil
import statistics
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.downloads import Measurement, measure, served
from benchmarks.gateway import gateway
from benchmarks.images import KINDS
from benchmarks.images import measure as measure_stall
from benchmarks.row import Row

REPETITIONS = 10
"""Number of downloads by each program."""

VIDEO_SIZE = 500 * 10**6
"""Size of the video in bytes."""


def rows() -> Iterator[Row]:
    """Send a large image of each kind, and compare the download of a large video with curl."""
    yield from _images()
    yield from _downloads()


def _images() -> Iterator[Row]:
    for kind in KINDS:
        with gateway(median=60) as server:
            stall = min(measure_stall(server.url, kind) for _ in range(3))
        yield Row(
            f"longest time the loop was blocked by an image of 19 MiB, given as {kind} (best of 3)",
            f"{stall * 1000:.0f} ms",
            "at most 20 ms",
            stall <= 0.02,
        )


def _downloads() -> Iterator[Row]:
    ours: list[Measurement] = []
    curls: list[float] = []
    same = True
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.mp4"), Path(folder, "target.mp4")
        _make_video(source)
        with served(source) as url:
            for number in range(2 * REPETITIONS):
                if number % 4 in (0, 3):  # alternate who comes first
                    ours.append(measure(url, target))
                else:
                    curls.append(_curl(url, target))
                same = same and _digest(source) == _digest(target)
                target.unlink()
    ratio = statistics.median(curls) / statistics.median(each.seconds for each in ours)
    megabytes = VIDEO_SIZE / 10**6
    yield Row(
        f"speed of a download of 500 MB relative to curl (medians of {REPETITIONS})",
        f"{ratio:.2f} ({megabytes / statistics.median(m.seconds for m in ours):,.0f} MB/s; curl: "
        f"{megabytes / statistics.median(curls):,.0f} MB/s)",
        "at least 0.8",
        ratio >= 0.8,
    )
    memory = max(each.extra_memory for each in ours)
    yield Row(
        f"extra memory of a download of 500 MB (worst of {REPETITIONS})",
        f"{memory / 2**20:.0f} MiB",
        "at most 64 MB",
        memory <= 64 * 10**6,
    )
    yield Row(
        "the downloaded file equals the served one",
        "same SHA-256" if same else "different SHA-256",
        "same SHA-256",
        same,
    )


def _make_video(path: Path) -> None:
    """Write a file that looks like an MP4, of random bytes so that nothing can compress it."""
    chance = random.Random(1)
    with path.open("wb") as file:
        file.write(struct.pack(">I4s", 16, b"ftyp") + b"isomisom")
        file.write(struct.pack(">I4s", 8, b"moov"))
        file.write(struct.pack(">I4s", VIDEO_SIZE - 24, b"mdat"))
        for left in range(VIDEO_SIZE - 32, 0, -(10**7)):
            file.write(chance.randbytes(min(left, 10**7)))


def _curl(url: str, path: Path) -> float:
    """Download a file with curl, and return the seconds that curl reports."""
    program = shutil.which("curl")
    assert program is not None, "curl must be installed for the comparison"
    command = [program, "--silent", "--fail", "--output", str(path), "--write-out", "%{time_total}"]
    done = subprocess.run([*command, url], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
