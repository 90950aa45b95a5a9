"""Terminal: print results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from luma_async.cli.advice import advice_on
from luma_async.cli.interruption import interruptible_input
from luma_async.cli.progress_display import BatchMeter, Board, Display
from luma_async.cli.streams import broken_pipes, discard_stderr, is_terminal
from luma_async.cli.text import clean, escaped
from luma_async.errors import LumaError, ManifestError

if TYPE_CHECKING:
    from luma_async.batch import Progress, RunningRow

_MAX_COMMANDS = 3
"""Maximum number of commands for single jobs to print after an interruption."""

_RETRY_MESSAGE = re.compile(r"\b(?:trying again|retrying) in\b", re.IGNORECASE)
"""Pattern of the log messages about retries. A person who waits may want to see them."""


class Terminal:
    """Output of a command, for a person or, with `as_json`, for a script.

    Lines of the log are shown from `log_level` on.

    A command sets the attributes below while they apply; they are printed if it is interrupted.
    """

    def __init__(self, *, as_json: bool = False, log_level: int = logging.WARNING) -> None:
        self.as_json = as_json
        self._log_level = log_level
        self.running_ids: set[str] = set()
        """Ids of jobs that may be running at the server."""
        self.resume_commands: dict[str, str] = {}
        """Commands that watch single jobs, by the ids of the jobs."""
        self.download_commands: dict[str, str] = {}
        """Commands that watch single jobs and download their files, by the ids of the jobs."""
        self.resume_all_command: str | None = None
        """Command that resumes all jobs at once."""
        self.download_all_command: str | None = None
        """Command that resumes all jobs at once, and downloads their files."""
        self.resume_submission_command: str | None = None
        """Command that resumes a job whose submission is in flight, and that has no id yet."""
        self.continue_command: str | None = None
        """Command that continues a batch, `None` once it was printed."""
        self.on_first_interrupt: Callable[[], None] | None = None
        """Function that a first Ctrl-C calls instead of ending the command."""
        self.settle_command = "luma-async settle"
        """Command that settles an uncertain job, without the job's key."""
        self._console = _Console(
            stderr=True,
            force_terminal=sys.stderr.isatty(),
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._display: Display | None = None

    @contextmanager
    def board(self, *, stays: bool = True, logs_changes: bool = True) -> Iterator[Board]:
        """Show a board of jobs in a context; the arguments are those of `Board`."""
        board = Board(self._console, stays=stays, logs_changes=logs_changes)
        with self._showing(board.display):
            yield board

    @contextmanager
    def meter(
        self, progress: Progress, *, max_tasks: int, running: Callable[[], Sequence[RunningRow]]
    ) -> Iterator[None]:
        """Show the progress of a batch in a context; `running` returns its running rows."""
        meter = BatchMeter(self._console, progress, max_tasks=max_tasks, running=running)
        with self._showing(meter.display):
            yield

    @property
    def shows_progress(self) -> bool:
        """`True` if a person sees a moving display, and needs no line for each step."""
        can_redraw = self._console.is_terminal and not self._console.is_dumb_terminal
        return can_redraw and is_terminal(sys.stdout) and not self.as_json

    @property
    def prints_rows(self) -> bool:
        """`True` if stdout is a pipe or a file, where each job gets one line with cells."""
        return not self.as_json and not is_terminal(sys.stdout)

    def result(
        self,
        plain: str | Path | Sequence[str],
        fields: Mapping[str, Any],
        *,
        row: Sequence[str] = (),
    ) -> None:
        """Print one result: for people a line or several, and for scripts a line of JSON.

        With a `row`, a pipe gets its cells in one line, separated by tabs, in place of `plain`. No
        text can add lines. A path is printed unchanged in a pipe, for the program that reads it.

        Raises:
            BrokenPipeError: stdout is a pipe without a reader.

        """
        is_shared = self._display is not None and is_terminal(sys.stdout)
        with self._display.hidden() if self._display and is_shared else nullcontext():
            if self.as_json:
                text = json.dumps(fields)
            elif row and self.prints_rows:
                text = "\t".join(map(escaped, row))
            else:
                text = _printable(plain)
            if text:
                with broken_pipes():
                    print(text, flush=True)

    def say(self, text: str) -> None:
        """Print a message."""
        self._print(text, "")

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._print(text, "yellow")

    def print_error(self, error: LumaError | str) -> None:
        """Print an error, with advice."""
        advice = None
        if isinstance(error, LumaError):
            advice = advice_on(error, settle_command=self.settle_command)
        self._print(f"{error} {advice}" if advice else str(error), "red")

    def print_failure(self, error: Exception | str) -> None:
        """Print the error that ends the command and, for scripts, an object with it.

        Raises:
            BrokenPipeError: stdout is a pipe without a reader.

        """
        self.print_error(error if isinstance(error, LumaError) else str(error))
        if self.as_json:
            kind = None if isinstance(error, str) else type(error).__name__
            self.result("", {"error": str(error), "error_type": kind})

    def print_problems(self, error: ManifestError) -> None:
        """Print the problems of a file: a line for each and, for scripts, an object for each.

        Raises:
            BrokenPipeError: stdout is a pipe without a reader.

        """
        for line in str(error).split("\n"):
            self._print(line, "red")
        for problem in error.problems if self.as_json else ():
            self.result("", {**problem, "error_type": type(error).__name__})

    @property
    def can_ask(self) -> bool:
        """`True` if a person can read questions and answer them."""
        return is_terminal(sys.stdin) and self._console.is_terminal

    def ask(self, question: str) -> bool:
        """Return `True` if a person answers yes to a question.

        Raises:
            KeyboardInterrupt: the answer is Ctrl-C.

        """
        with interruptible_input() as wait_for_input:
            self._console.print(Text(f"{clean(question)} [y/N] ", "bold"), soft_wrap=True, end="")
            wait_for_input()
            return sys.stdin.readline().strip().lower() in ("y", "yes")

    def print_interrupted(self) -> None:
        """Print that the command was interrupted, and the commands that resume its jobs."""
        if self.continue_command:
            self.warn(f"Stopped at once; nothing is lost. To continue: {self.continue_command}")
            self.continue_command = None
            return
        self.warn("Interrupted.")
        if running := len(self.running_ids):
            subject = "The job continues" if running == 1 else f"{running} jobs continue"
            self.say(f"{subject} at the server.")
        self._print_commands("To watch", self.resume_commands, self.resume_all_command)
        self._print_commands("To download", self.download_commands, self.download_all_command)
        if not self.download_commands and self.resume_submission_command:
            self.say("If the job was accepted, it continues at the server. To resume it:")
            self._print(f"  {self.resume_submission_command}", "")

    def _print_commands(
        self, purpose: str, commands: Mapping[str, str], command_for_all: str | None
    ) -> None:
        if not commands:
            return
        shown: Sequence[str] = list(commands.values())
        if len(shown) > _MAX_COMMANDS and command_for_all:
            shown = [command_for_all]
        self.say(f"{purpose} {'it' if len(commands) == 1 else 'them'}:")
        for command in shown:
            self._print(f"  {command}", "")

    def print_continue_command(self) -> None:
        """Print the command that continues an unfinished batch, once."""
        if self.continue_command:
            self.say(f"To continue: {self.continue_command}")
            self.continue_command = None

    def exit_message(self) -> str:
        """Return the text to write before the process exits without clean-up."""
        cursor = "\x1b[?25h" if self._console.is_terminal else ""  # a display may have hidden it
        how = f" To continue: {clean(self.continue_command)}" if self.continue_command else ""
        return f"{cursor}\nExited at once. Submissions in flight may be uncertain now.{how}\n"

    @contextmanager
    def showing_log(self) -> Iterator[None]:
        """Show log messages in a context: as lines from `log_level` on, retries below the display.

        Retries of looks are logged at DEBUG, so the logger has that level in any case. Its child
        for requests has the level that is shown.
        """
        logger, requests = logging.getLogger("luma_async"), logging.getLogger("luma_async.http")
        handler = _LogHandler(self, self._log_level)
        levels = logger.level, requests.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        requests.setLevel(self._log_level)
        try:
            yield
        finally:
            logger.setLevel(levels[0])
            requests.setLevel(levels[1])
            logger.removeHandler(handler)

    def show_note(self, text: str) -> None:
        """Show a text below the display for some seconds, if there is a display."""
        if self._display is not None:
            self._display.show_note(text)

    @contextmanager
    def _showing(self, display: Display) -> Iterator[None]:
        with display:
            self._display = display
            try:
                yield
            finally:
                self._display = None

    def print_log(self, text: str) -> None:
        """Print a line of the log that is not a warning."""
        self._print(text, "dim")

    def _print(self, text: str, style: str) -> None:
        indent = text[: len(text) - len(text.lstrip(" "))]
        self._console.print(Text(indent + clean(text.lstrip(" ")), style), soft_wrap=True)


def _printable(plain: str | Path | Sequence[str]) -> str:
    if isinstance(plain, Path):
        return clean(str(plain)) if is_terminal(sys.stdout) else str(plain)
    return "\n".join(map(clean, [plain] if isinstance(plain, str) else plain))


class _Console(Console):
    """Console on stderr that survives a closed pipe."""

    def on_broken_pipe(self) -> None:
        """Print nothing more, and let the command go on instead of raising SystemExit."""
        self.quiet = True
        discard_stderr()


class _LogHandler(logging.Handler):
    """Show the log on a terminal. With `-v`, each line has the time of day.

    The tracebacks of internal errors are shown with `-vv` only.
    """

    def __init__(self, terminal: Terminal, level: int) -> None:
        super().__init__()
        self._terminal = terminal
        self._level = level
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno < self._level:
            if _RETRY_MESSAGE.search(text):
                self._terminal.show_note(text)
            return
        if self._level < logging.WARNING:
            text = f"{self._formatter.formatTime(record, '%H:%M:%S')} {text}"
        show = (
            self._terminal.warn if record.levelno >= logging.WARNING else self._terminal.print_log
        )
        show(text)
        if record.exc_info and self._level <= logging.DEBUG:
            for line in self._formatter.formatException(record.exc_info).splitlines():
                show(line)
