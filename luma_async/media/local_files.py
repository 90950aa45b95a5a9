"""Local files: digests and images that requests share, by the identity of the file."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from luma_async.image_sources import Image

STEP = 2**18
"""Bytes to read at a time. Longer steps in a thread would hold the GIL and block the event loop."""

_MOST_KNOWN = 1000
"""Maximum number of digests to remember."""

_SETTLED, _COARSELY_SETTLED = 0.05, 2.5
"""Seconds after which a further change of a file changes its times for certain. Some file systems
have times of one or two seconds; those of others have a clock tick."""


@dataclass(frozen=True, slots=True)
class FileVersionOnDisk:
    """Identity of the content of a local file, as far as its status shows it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileVersionOnDisk:
        """Return the identity for the status of a file."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def is_settled(self, now: float) -> bool:
        """Return `True` if a change after `now`, in seconds of the Unix epoch, would be noticed."""
        latest = max(self.modified, self.changed)
        is_coarse = self.modified % 10**9 == 0 and self.changed % 10**9 == 0
        return now - latest / 1e9 > (_COARSELY_SETTLED if is_coarse else _SETTLED)


class LocalFiles:
    """Digests and images of local files, for requests that use the same file.

    A file is read again if its size, its times or its inode have changed. Images are shared only
    while a request holds them.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._digests: OrderedDict[FileVersionOnDisk, str] = OrderedDict()
        self._images: WeakValueDictionary[FileVersionOnDisk, Image] = WeakValueDictionary()

    def image(self, path: Path, read: Callable[[], Image]) -> Image:
        """Return the image in a file, with `read()` if no other request holds it. Blocking.

        Raises:
            OSError: the file cannot be read.

        """
        before, began = _version(path), self._clock()
        found = self._images.get(before)
        if found is None:
            found = read()
            if before.is_settled(began) and _version(path) == before:
                self._images[before] = found
        return found

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file. Blocking, and slow for a large file that is not known.

        Raises:
            OSError: the file cannot be read.

        """
        before, began = _version(path), self._clock()
        found = self._digests.get(before)
        if found is None:
            with path.open("rb", buffering=0) as file:
                found = _digest(file)
            if before.is_settled(began) and _version(path) == before:
                self._digests[before] = found
                if len(self._digests) > _MOST_KNOWN:
                    self._digests.popitem(last=False)
        return found


def path_of(source: object) -> Path | None:
    """Return the path of a source that is a path, or a file that is open at its beginning.

    Another file may have the name of an open file by now, so its inode is compared.
    """
    if isinstance(source, str | os.PathLike):
        return Path(source)
    if not callable(getattr(source, "fileno", None)) or not callable(getattr(source, "tell", None)):
        return None
    try:
        name, status = source.name, os.fstat(source.fileno())  # type: ignore[attr-defined]
        if isinstance(name, str) and stat.S_ISREG(status.st_mode) and source.tell() == 0:  # type: ignore[attr-defined]
            path = Path(name).absolute()
            if os.path.samestat(path.stat(), status):
                return path
    except (OSError, ValueError, AttributeError):
        pass
    return None


def _version(path: Path) -> FileVersionOnDisk:
    return FileVersionOnDisk.of(path.stat())


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(STEP):
        digest.update(piece)
    return digest.hexdigest()
