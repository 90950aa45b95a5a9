"""Meter: where a batch of many jobs stands, in one bar and one line."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from luma_async.batch.progress import Progress
from luma_async.cli.display import Display
from luma_async.cli.text import clock


class Meter:
    """Where a batch stands, shown by its `display`."""

    def __init__(self, console: Console, progress: Progress, *, at_once: int) -> None:
        self.display = Display(console, self._drawn, per_second=5)
        self._progress = progress
        self._at_once = at_once
        self._began = time.monotonic()

    def _drawn(self) -> list[Table | Text]:
        progress = self._progress
        ended = progress.total - progress.left
        head = Table.grid(padding=(0, 2, 0, 0), expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(
            ProgressBar(total=max(progress.total, 1), completed=ended),
            Text(f"{ended:,} of {progress.total:,}"),
        )
        return [head, Text(self._counts(), no_wrap=True, overflow="ellipsis")]

    def _counts(self) -> str:
        progress = self._progress
        counts = {
            "submitted": progress.submitted,
            "running": progress.running,
            "done": progress.done,
            "failed": progress.failed,
            "downloaded": progress.downloaded,
        }
        said = [f"{count:,} {name}" for name, count in counts.items() if count or name != "failed"]
        if progress.before:
            said.append(f"{progress.before:,} before")
        said.append(clock(time.monotonic() - self._began))
        left = progress.seconds_left(self._at_once)
        if left:
            said.append(f"about {clock(left)} left")
        return " · ".join(said)
