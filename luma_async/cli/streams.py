"""Standard streams that are terminals, closed, or pipes without a reader.

The module is imported before the extra `cli` is known to be installed: it needs Python only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Return `True` if a standard stream is a terminal.

    Python sets a standard stream to `None` if the process was started with the stream closed.
    """
    return stream is not None and stream.isatty()


def open_closed_streams() -> None:
    """Open /dev/null in place of stdout and stderr if the process was started with them closed.

    Otherwise the next file to be opened, such as the journal, would get the number of the stream,
    and a message that is written to this number would end up in the file.
    """
    if sys.stdout is not None and sys.stderr is not None:
        return
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


@contextlib.contextmanager
def broken_pipes() -> Iterator[None]:
    """Raise `BrokenPipeError` in a context if a pipe has no reader, as on every other system.

    Windows reports such a pipe as an invalid argument.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None


def discard_stdout() -> None:
    """Redirect stdout to /dev/null.

    Python flushes stdout once more when the process exits. If its pipe is closed, or its disk is
    full, that would fail, and change the exit code.
    """
    _redirect_to_null(sys.stdout)


def discard_stderr() -> None:
    """Redirect stderr to /dev/null, so that later messages do not fail."""
    _redirect_to_null(sys.stderr)


def _redirect_to_null(stream: TextIO) -> None:
    with contextlib.suppress(OSError):  # the stream may have no file descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
