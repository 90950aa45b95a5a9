"""Board: one line per job, alive on a terminal and plain in a pipe."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from luma_async.cli.display import Display
from luma_async.cli.text import clean, clock, megabytes

_STYLES = {"saved": "green", "completed": "green", "processing": "cyan"}
_AT_REST = frozenset({"saved", "completed", "failed", "not saved", "stopped", "waiting"})
_WENT_WRONG = frozenset({"failed", "not saved", "stopped"})


@dataclass(eq=False)
class Line:
    """One job on the board."""

    title: str
    state: str = "waiting"
    began: float | None = None
    ended: float | None = None
    progress: float | None = None
    received: int | None = None
    size: int | None = None
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    @property
    def elapsed(self) -> float:
        """Seconds since it left its place in the queue."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began

    def retitle(self, title: str) -> None:
        """Say more of it."""
        self.title = clean(title)

    @property
    def is_under_way(self) -> bool:
        """Whether something happens to it."""
        return self.state not in _AT_REST

    @property
    def measure(self) -> str:
        """How far it is, where that is known."""
        if self.received is not None:
            done = megabytes(self.received)
            return f"{done} of {megabytes(self.size)}" if self.size else done
        if self.progress is not None and self.is_under_way:
            return f"{self.progress:.0%}"
        return ""


class Board:
    """Lines that change, shown by its `display`.

    `stays` is whether the lines are left on the terminal at the end, `speaks` whether a pipe gets
    a line for each change.
    """

    def __init__(self, console: Console, *, stays: bool = True, speaks: bool = True) -> None:
        self.display = Display(console, self._drawn, per_second=10, stays=stays)
        self._console = console
        self._speaks = speaks
        self._lines: list[Line] = []

    def add(self, title: str) -> Line:
        """Put a new line at the end."""
        line = Line(clean(title))
        self._lines.append(line)
        return line

    def move(self, line: Line, state: str, progress: float | None = None) -> None:
        """Note that a job is somewhere else now."""
        line.progress = progress
        if line.state == state:
            return
        line.state = state
        if line.began is None:
            line.began = time.monotonic()
        line.ended = time.monotonic() if state in _AT_REST else None
        if not self.display.can_move and self._speaks:
            text = Text(f"{line.elapsed:6.1f} s  {state:<12} {line.title}")
            self._console.print(text, soft_wrap=True)

    def receive(self, line: Line, received: int, size: int | None) -> None:
        """Note how much of a file is here."""
        line.received, line.size = received, size

    def _drawn(self) -> list[Table | Text]:
        if not self.display.is_live or self._fits(len(self._lines)):
            shown = list(self._lines)
        else:
            shown = [line for line in self._lines if line.is_under_way]
            shown = shown[: max(self._console.height - 3, 1)]
        parts: list[Table | Text] = [_table(shown)]
        if len(shown) < len(self._lines):
            counts = Counter(line.state for line in self._lines)
            totals = ", ".join(f"{count} {state}" for state, count in counts.items())
            parts.append(Text(totals, "dim", no_wrap=True, overflow="ellipsis"))
        return parts

    def _fits(self, count: int) -> bool:
        return count <= max(self._console.height - 2, 1)


def _table(lines: list[Line]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1, no_wrap=True)
    table.add_column(max_width=58)  # the one that gives way on a narrow terminal
    table.add_column(min_width=11, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            _mark(line),
            Text(line.title, no_wrap=True, overflow="ellipsis"),
            Text(line.state, "red" if line.state in _WENT_WRONG else _STYLES.get(line.state, "")),
            Text(clock(line.elapsed)),
            Text(line.measure),
        )
    return table


def _mark(line: Line) -> Text | Spinner:
    if line.state in _WENT_WRONG:
        return Text("✗", "red")
    if line.is_under_way:
        return line.spinner
    return Text("·") if line.state == "waiting" else Text("✓", "green")
