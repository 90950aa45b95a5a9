"""How long `import luma_async` takes, against the two libraries that it cannot do without."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.row import Row

REPETITIONS = 15
_TIMED = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def rows() -> Iterator[Row]:
    """Import both in turn, each in a new interpreter."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(REPETITIONS):
        ours.append(_seconds("import luma_async"))
        theirs.append(_seconds("import aiohttp, pydantic"))
    ratio = statistics.median(ours) / statistics.median(theirs)
    yield Row(
        "import luma_async, against importing aiohttp and pydantic",
        f"{ratio:.2f} ({statistics.median(ours) * 1000:.0f} ms against "
        f"{statistics.median(theirs) * 1000:.0f} ms of CPU)",
        "at most 1.15",
        ratio <= 1.15,
    )


def _seconds(statement: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)
