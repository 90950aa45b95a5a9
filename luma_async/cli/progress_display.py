"""Board: one line per job, alive on a terminal and plain in a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from luma_async.batch.progress import Progress
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


_REMARK_LASTS = 5.0
"""Seconds."""


class Display:
    """Shows what `draw` returns, again and again, while its context is open; in a pipe nothing.

    `stays` is whether the last of it is left on the terminal at the end.
    """

    def __init__(
        self,
        console: Console,
        draw: Callable[[], Sequence[RenderableType]],
        *,
        per_second: int,
        stays: bool = True,
    ) -> None:
        self._console = console
        self._draw = draw
        self._per_second = per_second
        self._stays = stays
        self._live: Live | None = None
        self._remark = ""
        self._remarked = 0.0

    @property
    def can_move(self) -> bool:
        """Whether there is a terminal that it can move on."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    @property
    def is_live(self) -> bool:
        """Whether it moves now."""
        return self._live is not None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._remark = ""
        self._stop(stays=self._stays)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for somebody else's lines on the same terminal."""
        was_live = self.is_live
        self._stop(stays=False)
        try:
            yield
        finally:
            if was_live:
                self._start()

    def remark(self, text: str) -> None:
        """Show below it, for a while, what is going on."""
        self._remark, self._remarked = clean(text), time.monotonic()

    def _start(self) -> None:
        if self.can_move:
            self._live = Live(
                self,
                console=self._console,
                refresh_per_second=self._per_second,
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
        parts = list(self._draw())
        if self._remark and time.monotonic() < self._remarked + _REMARK_LASTS:
            parts.append(Text(self._remark, "dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)
