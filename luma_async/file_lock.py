"""A file that one process at a time has locked."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    def lock(file: IO[Any]) -> None:
        """Lock a file, or raise `BlockingIOError` or `PermissionError` if another process has."""
        file.seek(0x7FFF_0000)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def unlock(file: IO[Any]) -> None:
        """Unlock it."""
        file.seek(0x7FFF_0000)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def lock(file: IO[Any]) -> None:
        """Lock a file, or raise `BlockingIOError` or `PermissionError` if another process has."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: IO[Any]) -> None:
        """Unlock it."""
        fcntl.flock(file, fcntl.LOCK_UN)
