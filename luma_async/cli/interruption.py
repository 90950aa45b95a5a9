"""Interruption: the signals that end a command, and how quickly they do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from luma_async.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from luma_async.cli.terminal import Terminal

ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a process that is a service's, or whose terminal is gone."""

_LEAVING = "Leaving, once what was just sent has its answer."
_MOST_PATIENT = 2
"""Presses of Ctrl-C that something is waited for; the next one ends the process at once."""


class Interruption:
    """Ends a command on Ctrl-C, SIGTERM and SIGHUP.

    Each of them cancels the command's task, whose clean-up waits for the answers to what was just
    sent; a first Ctrl-C does what `terminal.on_first_interrupt` says in place of that. A third
    Ctrl-C ends the process at once. The other signals do not add up: a terminal that is closed
    sends SIGHUP more than once, and nobody has lost patience then.

    SIGTERM does not go by way of SIGINT, which a shell without job control lets its background
    jobs ignore.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._count = 0
        self._is_leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[ExitCode] | None = None

    @property
    def is_leaving(self) -> bool:
        """Whether the command's task was cancelled by a signal."""
        return self._is_leaving

    def heeded(self) -> contextlib.AbstractContextManager[None]:
        """Take the signals meanwhile."""
        return _handled_by(self._heed)

    def attach(self) -> None:
        """Let the signals cancel the asyncio task that calls this, from now on."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    def _heed(self, number: int, _frame: FrameType | None) -> None:
        self._count += number == signal.SIGINT
        if self._count > _MOST_PATIENT:
            self._end_at_once()
        if self._loop is None:
            raise KeyboardInterrupt
        with contextlib.suppress(RuntimeError):  # the loop is closed: this is the end anyway
            self._loop.call_soon_threadsafe(self._interrupt, number)

    def _interrupt(self, number: int) -> None:
        soften = self._terminal.on_first_interrupt
        if self._is_leaving:
            if number == signal.SIGINT:
                self._terminal.warn(f"{_LEAVING} Ctrl-C again ends at once.")
        elif number == signal.SIGINT and self._count == 1 and soften is not None:
            soften()
        else:
            self._is_leaving = True
            if self._terminal.go_on:
                self._terminal.warn(_LEAVING)
            if self._task is not None:
                self._task.cancel()

    def _end_at_once(self) -> NoReturn:
        """End the process as if it was killed, which the journal is made for."""
        with contextlib.suppress(OSError):
            os.write(2, self._terminal.last_words().encode(errors="replace"))
        os._exit(ExitCode.INTERRUPTED)


def raising() -> contextlib.AbstractContextManager[None]:
    """Let the signals raise KeyboardInterrupt meanwhile, also while nothing but a read waits."""
    return _handled_by(signal.default_int_handler)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Take all signals but those that are ignored: SIGINT behind `&`, SIGHUP under nohup."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDS)}
    taken = [number for number, old in before.items() if old is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
