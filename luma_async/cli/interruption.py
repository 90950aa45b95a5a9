"""Interruption of a command by Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, cast

from luma_async.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from luma_async.cli.terminal import Terminal

TERMINATION_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a process: from a supervisor, and from a terminal that is closed."""

_EXITING = "Exiting as soon as the submissions in flight are answered."

_MAX_GRACEFUL_INTERRUPTS = 2
"""The first two presses of Ctrl-C end a command gracefully; the third one ends it at once."""

_CHUNK = 2**16
"""Bytes that are read at a time. It is not less than the buffer of standard input holds, so that
nothing is left in it while this waits for more."""


class Interruption:
    """End a command on Ctrl-C, SIGTERM and SIGHUP.

    Each signal cancels the command's asyncio task, whose clean-up waits for the answers to the
    submissions in flight. Two presses of Ctrl-C are special: the first one calls
    `terminal.on_first_interrupt` instead, if that is set, and the third one ends the process at
    once. SIGTERM and SIGHUP are not counted: a terminal that is closed sends SIGHUP more than once.

    SIGTERM is not turned into SIGINT, because a shell without job control lets its background jobs
    ignore SIGINT.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._interrupts = 0
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[ExitCode] | None = None

    @property
    def is_cancelled(self) -> bool:
        """`True` if a signal cancelled the command's task."""
        return self._is_cancelled

    def handling_signals(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the signals are handled."""
        return _handled_by(self._on_signal)

    def attach(self) -> None:
        """Let the signals cancel the current asyncio task from now on."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._interrupts += number == signal.SIGINT
        if self._interrupts > _MAX_GRACEFUL_INTERRUPTS:
            self._exit_at_once()
        if self._loop is None:
            raise KeyboardInterrupt
        with contextlib.suppress(RuntimeError):  # the loop is closed: the command has ended
            self._loop.call_soon_threadsafe(self._interrupt, number)

    def _interrupt(self, number: int) -> None:
        on_first_interrupt = self._terminal.on_first_interrupt
        if self._is_cancelled:
            if number == signal.SIGINT:
                self._terminal.warn(f"{_EXITING} Press Ctrl-C again to exit at once.")
        elif number == signal.SIGINT and self._interrupts == 1 and on_first_interrupt is not None:
            on_first_interrupt()
        else:
            self._is_cancelled = True
            if self._terminal.continue_command:
                self._terminal.warn(_EXITING)
            if self._task is not None:
                self._task.cancel()

    def _exit_at_once(self) -> NoReturn:
        """End the process without clean-up. The journal is made to survive that."""
        with contextlib.suppress(OSError):
            os.write(2, self._terminal.exit_message().encode(errors="replace"))
        os._exit(ExitCode.INTERRUPTED)


@contextlib.contextmanager
def interruptible_input() -> Iterator[Callable[[], None]]:
    """Let the signals raise KeyboardInterrupt in a context, and yield a function to wait for input.

    A signal that comes just before a read does not interrupt the read, and its handler runs only
    after it. The function therefore awaits standard input together with a socket that every signal
    writes to; after it, a read does not block.
    """
    # Made while no signal raises, so that a signal cannot leave the sockets open.
    woken, waker = socket.socketpair()
    with woken, waker:
        waker.setblocking(False)
        previous = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            with _handled_by(signal.default_int_handler):
                yield partial(_wait_for_input, woken)
        finally:
            signal.set_wakeup_fd(previous)


def read_stdin() -> bytes:
    """Read standard input to its end, in this thread, so that a signal ends the wait for it.

    A standard input that is closed is empty.

    Raises:
        KeyboardInterrupt: a signal came.

    """
    if sys.stdin is None:
        return b""
    chunks: list[bytes] = []
    with interruptible_input() as wait_for_input:
        while True:
            wait_for_input()
            chunk = cast("io.BufferedReader", sys.stdin.buffer).read1(_CHUNK)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)


def _wait_for_input(woken: socket.socket) -> None:
    # Not every standard input can be awaited: not one that is closed, and none on Windows.
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin not in select.select([sys.stdin, woken], [], [])[0]:
            woken.recv(4096)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle all signals but ignored ones: SIGINT of a background job, SIGHUP under nohup."""
    previous = {
        number: signal.getsignal(number) for number in (signal.SIGINT, *TERMINATION_SIGNALS)
    }
    handled = [number for number, old in previous.items() if old is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, previous[number])
