"""File names: give downloaded files names that are valid on every system."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from luma_async import paths
from luma_async.errors import DownloadError

LONGEST_STEM = 100
"""Maximum length of a stem, in characters."""

_LONGEST_NAME = 255 - len(".part.json")
"""Maximum length of a name in bytes, so that the names of the part file and its note are within the
limit of most file systems, 255 bytes."""

_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)
"""Device names of Windows, reserved with any suffix."""


def safe_stem(id: str) -> str:
    """Return a file name for a job id, without suffix, that is valid on every system.

    If the id itself is not a valid name, the result is made unique by a digest of the id.
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


def note_of(part: Path) -> Path:
    """Return the path of the note beside a part file. It tells of which file the part is."""
    return part.with_name(f"{part.name}.json")


@dataclass(frozen=True, slots=True)
class Destination:
    """Path of a file to be downloaded.

    The user gave either the full path (`is_complete`) or a folder. In a folder, `path` lacks the
    suffix, which depends on the type of the content and is one of `suffixes`.
    """

    path: Path
    is_complete: bool
    suffixes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], name: str, *, suffixes: tuple[str, ...]
    ) -> Destination:
        """Return the destination `path`, or a file with this name in the folder `path`.

        The path is a folder if it exists as one or ends with a slash. `suffixes` are the possible
        suffixes of the file.

        Raises:
            DownloadError: the path is not a valid file name, or cannot be looked up.

        """
        text: object = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(text, str):
            raise DownloadError(f"The path of a download must be a text or a Path, got {path!r}.")
        if "\0" in text or not _can_be_encoded(text):
            raise DownloadError(f"{text!r} is not a valid file name.")
        if not text:  # it would be the current folder: mostly it is a variable that is not set
            raise DownloadError("The path of a download must not be empty.")
        target = Path(text)
        try:
            is_folder = paths.is_folder(target) or text.endswith(("/", os.sep))
        except OSError as error:  # the name is too long, or a folder above may not be read
            raise DownloadError(f"{text!r} cannot be used: {error.strerror}.") from error
        if is_folder:
            return cls(target / name, is_complete=False, suffixes=suffixes)
        return cls(target, is_complete=True)

    @property
    def part(self) -> Path:
        """Path of the part file. It holds the content until the download is complete."""
        name = self.path.name
        if len(os.fsencode(name)) > _LONGEST_NAME:
            name = hashlib.sha256(os.fsencode(name)).hexdigest()
        return self.path.with_name(f"{name}.part")

    def named(self, suffix: str) -> Path:
        """Return the final path of a file whose type has this suffix."""
        return self.path if self.is_complete else self.path.with_name(self.path.name + suffix)

    def obstacle(self) -> str | None:
        """Return the reason that no file can be written here, `None` if none is known.

        A file that has the name already is not looked at.

        Raises:
            OSError: the path cannot be looked up: a name is too long, or a folder may not be read.

        """
        obstacle = paths.obstacle_in(self.path.parent)
        if obstacle is None and self.is_complete:
            for path in (self.part, note_of(self.part)):
                if paths.is_other_than_file(path):
                    return f"{path} is not a regular file"
            if paths.exists(self.part) and not paths.allows(self.part, os.R_OK | os.W_OK):
                return f"{self.part} is not writable"
        return obstacle

    def check_is_replaceable(self) -> None:
        """Check that the path is free or that of a file, before a file takes its place.

        A device such as `/dev/null` would be lost, for all programs.

        Raises:
            DownloadError: the path exists and is not a file.

        """
        if self.is_complete and self.path.exists() and not self.path.is_file():
            raise DownloadError(
                f"{self.path} already exists and is not a file; overwrite=True replaces files only."
            )

    def existing(self) -> Path | None:
        """Return the path of the file if it already exists, `None` otherwise.

        Raises:
            DownloadError: the path exists and is not a file.

        """
        names = (self.path,) if self.is_complete else map(self.named, self.suffixes)
        found = next((name for name in names if os.path.lexists(name)), None)
        if found is not None and not found.is_file():
            raise DownloadError(f"{found} already exists and is not a file.")
        return found
