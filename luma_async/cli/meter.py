"""Meter: where a batch of many jobs stands, in one bar and one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from luma_async.batch.progress import Progress
from luma_async.cli.text import clean, clock

_REMARK_LASTS = 5.0


class Meter:
    """Shows a batch on a terminal while its context is open; in a pipe it shows nothing."""

    def __init__(self, console: Console, progress: Progress, *, at_once: int) -> None:
        self._console = console
        self._progress = progress
        self._at_once = at_once
        self._is_alive = console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._began = time.monotonic()
        self._remark = ""
        self._remarked = 0.0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._remark = ""
        self._stop(stays=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for somebody else's lines on the same terminal."""
        was_live = self._live is not None
        self._stop(stays=False)
        try:
            yield
        finally:
            if was_live:
                self._start()

    def remark(self, text: str) -> None:
        """Show below the bar, for a while, what is going on."""
        self._remark, self._remarked = clean(text), time.monotonic()

    def _start(self) -> None:
        if self._is_alive:
            self._live = Live(
                self,
                console=self._console,
                refresh_per_second=5,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def _stop(self, *, stays: bool) -> None:
        if self._live is not None:
            self._live.transient = not stays
            self._live.stop()
            self._live = None

    def __rich__(self) -> Group:
        progress = self._progress
        ended = progress.total - progress.left
        head = Table.grid(padding=(0, 2, 0, 0), expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(
            ProgressBar(total=max(progress.total, 1), completed=ended),
            Text(f"{ended:,} of {progress.total:,}"),
        )
        parts: list[Table | Text] = [head, Text(self._counts(), no_wrap=True, overflow="ellipsis")]
        if self._remark and time.monotonic() < self._remarked + _REMARK_LASTS:
            parts.append(Text(self._remark, "dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)

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
