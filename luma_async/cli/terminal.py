"""Terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

from luma_async.cli.advice import advice_on
from luma_async.cli.interruption import raising
from luma_async.cli.progress_display import Board, Display
from luma_async.cli.text import clean
from luma_async.errors import LumaError, ManifestError

if TYPE_CHECKING:
    from luma_async.batch import Progress

_MOST_COMMANDS = 3
"""So many commands are named at an interruption, each of which takes up one job."""

_PASSING_TROUBLE = "Trying again"
"""What the log says of trouble that somebody who waits would like to know of."""


class Terminal:
    """Where a command speaks: to a person, or to a script `as_json`."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.take_up: dict[str, str] = {}
        """What to type for each job that goes on without us, by its id."""
        self.take_up_all: str | None = None
        """What to type for all of them at once."""
        self.take_up_submission: str | None = None
        """What to type for a job that is being submitted."""
        self.go_on: str | None = None
        """What to type to go on with a batch, until that was said."""
        self.on_first_interrupt: Callable[[], None] | None = None
        """What a first Ctrl-C does, where it does not leave."""
        self.settle = "luma-async settle"
        """What to type, before its key, for a job that is uncertain."""
        self._console = _Console(
            stderr=True,
            force_terminal=sys.stderr.isatty(),
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._display: Display | None = None

    @contextmanager
    def board(self, *, stays: bool = True, speaks: bool = True) -> Iterator[Board]:
        """Show progress meanwhile."""
        board = Board(self._console, stays=stays, speaks=speaks)
        with self._showing(board.display):
            yield board

    @contextmanager
    def meter(self, progress: Progress, *, at_once: int) -> Iterator[None]:
        """Show meanwhile where a batch stands."""
        from luma_async.cli.progress_display import Meter  # noqa: PLC0415  a batch needs more than others

        with self._showing(Meter(self._console, progress, at_once=at_once).display):
            yield

    @property
    def shows_progress(self) -> bool:
        """Whether a person sees something move, and needs no line for each step."""
        can_move = self._console.is_terminal and not self._console.is_dumb_terminal
        return can_move and _is_terminal(sys.stdout) and not self.as_json

    def result(self, plain: str | Path | Sequence[str], fields: Mapping[str, Any]) -> None:
        """Print one result: for people a line, or several, and one of JSON for programs.

        Whatever is in a line, it stays one, in a pipe as well; a path is printed as it is there.

        Raises:
            BrokenPipeError: nobody reads it.

        """
        is_shared = self._display is not None and _is_terminal(sys.stdout)
        with self._display.aside() if self._display and is_shared else nullcontext():
            text = json.dumps(fields) if self.as_json else _shown(plain)
            if text:
                print(text, flush=True)

    def say(self, text: str) -> None:
        """Tell a person something."""
        self._print(text, "")

    def warn(self, text: str) -> None:
        """Tell a person of something that may need care."""
        self._print(text, "yellow")

    def complain(self, error: LumaError | str) -> None:
        """Tell a person what went wrong, and what to do."""
        advice = None
        if isinstance(error, LumaError):
            advice = advice_on(error, settle=self.settle)
        self._print(f"{error} {advice}" if advice else str(error), "red")

    def list_problems(self, error: ManifestError) -> None:
        """Tell what is wrong with a file: a line for each problem, and an object for a script.

        Raises:
            BrokenPipeError: nobody reads the objects.

        """
        for line in str(error).split("\n"):
            self._print(line, "red")
        for problem in error.problems if self.as_json else ():
            self.result("", {**problem, "error_type": type(error).__name__})

    @property
    def can_ask(self) -> bool:
        """Whether a person reads questions, and can answer them."""
        return _is_terminal(sys.stdin) and self._console.is_terminal

    def ask(self, question: str) -> bool:
        """Ask a person a question, and return whether the answer is yes.

        Raises:
            KeyboardInterrupt: the answer is Ctrl-C.

        """
        with raising():
            self._console.print(Text(f"{clean(question)} [y/N] ", "bold"), soft_wrap=True, end="")
            _await_input()
            return sys.stdin.readline().strip().lower() in ("y", "yes")

    def say_interrupted(self) -> None:
        """Tell what goes on without us, and how it is taken up again."""
        if self.go_on:
            self.warn(f"Left at once; nothing is lost. To go on: {self.go_on}")
            self.go_on = None
            return
        self.warn("Interrupted.")
        commands = list(dict.fromkeys(self.take_up.values()))
        if len(commands) > _MOST_COMMANDS and self.take_up_all:
            self.say(f"{len(commands)} jobs go on at the server. To take them up again:")
            commands = [self.take_up_all]
        elif commands:
            subject = "The job goes" if len(commands) == 1 else "The jobs go"
            self.say(f"{subject} on at the server. To take up again:")
        elif self.take_up_submission:
            self.say("If the job was accepted, it goes on at the server. To take it up again:")
            commands = [self.take_up_submission]
        for command in commands:
            self._print(f"  {command}", "")

    def say_how_to_go_on(self) -> None:
        """Tell what to type to go on with a batch that is left, once."""
        if self.go_on:
            self.say(f"To go on: {self.go_on}")
            self.go_on = None

    def last_words(self) -> str:
        """Return what is written to a terminal when the process ends at once."""
        cursor = "\x1b[?25h" if self._console.is_terminal else ""  # a display may have hidden it
        how = f" To go on: {clean(self.go_on)}" if self.go_on else ""
        return f"{cursor}\nEnded at once. What was just sent may be uncertain now.{how}\n"

    @contextmanager
    def log(self) -> Iterator[None]:
        """Show what the library logs: warnings as lines, passing trouble below the progress."""
        logger, handler = logging.getLogger("luma_async"), _LogHandler(self)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)

    def remark(self, text: str) -> None:
        """Show something that matters for a moment only."""
        if self._display is not None:
            self._display.remark(text)

    @contextmanager
    def _showing(self, display: Display) -> Iterator[None]:
        with display:
            self._display = display
            try:
                yield
            finally:
                self._display = None

    def _print(self, text: str, style: str) -> None:
        indent = text[: len(text) - len(text.lstrip(" "))]
        self._console.print(Text(indent + clean(text.lstrip(" ")), style), soft_wrap=True)


def _shown(plain: str | Path | Sequence[str]) -> str:
    if isinstance(plain, Path):
        return clean(str(plain)) if _is_terminal(sys.stdout) else str(plain)
    return "\n".join(map(clean, [plain] if isinstance(plain, str) else plain))


def _await_input() -> None:
    """Return when there is something to read.

    A signal that comes just before a read would not interrupt it, so that signals are looked at
    every now and then.
    """
    with suppress(OSError, ValueError):  # it has no file, or none of a kind that can be watched
        while not select.select([sys.stdin], [], [], 0.2)[0]:
            pass


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at it; a closed one is `None`."""
    return stream is not None and stream.isatty()


class _Console(Console):
    """The error output, which nobody may be reading any more."""

    def on_broken_pipe(self) -> None:
        """Say nothing more, and let what is on its way go on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class _LogHandler(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self._terminal.warn(text)
        elif _PASSING_TROUBLE in text:
            self._terminal.remark(text)
