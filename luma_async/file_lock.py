"""File lock: exclusive between processes, on Windows and elsewhere."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 0x7FFF_0000
    """Position of the locked byte: beyond the content, because Windows blocks reading it."""

    def lock(file: IO[Any]) -> None:
        """Lock a file. If it is locked already, raise `BlockingIOError` or `PermissionError`."""
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def unlock(file: IO[Any]) -> None:
        """Unlock a file."""
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def lock(file: IO[Any]) -> None:
        """Lock a file. If it is locked already, raise `BlockingIOError` or `PermissionError`."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: IO[Any]) -> None:
        """Unlock a file."""
        fcntl.flock(file, fcntl.LOCK_UN)
