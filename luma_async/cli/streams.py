"""Standard streams that are terminals, closed, or pipes without a reader.

The module is imported before the extra `cli` is known to be installed: it needs Python only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO


def is_terminal(stream: TextIO | None) -> bool:
    """Return `True` if a standard stream is a terminal.

    Python sets a standard stream to `None` if the process was started with the stream closed.
    """
    return stream is not None and stream.isatty()


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
