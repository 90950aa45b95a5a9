"""Import time of `luma_async`, compared with its two main dependencies."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.row import Row

REPETITIONS = 15
_TIMED = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def rows() -> Iterator[Row]:
    """Compare the import times, each in a new interpreter."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(REPETITIONS):
        ours.append(_seconds("import luma_async"))
        theirs.append(_seconds("import aiohttp, pydantic"))
    ratio = statistics.median(ours) / statistics.median(theirs)
    yield Row(
        "CPU for `import luma_async`: ratio to `import aiohttp, pydantic`",
        f"{ratio:.2f} ({statistics.median(ours) * 1000:.0f} ms against "
        f"{statistics.median(theirs) * 1000:.0f} ms)",
        "at most 1.15",
        ratio <= 1.15,
    )


def _seconds(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)
