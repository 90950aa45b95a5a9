"""Paths as users write them: those of a file, of a folder, and those that nothing can have.

The methods of `pathlib` differ between versions of Python: `Path.is_file` and the like raise for
some paths up to 3.13, and for none from 3.14 on.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_file_path(path: str | os.PathLike[str]) -> bool:
    """Return `True` if a path is that of a file, `False` also if nothing can have this path."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long, in a folder that may not be read, a null character
        return False


def exists(path: str | os.PathLike[str]) -> bool:
    """Return `True` if there is something at a path.

    Raises:
        OSError: it cannot be looked up: the name is too long, or a folder may not be read.

    """
    return _mode(path) is not None


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return `True` if a path is that of a folder.

    Raises:
        OSError: it cannot be looked up: the name is too long, or a folder may not be read.

    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
