"""Progress on stderr: a board with a line for each job, and a meter for a batch.

On a terminal they are redrawn in place. In a pipe the board prints a line for each change of state,
and the meter prints nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from luma_async.cli.text import clean, format_duration, format_megabytes
from luma_async.generation import State

if TYPE_CHECKING:
    from luma_async.batch import Progress, RunningRow
    from luma_async.tasks import VideoTask

_STYLES = {"saved": "green", "completed": "green", "processing": "cyan"}
_IDLE_STATES = frozenset({"saved", "completed", "failed", "not saved", "stopped", "waiting"})
_ERROR_STATES = frozenset({"failed", "not saved", "stopped"})

_NOTE_SECONDS = 5.0
"""Seconds for which a note stays below a display."""


@dataclass(eq=False)
class BoardLine:
    """Line of a board: one job, and its download."""

    title: str
    state: str = "waiting"
    began: float | None = None
    ended: float | None = None
    task: VideoTask | None = None
    received: int | None = None
    size: int | None = None
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    @property
    def elapsed(self) -> float:
        """Seconds since the job was no longer waiting."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.title = clean(title)

    @property
    def is_active(self) -> bool:
        """`True` if the job or its download is running."""
        return self.state not in _IDLE_STATES

    @property
    def progress_text(self) -> str:
        """Megabytes downloaded, or else the reported place in the queue or progress, if any."""
        if self.received is not None:
            done = format_megabytes(self.received)
            return f"{done} of {format_megabytes(self.size)}" if self.size else done
        if self.task is None or not self.is_active:
            return ""
        # Read when it is drawn, because a change of the place in the queue is not an update.
        generation = self.task.generation
        if generation.state is State.PENDING and generation.queue_state:
            return clean(generation.queue_state)
        return "" if generation.progress is None else f"{generation.progress:.0%}"


class Board:
    """Lines for jobs, shown by the board's `display`.

    With `stays`, a terminal keeps the lines at the end. With `logs_changes`, a pipe gets a line for
    each change of state.
    """

    def __init__(self, console: Console, *, stays: bool = True, logs_changes: bool = True) -> None:
        self.display = Display(console, self._render, per_second=10, stays=stays)
        self._console = console
        self._logs_changes = logs_changes
        self._lines: list[BoardLine] = []

    def add(self, title: str) -> BoardLine:
        """Add a line at the end."""
        line = BoardLine(clean(title))
        self._lines.append(line)
        return line

    def set_state(self, line: BoardLine, state: str) -> None:
        """Change the state of a job."""
        if line.state == state:
            return
        line.state = state
        if line.began is None:
            line.began = time.monotonic()
        line.ended = time.monotonic() if state in _IDLE_STATES else None
        if not self.display.can_redraw and self._logs_changes:
            text = Text(f"{line.elapsed:6.1f} s  {state:<12} {line.title}")
            self._console.print(text, soft_wrap=True)

    def set_received(self, line: BoardLine, received: int, size: int | None) -> None:
        """Change the number of bytes downloaded, and the size of the file."""
        line.received, line.size = received, size

    def _render(self) -> list[Table | Text]:
        if not self.display.is_live or self._fits(len(self._lines)):
            shown = list(self._lines)
        else:
            # Live cannot redraw lines that have scrolled off the screen.
            shown = [line for line in self._lines if line.is_active]
            shown = shown[: max(self._console.height - 3, 1)]
        parts: list[Table | Text] = [_table(shown)]
        if len(shown) < len(self._lines):
            counts = Counter(line.state for line in self._lines)
            totals = ", ".join(f"{count} {state}" for state, count in counts.items())
            parts.append(Text(totals, "dim", no_wrap=True, overflow="ellipsis"))
        return parts

    def _fits(self, count: int) -> bool:
        return count <= max(self._console.height - 2, 1)


def _table(lines: list[BoardLine]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1, no_wrap=True)
    table.add_column(max_width=58)  # the only column that shrinks on a narrow terminal
    table.add_column(min_width=11, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            _mark(line),
            Text(line.title, no_wrap=True, overflow="ellipsis"),
            Text(line.state, "red" if line.state in _ERROR_STATES else _STYLES.get(line.state, "")),
            Text(format_duration(line.elapsed)),
            Text(line.progress_text),
        )
    return table


def _mark(line: BoardLine) -> Text | Spinner:
    if line.state in _ERROR_STATES:
        return Text("✗", "red")
    if line.is_active:
        return line.spinner
    return Text("·") if line.state == "waiting" else Text("✓", "green")


class BatchMeter:
    """Progress bar and counts of a batch, shown by the meter's `display`."""

    def __init__(
        self,
        console: Console,
        progress: Progress,
        *,
        max_tasks: int,
        running: Callable[[], Sequence[RunningRow]],
    ) -> None:
        self.display = Display(console, self._render, per_second=5)
        self._progress = progress
        self._running = running
        self._max_tasks = max_tasks
        self._began = time.monotonic()

    def _render(self) -> list[Table | Text]:
        progress = self._progress
        ended = progress.total - progress.left
        reported = [row.progress for row in self._running()]
        known = [each for each in reported if each is not None]
        bar = Table.grid(padding=(0, 2, 0, 0), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        bar.add_row(
            ProgressBar(total=max(progress.total, 1), completed=ended + sum(known)),
            Text(f"{ended:,} of {progress.total:,}"),
        )
        mean = sum(known) / len(known) if known else None
        return [bar, Text(self._counts(mean), no_wrap=True, overflow="ellipsis")]

    def _counts(self, mean: float | None) -> str:
        """Return the counts of rows, with the mean progress of the running ones."""
        progress = self._progress
        counts = {
            "submitted": progress.submitted,
            "running": progress.running,
            "done": progress.done,
            "failed": progress.failed,
            "downloaded": progress.downloaded,
        }
        names = {name: name for name in counts}
        if mean is not None:
            names["running"] += f" at {mean:.0%}"
        parts = [
            f"{count:,} {names[name]}"
            for name, count in counts.items()
            if count or name != "failed"
        ]
        if progress.before:
            parts.append(f"{progress.before:,} before")
        parts.append(format_duration(time.monotonic() - self._began))
        left = progress.seconds_left(self._max_tasks)
        if left:
            parts.append(f"about {format_duration(left)} left")
        return " · ".join(parts)


class Display:
    """Redraw the output of `render` in place while the display's context is open.

    In a pipe nothing is shown. With `stays`, the terminal keeps the last drawing at the end.
    """

    def __init__(
        self,
        console: Console,
        render: Callable[[], Sequence[RenderableType]],
        *,
        per_second: int,
        stays: bool = True,
    ) -> None:
        self._console = console
        self._render = render
        self._per_second = per_second
        self._stays = stays
        self._live: Live | None = None
        self._note = ""
        self._note_shown_at = 0.0

    @property
    def can_redraw(self) -> bool:
        """`True` if the console is a terminal whose cursor can be moved."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    @property
    def is_live(self) -> bool:
        """`True` if the display is being redrawn."""
        return self._live is not None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._note = ""
        self._stop(stays=self._stays)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the display in a context, so that stdout can be printed to the same terminal."""
        was_live = self.is_live
        self._stop(stays=False)
        try:
            yield
        finally:
            if was_live:
                self._start()

    def show_note(self, text: str) -> None:
        """Show a text below the drawing for some seconds."""
        self._note, self._note_shown_at = clean(text), time.monotonic()

    def _start(self) -> None:
        if self.can_redraw:
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
        parts = list(self._render())
        if self._note and time.monotonic() < self._note_shown_at + _NOTE_SECONDS:
            parts.append(Text(self._note, "dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)
