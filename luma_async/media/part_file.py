"""The file `name.part`: what has arrived so far, and which version of the file that is of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from luma_async.errors import DownloadError
from luma_async.file_lock import lock, unlock
from luma_async.media.ranges import Version

_CAUTIOUS = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
"""Follow no symbolic link, and wait for nobody at the other end of a pipe."""

_LARGEST_NOTE = 2**16
"""Bytes of a note that are read."""


class _Writers:
    """The parts that this process writes to, as some file systems have no locks."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._lock = threading.Lock()

    def add(self, path: Path) -> bool:
        """Take a part; return `False` if somebody has it."""
        with self._lock:
            name = os.path.realpath(path)
            is_new = name not in self._paths
            self._paths.add(name)
            return is_new

    def remove(self, path: Path) -> None:
        """Give it back."""
        with self._lock:
            self._paths.discard(os.path.realpath(path))


_writers = _Writers()


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
        self._is_ours = False
        self._is_over = False

    @property
    def is_resumable(self) -> bool:
        """Whether another download can go on where this one ended."""
        version = self.version
        return self.size > 0 and version is not None and bool(version.etag or version.last_modified)

    def open(self) -> None:
        """Take up what an earlier download left.

        Raises:
            DownloadError: somebody else is writing it, or it is not a regular file.
            OSError: it cannot be written.

        """
        with self._step:
            if self._is_over:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not _writers.add(self.path):
                raise _taken(self.path)
            try:
                _check_is_regular(self._note)
                self._file = _opened(self.path)
            except BaseException:
                _writers.remove(self.path)
                raise
            size = os.fstat(self._file.fileno()).st_size
            version = self._noted()
            if version is not None and size <= (version.length or size):
                self.version, self.size = version, size
            self._is_ours = version is not None or size == 0
            self._file.seek(self.size)

    def begin(self, version: Version) -> None:
        """Start over, with another version of the file."""
        with self._step:
            if self._file is None or self._is_over:
                return
            self._empty(self._file)
            note = json.dumps({"of": self._of, **version.written()})
            new = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAUTIOUS, 0o666)
            with os.fdopen(new, "w", encoding="utf-8") as file:
                file.write(note)
            self.version = version

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
        """Give the file its name; return `False` if that is taken and must not be replaced.

        Raises:
            DownloadError: somebody removed the part while it was written.

        """
        with self._step:
            if self._file is None or self._is_over:
                return True
            if not self._is_in_place(self._file):
                raise DownloadError(
                    f"{self.path} was removed or replaced while it was written; "
                    "the download has to be started again."
                )
            if sys.platform == "win32":  # what is open there cannot be renamed
                self._file.close()
            if overwrite:
                self.path.replace(target)
            elif not _rename_to_new(self.path, target):
                return False
            self._note.unlink(missing_ok=True)
            self._let_go(self._file)
            return True

    def drop(self) -> None:
        """Forget what has arrived."""
        with self._step:
            if self._file is not None and not self._is_over:
                self._empty(self._file)

    def close(self) -> None:
        """Let go of it; what is of no use to another download is removed."""
        with self._step:
            if self._file is None or self._is_over:
                self._is_over = True
                return
            with contextlib.suppress(OSError):
                is_useless = self._is_ours and not self.is_resumable
                if is_useless and self._is_in_place(self._file):
                    self.path.unlink(missing_ok=True)
                    self._note.unlink(missing_ok=True)
            self._let_go(self._file)

    @contextlib.contextmanager
    def reading(self) -> Iterator[IO[bytes]]:
        """Give what is here to be read, and not to be closed."""
        with self._step:
            if self._file is None or self._is_over:
                raise OSError("the download is over")
            try:
                yield self._file
            finally:
                self._file.seek(self.size)

    def _empty(self, file: IO[bytes]) -> None:
        self.version, self.size, self._is_ours = None, 0, True
        self._note.unlink(missing_ok=True)
        file.seek(0)
        file.truncate()

    def _is_in_place(self, file: IO[bytes]) -> bool:
        return not file.closed and _is_at(self.path, os.fstat(file.fileno()))

    def _let_go(self, file: IO[bytes]) -> None:
        self._is_over = True
        with contextlib.suppress(OSError, ValueError):
            unlock(file)  # a process that was forked meanwhile holds the file open for longer
        with contextlib.suppress(OSError):
            file.close()
        _writers.remove(self.path)

    def _noted(self) -> Version | None:
        try:
            with os.fdopen(os.open(self._note, os.O_RDONLY | _CAUTIOUS), "rb") as file:
                note = json.loads(file.read(_LARGEST_NOTE).decode())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(note, dict) or note.pop("of", None) != self._of:
            return None
        return Version.read(note)


def _opened(path: Path) -> IO[bytes]:
    """Open a file for writing, locked against others."""
    while True:
        _check_is_regular(path)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | _CAUTIOUS, 0o666), "r+b")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it has just been replaced
            file.close()
            raise _not_regular(path)
        try:
            lock(file)
        except (BlockingIOError, PermissionError):
            file.close()
            raise _taken(path) from None
        except OSError:  # a file system without locks
            pass
        if _is_alone(path, file):
            return file
        file.close()


def _check_is_regular(path: Path) -> None:
    """Refuse what is there under a name unless it is a file.

    Raises:
        DownloadError: it is a symbolic link, a folder, a pipe or a device.

    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _not_regular(path)


def _not_regular(path: Path) -> DownloadError:
    return DownloadError(
        f"{path} is not a regular file, so it cannot be written to. Move it away, or name another "
        "place."
    )


def _taken(path: Path) -> DownloadError:
    return DownloadError(f"{path} is being written by another download.")


def _is_alone(path: Path, file: IO[bytes]) -> bool:
    """Whether an open file has that name and no other.

    Another download may just have finished it, or have died while it had both names.
    """
    about = os.fstat(file.fileno())
    is_there = _is_at(path, about)
    if is_there and about.st_nlink > 1:
        path.unlink()
        return False
    return is_there


def _is_at(path: Path, about: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), about)
    except FileNotFoundError:
        return False


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


LARGEST_QUEUE = 16 * 2**20
"""Bytes that wait to be written before no more are read."""


class Writer:
    """Writes to a part, in order, one thread at a time."""

    def __init__(self, part: Part, threads: anyio.CapacityLimiter) -> None:
        self._part = part
        self._threads = threads
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether `catch_up` should be awaited before there is more."""
        return self._size > LARGEST_QUEUE or self._has_failed()

    def put(self, chunk: bytes) -> None:
        """Have a piece written."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._writing is None or (self._writing.done() and not self._has_failed()):
            self._writing = asyncio.create_task(self._write(), name="luma-async download")

    async def catch_up(self) -> None:
        """Wait until there is room for more.

        Raises:
            OSError: it cannot be written.

        """
        while self._size > LARGEST_QUEUE and not self._has_failed():
            self._progress.clear()
            await self._progress.wait()
        if self._has_failed():
            await self.drain()

    async def drain(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: it cannot be.

        """
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    async def aclose(self) -> None:
        """Write what was put, if that is possible. Not to be cancelled."""
        with contextlib.suppress(OSError):
            await self.drain()

    def _has_failed(self) -> bool:
        writing = self._writing
        return writing is not None and writing.done() and writing.exception() is not None

    async def _write(self) -> None:
        try:
            while self._chunks:
                chunks, self._chunks = self._chunks, []
                await anyio.to_thread.run_sync(self._part.write, chunks, limiter=self._threads)
                self._size -= sum(map(len, chunks))
                self._progress.set()
        finally:
            self._progress.set()
