"""Names of files that are downloaded: safe on every system, however a server names its jobs."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from luma_async.errors import DownloadError

LONGEST_STEM = 100
"""Characters."""

_LONGEST_NAME = 255 - len(".part.json")
"""Bytes, as most file systems have it."""

_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)
"""Names that are no files on Windows, whatever follows their first dot."""


def safe_stem(id: str) -> str:
    """Return a file name, without its suffix, that is good on every system.

    An id that is none as it stands is told from others by its digest.
    """
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", id).strip("_")[:LONGEST_STEM]
    if stem.lower() in _DEVICES:
        stem = f"_{stem}"
    if stem and stem == id:
        return stem
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{stem or 'video'}-{digest}"


def _can_be_encoded(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a file goes: under a name of the user's, or one in a folder that its type completes."""

    path: Path
    is_complete: bool
    suffixes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], id: str, what: str, *, suffixes: tuple[str, ...]
    ) -> Destination:
        """Return where to put what there is of a job: `path`, or a file in the folder `path`.

        A folder is what is one, or what is written with a slash at its end. `suffixes` are those
        that the file may come to have there.

        Raises:
            DownloadError: no file can have that name.

        """
        text = os.fspath(path)
        if "\0" in text or not _can_be_encoded(text):
            raise DownloadError(f"{text!r} cannot be the name of a file.")
        place = Path(text)
        if text.endswith(("/", os.sep)) or place.is_dir():
            stem = safe_stem(id)
            name = stem if what == "video" else f"{stem}.{what}"  # no stem has a dot
            return cls(place / name, is_complete=False, suffixes=suffixes)
        return cls(place, is_complete=True)

    @property
    def part(self) -> Path:
        """The file to write to until all of it is there."""
        name = self.path.name
        if len(os.fsencode(name)) > _LONGEST_NAME:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()
        return self.path.with_name(f"{name}.part")

    def named(self, suffix: str) -> Path:
        """Return the name of a file whose type has this suffix."""
        return self.path if self.is_complete else self.path.with_name(self.path.name + suffix)

    def existing(self) -> Path | None:
        """Return the file that is there already.

        Raises:
            DownloadError: what is there is no file.

        """
        names = (self.path,) if self.is_complete else map(self.named, self.suffixes)
        found = next((name for name in names if os.path.lexists(name)), None)
        if found is not None and not found.is_file():
            raise DownloadError(f"{found} is there already, and is no file.")
        return found
