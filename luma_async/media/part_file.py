"""Part files: keep an incomplete download in `name.part` so that it can be resumed later."""

from __future__ import annotations

import asyncio
import contextlib
import errno
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

from luma_async import paths
from luma_async.errors import DownloadError
from luma_async.file_lock import lock, unlock
from luma_async.media.filenames import note_of
from luma_async.media.ranges import FileVersion

_SAFE_FLAGS = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
"""Flags for opening files in a folder that others may write to: do not follow symbolic links, do
not wait for the other end of a pipe, and do not convert line ends on Windows."""

_MAX_NOTE = 2**16
"""Maximum size of the note beside a part file, in bytes."""

MAX_QUEUE = 16 * 2**20
"""Bytes that may wait to be written before reading pauses."""


class _OpenParts:
    """Registry of the part files that this process has open.

    File locks are not enough, because some file systems do not support them.
    """

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._lock = threading.Lock()

    def add(self, path: Path) -> bool:
        """Add a part file; return `False` if it is already open."""
        with self._lock:
            name = os.path.realpath(path)
            is_new = name not in self._paths
            self._paths.add(name)
            return is_new

    def remove(self, path: Path) -> None:
        """Remove a part file."""
        with self._lock:
            self._paths.discard(os.path.realpath(path))


_open_parts = _OpenParts()


class PartFile:
    """Incomplete file on the disk, used from threads and locked against other processes.

    The note `name.part.json` beside it holds the id `of` the file and its version.

    A cancelled asyncio task does not wait for the thread that it started. Therefore every method
    holds a lock, and does nothing once the part file is closed.
    """

    def __init__(self, path: Path, of: str) -> None:
        self.path = path
        self.size = 0
        self._of = of
        self.version: FileVersion | None = None
        self._note = note_of(path)
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._is_own = False
        self._is_closed = False

    @property
    def is_resumable(self) -> bool:
        """`True` if another download can continue at the end of this one."""
        version = self.version
        return self.size > 0 and version is not None and bool(version.etag or version.last_modified)

    def open(self) -> None:
        """Open the part file, and read the note of an earlier download if there is one.

        Raises:
            DownloadError: another download has the file open, or it is not a regular file.
            OSError: the file cannot be opened.

        """
        with self._lock:
            if self._is_closed:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                folder = self.path.parent
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None
            if not _open_parts.add(self.path):
                raise _in_use(self.path)
            try:
                _check_is_regular(self._note)
                self._file = _open_locked(self.path)
            except BaseException:
                _open_parts.remove(self.path)
                raise
            size = os.fstat(self._file.fileno()).st_size
            version = self._read_note()
            if version is not None and size <= (version.length or size):
                self.version, self.size = version, size
            self._is_own = version is not None or size == 0  # not a file of another program
            self._file.seek(self.size)

    def begin(self, version: FileVersion) -> None:
        """Empty the part file, and write the note for another version of the file."""
        with self._lock:
            if self._file is None or self._is_closed:
                return
            self._empty(self._file)
            note = json.dumps({"of": self._of, **version.to_document()})
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE_FLAGS
            with os.fdopen(os.open(self._note, flags, 0o666), "w", encoding="utf-8") as file:
                file.write(note)
            self.version = version

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append chunks to the part file."""
        with self._lock:
            if self._file is None or self._is_closed:
                return
            for chunk in chunks:
                self._file.write(chunk)
                self.size += len(chunk)
            self._file.flush()

    def finish(self, target: Path, overwrite: bool) -> bool:
        """Rename the complete file; return `False` if the name is taken and `overwrite` is not set.

        Raises:
            DownloadError: the part file was removed or replaced by another program.

        """
        with self._lock:
            if self._file is None or self._is_closed:
                return True
            if not self._is_in_place(self._file):
                raise DownloadError(
                    f"{self.path} was removed or replaced while it was written; "
                    "start the download again."
                )
            if sys.platform == "win32":  # an open file cannot be renamed there
                self._file.close()
            if overwrite:
                self.path.replace(target)
            elif not _rename_if_free(self.path, target):
                return False
            self._note.unlink(missing_ok=True)
            self._release(self._file)
            return True

    def drop(self) -> None:
        """Discard the content."""
        with self._lock:
            if self._file is not None and not self._is_closed:
                self._empty(self._file)

    def close(self) -> None:
        """Close the part file, and remove it if no download can resume it."""
        with self._lock:
            if self._file is None or self._is_closed:
                self._is_closed = True
                return
            with contextlib.suppress(OSError):
                is_useless = self._is_own and not self.is_resumable
                if is_useless and self._is_in_place(self._file):
                    if sys.platform == "win32":  # an open file cannot be removed there
                        self._file.close()
                    self.path.unlink(missing_ok=True)
                    self._note.unlink(missing_ok=True)
            self._release(self._file)

    @contextlib.contextmanager
    def reading(self) -> Iterator[IO[bytes]]:
        """Return a context with the open file for reading. It must not be closed."""
        with self._lock:
            if self._file is None or self._is_closed:
                raise OSError("the part file is closed")
            try:
                yield self._file
            finally:
                self._file.seek(self.size)

    def _empty(self, file: IO[bytes]) -> None:
        self.version, self.size, self._is_own = None, 0, True
        self._note.unlink(missing_ok=True)
        file.seek(0)
        file.truncate()

    def _is_in_place(self, file: IO[bytes]) -> bool:
        return not file.closed and _is_at(self.path, os.fstat(file.fileno()))

    def _release(self, file: IO[bytes]) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError, ValueError):
            unlock(file)  # explicitly: a forked process may keep the file open
        with contextlib.suppress(OSError):
            file.close()
        _open_parts.remove(self.path)

    def _read_note(self) -> FileVersion | None:
        try:
            with os.fdopen(os.open(self._note, os.O_RDONLY | _SAFE_FLAGS), "rb") as file:
                note = json.loads(file.read(_MAX_NOTE).decode())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(note, dict) or note.pop("of", None) != self._of:
            return None
        return FileVersion.from_document(note)


def _open_locked(path: Path) -> IO[bytes]:
    """Open a regular file for reading and writing, and lock it against other processes."""
    while True:
        _check_is_regular(path)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | _SAFE_FLAGS, 0o666), "r+b")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced after the check
            file.close()
            raise _not_regular(path)
        try:
            lock(file)
        except (BlockingIOError, PermissionError):
            file.close()
            raise _in_use(path) from None
        except OSError:  # the file system does not support locks
            pass
        if _has_only_name(path, file):
            return file
        file.close()


def _check_is_regular(path: Path) -> None:
    """Check that a path does not exist or is a regular file.

    Raises:
        DownloadError: the path is a symbolic link, a folder, a pipe or a device.

    """
    if paths.is_other_than_file(path):
        raise _not_regular(path)


def _not_regular(path: Path) -> DownloadError:
    return DownloadError(
        f"{path} is not a regular file, so it cannot be written to. Move it away, or choose "
        "another path."
    )


def _in_use(path: Path) -> DownloadError:
    return DownloadError(f"{path} is being written by another download.")


def _has_only_name(path: Path, file: IO[bytes]) -> bool:
    """Return `True` if an open file has this name and no other.

    Another download may just have renamed it. Or it died in `_rename_if_free` while the file had
    both names; then the file is complete, and only the name of the part file is removed.
    """
    status = os.fstat(file.fileno())
    has_name = _is_at(path, status)
    if has_name and status.st_nlink > 1:
        if sys.platform == "win32":  # an open file cannot be removed there
            file.close()
        path.unlink()
        return False
    return has_name


def _is_at(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), status)
    except FileNotFoundError:
        return False


def _rename_if_free(path: Path, target: Path) -> bool:
    """Rename a file unless the target exists; return `False` if it does."""
    try:
        target.hardlink_to(path)
    except FileExistsError:
        return False
    except OSError:  # the file system does not support hard links
        if os.path.lexists(target):
            return False
        path.rename(target)
    else:
        path.unlink()
    return True


class PartWriter:
    """Queue of chunks, written to a part file in order by one thread at a time."""

    def __init__(self, part: PartFile, threads: anyio.CapacityLimiter) -> None:
        self._part = part
        self._threads = threads
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Task[None] | None = None
        self._has_written = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """`True` if `catch_up` must be awaited before more chunks are put."""
        return self._size > MAX_QUEUE or self._has_failed()

    def put(self, chunk: bytes) -> None:
        """Queue a chunk."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._writing is None or (self._writing.done() and not self._has_failed()):
            self._writing = asyncio.create_task(self._write(), name="luma-async download")

    async def catch_up(self) -> None:
        """Wait until the queue has room.

        Raises:
            OSError: a chunk cannot be written.

        """
        while self._size > MAX_QUEUE and not self._has_failed():
            self._has_written.clear()
            await self._has_written.wait()
        if self._has_failed():
            await self.drain()

    async def drain(self) -> None:
        """Wait until all chunks are written.

        Raises:
            OSError: a chunk cannot be written.

        """
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    async def aclose(self) -> None:
        """Write the queued chunks if possible. Must not be cancelled."""
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
                self._has_written.set()
        finally:
            self._has_written.set()
