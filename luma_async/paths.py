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


def is_other_than_file(path: str | os.PathLike[str]) -> bool:
    """Return `True` if there is something at a path that is not a regular file, such as a link.

    Raises:
        OSError: it cannot be looked up: the name is too long, or a folder may not be read.

    """
    try:
        return not stat.S_ISREG(Path(path).lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def obstacle_in(folder: Path) -> str | None:
    """Return the reason that no file can be created in a folder, `None` if there is none.

    A folder that does not exist can be created if the nearest one above it is writable.

    Raises:
        OSError: it cannot be looked up: the name is too long, or a folder may not be read.

    """
    while not exists(folder) and not folder.is_symlink() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return None if allows(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"


def allows(path: Path, mode: int) -> bool:
    """Return `True` if this process may use a path in the modes of `os.access`."""
    as_effective = os.access in os.supports_effective_ids  # the user that a file is opened as
    return os.access(path, mode, effective_ids=as_effective)


def _mode(path: str | os.PathLike[str]) -> int | None:
    try:
        return Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
