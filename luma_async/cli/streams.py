"""Standard output, when nobody takes what is printed."""

from __future__ import annotations

import contextlib
import os
import sys


def forget_stdout() -> None:
    """Let what can no longer be written not be tried again, nor change the exit code at the end."""
    with contextlib.suppress(OSError):  # it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
