"""SQLite file of a journal, with a check that it remains the same file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import ClassVar, Literal

from luma_async.errors import ConfigurationError
from luma_async.journal.sql.error_explanations import ReplacedError, UnusableError

_PRIVATE = 0o600
"""Mode of a new file: only its owner may read prompts and signed links. SQLite gives the same mode
to the files beside it (`-wal`, `-shm`)."""

_NOT_A_FILE = (
    (stat.S_ISDIR, "a folder. Give the path of a file"),
    (stat.S_ISFIFO, "a pipe (FIFO). Use a regular file"),
    (stat.S_ISSOCK, "a socket. Use a regular file"),
    (stat.S_ISCHR, "a device. Use a regular file"),
    (stat.S_ISBLK, "a device. Use a regular file"),
)


class SQLiteFile:
    """File of one journal, at an absolute path, so that changing the current folder has no effect.

    Only the first opening creates the file. After that, a missing or replaced file is an error: an
    empty journal in its place would not know any job, and writes to a deleted file are lost with
    it.

    Raises:
        ConfigurationError: there can be no file at this path.

    """

    dialect: ClassVar[Literal["sqlite"]] = "sqlite"

    def __init__(self, path: str) -> None:
        if path in ("", ":memory:"):
            raise ConfigurationError(
                "A journal in memory does not survive a crash: give the path of a file."
            )
        if "\0" in path:
            raise ConfigurationError("The journal's path contains a null character.")
        try:
            self.path = Path(path).expanduser().absolute()
        except RuntimeError:
            raise ConfigurationError(
                f"The journal {path!r} is in a home folder that is not known. Set HOME, or give an "
                "absolute path."
            ) from None
        except FileNotFoundError:
            raise ConfigurationError(
                f"The journal {path!r} is in the current folder, which was deleted. Give an "
                "absolute path."
            ) from None
        self._identity: tuple[int, int] | None = None
        self._was_open = False

    @property
    def shown(self) -> str:
        """Path for display."""
        return str(self.path)

    def prepare(self) -> None:
        """Create the file if this is the first opening, and remember its identity.

        Raises:
            ReplacedError: the file was opened before, and is missing or replaced.
            UnusableError: there can be no journal at this path.

        """
        if self._was_open:
            self.check()
            return
        try:
            found = self._create_or_find()
        except OSError as error:
            raise self._explained(error) from None
        for is_kind, kind in _NOT_A_FILE:
            if is_kind(found.st_mode):
                raise UnusableError(f"it is {kind}")
        self._identity = found.st_dev, found.st_ino

    def mark_opened(self) -> None:
        """Record that the file was opened: from now on, no other file is accepted.

        Raises:
            ReplacedError: the file was replaced meanwhile.

        """
        self.check()
        self._was_open = True

    def check(self) -> None:
        """Check that the file is still there.

        Raises:
            ReplacedError: the file is missing, or another one is in its place.

        """
        try:
            found = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ReplacedError from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise ReplacedError

    def _create_or_find(self) -> os.stat_result:
        # A symbolic link to a missing file is followed, as SQLite does. The mode is also set on the
        # open file, because a umask may remove too much.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        try:
            return self.path.stat()
        except FileNotFoundError:
            pass
        try:
            descriptor = os.open(self.path.resolve(), flags, _PRIVATE)
        except FileExistsError:  # another process has just created it
            return self.path.stat()
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, _PRIVATE)
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def _explained(self, error: OSError) -> UnusableError:
        folder = self.path.parent
        if isinstance(error, FileNotFoundError):
            return UnusableError(
                f"its folder {folder} does not exist. Create it, or use another path"
            )
        if isinstance(error, NotADirectoryError):
            return UnusableError(f"{folder} is not a folder. Use another path")
        if isinstance(error, PermissionError):
            return UnusableError(
                f"this user may not write in {folder} ({error.strerror}). Allow reading and "
                "writing there, or use another path"
            )
        return UnusableError(f"it cannot be created ({error.strerror or error}). Use another path")
