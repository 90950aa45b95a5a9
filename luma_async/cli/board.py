"""Board: one line per job, alive on a terminal and plain in a pipe."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

_STYLES = {"saved": "green", "completed": "green", "failed": "red", "processing": "cyan"}
_AT_REST = frozenset({"saved", "failed", "waiting"})


@dataclass(eq=False)
class Line:
    """One job on the board."""

    title: str
    state: str = "waiting"
    began: float | None = None
    ended: float | None = None
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    @property
    def elapsed(self) -> float:
        """Seconds since it left its place in the queue."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began


class Board:
    """Shows lines as they change, while its context is open."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[Line] = []
        self._live = Live(self, console=console, refresh_per_second=10)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def add(self, title: str) -> Line:
        """Put a new line at the end."""
        line = Line(title)
        self._lines.append(line)
        return line

    def move(self, line: Line, state: str) -> None:
        """Note that a job is somewhere else now."""
        if line.state == state:
            return
        line.state = state
        if line.began is None:
            line.began = time.monotonic()
        if state in _AT_REST:
            line.ended = time.monotonic()
        if not self._console.is_terminal:
            print(f"{line.elapsed:6.1f} s  {state:<12} {line.title}", flush=True)

    def __rich__(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
        table.add_column("")
        table.add_column("prompt", overflow="ellipsis", no_wrap=True, max_width=58)
        table.add_column("state", min_width=12)
        table.add_column("elapsed", justify="right")
        for line in self._lines:
            marks = {"saved": Text("✓", "green"), "failed": Text("✗", "red"), "waiting": Text("·")}
            table.add_row(
                marks.get(line.state, line.spinner),
                line.title,
                Text(line.state, style=_STYLES.get(line.state, "yellow")),
                f"{line.elapsed:.1f} s",
            )
        return table
