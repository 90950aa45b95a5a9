"""The file `name.part`: what has arrived so far, and which version of the file that is of."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from luma_async.errors import DownloadError
from luma_async.media.resumption import Version

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0x7FFF_0000)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Part:
    """A part of a file on the disk, written in threads.

    A cancelled asyncio task does not wait for the thread that it started, so every step holds a
    lock, and none does anything once the part is closed. The file is locked against other
    processes for as long. `name.part.json` beside it says which file it is `of`, and which version.
    """

    def __init__(self, path: Path, of: str) -> None:
        self.path = path
        self.size = 0
        self._of = of
        self.version: Version | None = None
        self._note = path.with_name(f"{path.name}.json")
        self._step = threading.Lock()
        self._file: IO[bytes] | None = None
        self._is_over = False

    @property
    def is_resumable(self) -> bool:
        """Whether another download can go on where this one ended."""
        version = self.version
        return self.size > 0 and version is not None and bool(version.etag or version.last_modified)

    def open(self) -> None:
        """Take up what an earlier download left.

        Raises:
            DownloadError: somebody else is writing it.
            OSError: it cannot be written.

        """
        with self._step:
            if self._is_over:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _opened(self.path)
            self.version = self._noted()
            self.size = os.fstat(self._file.fileno()).st_size if self.version else 0
            if self.version and self.size > (self.version.length or self.size):
                self.version, self.size = None, 0
            self._file.seek(self.size)

    def begin(self, version: Version) -> None:
        """Start over, with another version of the file."""
        with self._step:
            if self._file is None or self._is_over:
                return
            self._note.unlink(missing_ok=True)
            self._file.seek(0)
            self._file.truncate()
            self._note.write_text(json.dumps({"of": self._of, **version.written()}), "utf-8")
            self.version, self.size = version, 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append what has arrived."""
        with self._step:
            if self._file is None or self._is_over:
                return
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)
            self._file.flush()

    def finish(self, target: Path, overwrite: bool) -> bool:
        """Give the file its name; return `False` if that is taken and must not be replaced."""
        with self._step:
            if self._file is None or self._is_over:
                return True
            if sys.platform == "win32":  # what is open there cannot be renamed
                self._file.close()
            if overwrite:
                self.path.replace(target)
            elif not _rename_to_new(self.path, target):
                return False
            self._is_over = True
            self._file.close()
            self._note.unlink(missing_ok=True)
            return True

    def drop(self) -> None:
        """Forget what has arrived."""
        with self._step:
            if self._file is None or self._is_over:
                return
            self._note.unlink(missing_ok=True)
            self._file.seek(0)
            self._file.truncate()
            self.version, self.size = None, 0

    def close(self) -> None:
        """Let go of it; what is of no use to another download is removed."""
        with self._step:
            if self._file is None or self._is_over:
                self._is_over = True
                return
            self._is_over = True
            with contextlib.suppress(OSError):
                if not self.is_resumable:
                    self.path.unlink(missing_ok=True)
                    self._note.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._file.close()

    def head(self, size: int) -> bytes:
        """Return how it begins."""
        with self._step, self.path.open("rb") as file:
            return file.read(size)

    def _noted(self) -> Version | None:
        try:
            note = json.loads(self._note.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(note, dict) or note.pop("of", None) != self._of:
            return None
        return Version.read(note)


def _opened(path: Path) -> IO[bytes]:
    """Open a file for writing, locked against others."""
    while True:
        file = os.fdopen(
            os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b"
        )
        try:
            _lock(file)
            if _is_alone(path, file):
                return file
        except (BlockingIOError, PermissionError):
            file.close()
            raise DownloadError(f"{path} is being written by another download.") from None
        except OSError:  # a file system without locks
            return file
        file.close()


def _is_alone(path: Path, file: IO[bytes]) -> bool:
    """Whether an open file has that name and no other.

    Another download may just have finished it, or have died while it had both names.
    """
    about = os.fstat(file.fileno())
    try:
        is_there = os.path.samestat(path.stat(), about)
    except FileNotFoundError:
        return False
    if is_there and about.st_nlink > 1:
        path.unlink()
        return False
    return is_there


def _rename_to_new(path: Path, target: Path) -> bool:
    """Rename a file, unless there is another of that name."""
    try:
        target.hardlink_to(path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if os.path.lexists(target):
            return False
        path.rename(target)
    else:
        path.unlink()
    return True
