"""SQLite file: where a journal is on this machine, and that it stays the same file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import ClassVar, Literal

from luma_async.errors import ConfigurationError
from luma_async.journal.unusable import ReplacedError, Unusable

_PRIVATE = 0o600
"""The mode of a new file: prompts and signed links are nobody else's business. SQLite gives the
same to the files beside it (`-wal`, `-shm`)."""

_KINDS = (
    (stat.S_ISDIR, "a folder. Name a file in it"),
    (stat.S_ISFIFO, "a pipe (FIFO). Name a regular file"),
    (stat.S_ISSOCK, "a socket. Name a regular file"),
    (stat.S_ISCHR, "a device. Name a regular file"),
    (stat.S_ISBLK, "a device. Name a regular file"),
)


class SQLiteFile:
    """The file of one journal, at a path that a later change of folder does not move.

    It is made by the first opening only. Once it was opened, a file that is gone or replaced is an
    error: an empty journal in its place would know of no job, and a deleted file takes with it
    all that is written to it.

    Raises:
        ConfigurationError: the path cannot be that of a file.

    """

    dialect: ClassVar[Literal["sqlite"]] = "sqlite"

    def __init__(self, path: str) -> None:
        if path in ("", ":memory:"):
            raise ConfigurationError("A journal in memory survives nothing: name a file.")
        if "\0" in path:
            raise ConfigurationError("The journal's path has a null character in it.")
        try:
            self.path = Path(path).expanduser().absolute()
        except RuntimeError:
            raise ConfigurationError(
                f"The journal {path!r} is in a home folder, and there is none. Set HOME, or name "
                "the journal by its whole path."
            ) from None
        except FileNotFoundError:
            raise ConfigurationError(
                f"The journal {path!r} is in the current folder, which was deleted. Name the "
                "journal by its whole path."
            ) from None
        self._identity: tuple[int, int] | None = None
        self._was_open = False

    @property
    def shown(self) -> str:
        """The path."""
        return str(self.path)

    def prepare(self) -> None:
        """Make the file if this is the first opening, and remember which one it is.

        Raises:
            ReplacedError: it was opened before, and is gone or replaced.
            Unusable: there can be no journal at this path.

        """
        if self._was_open:
            self.check()
            return
        try:
            found = self._make_or_find()
        except OSError as error:
            raise self._unusable(error) from None
        for is_kind, kind in _KINDS:
            if is_kind(found.st_mode):
                raise Unusable(f"it is {kind}")
        self._identity = found.st_dev, found.st_ino

    def opened(self) -> None:
        """Note that it was opened: from now on no other file will do.

        Raises:
            ReplacedError: it was replaced meanwhile.

        """
        self.check()
        self._was_open = True

    def check(self) -> None:
        """Look whether the file is still there.

        Raises:
            ReplacedError: it is gone, or another one is in its place.

        """
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ReplacedError from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise ReplacedError

    def _make_or_find(self) -> os.stat_result:
        # A link that leads nowhere yet is followed, as SQLite does. The mode is set on the open
        # file as well, for a umask may take away too much.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            return self.path.stat()
        except FileNotFoundError:
            pass
        try:
            made = os.open(self.path.resolve(), flags, _PRIVATE)
        except FileExistsError:  # another process made it just now
            return self.path.stat()
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(made, _PRIVATE)
            return os.fstat(made)
        finally:
            os.close(made)

    def _unusable(self, error: OSError) -> Unusable:
        folder = self.path.parent
        if isinstance(error, FileNotFoundError):
            return Unusable(f"its folder {folder} does not exist. Make it, or name another place")
        if isinstance(error, NotADirectoryError):
            return Unusable(f"{folder} is not a folder. Name another place")
        if isinstance(error, PermissionError):
            return Unusable(
                f"this user may not write in {folder} ({error.strerror}). Allow reading and "
                "writing there, or name another place"
            )
        return Unusable(f"it cannot be made ({error.strerror or error}). Name another place")
