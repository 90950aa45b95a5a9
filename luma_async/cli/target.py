"""Output: where downloads go, and which file of a job is wanted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from luma_async.errors import ConfigurationError
from luma_async.media.file_types import suffixes_of
from luma_async.media.filenames import Destination
from luma_async.media.links import TOP_LEVEL_TYPES, FileKind

DEFAULT_FOLDER = "videos/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file, or a folder: one that exists, ends with a slash, or has a name without a suffix."""

    place: str = DEFAULT_FOLDER
    what: FileKind = "video"
    watermark_free: bool = True
    overwrite: bool = False

    @property
    def named_place(self) -> str | None:
        """The place, if it is not where files go anyway."""
        return None if self.place == DEFAULT_FOLDER else self.place

    @property
    def is_folder(self) -> bool:
        """Whether files get their own names in there."""
        path = Path(self.place)
        return self.place.endswith(("/", os.sep)) or path.is_dir() or not self._is_file(path)

    @property
    def path(self) -> str:
        """The place as downloads understand it."""
        return os.path.join(self.place, "") if self.is_folder else self.place  # noqa: PTH118  slash

    def existing(self, id: str) -> Path | None:
        """Return what is in the folder of a job already, if that may stay.

        Raises:
            DownloadError: what is there is no file.

        """
        if self.overwrite or not self.is_folder:
            return None
        suffixes = suffixes_of(TOP_LEVEL_TYPES[self.what])
        return Destination.of(self.path, id, self.what, suffixes=suffixes).existing()

    def check(self) -> None:
        """Look, before anything is paid for, whether a file can be put there.

        Raises:
            ConfigurationError: it cannot; the text says why.

        """
        path = Path(self.place)
        if not self.is_folder and os.path.lexists(path) and not self.overwrite:
            raise ConfigurationError(
                f"{path} exists already; nothing was sent. --overwrite replaces it."
            )
        folder = path if self.is_folder else path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise ConfigurationError(
                f"{folder} is no folder, so nothing was sent. Name another --output."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"{folder} cannot be written to, so nothing was sent. Name another --output."
            )

    def check_holds_many(self) -> None:
        """Look whether several files can be put there.

        Raises:
            ConfigurationError: it names one file.

        """
        if not self.is_folder:
            raise ConfigurationError(
                f"{self.place} is one file, and there are several jobs. Name a folder: "
                f"--output {Path(self.place).stem}/"
            )

    def _is_file(self, path: Path) -> bool:
        return os.path.lexists(path) or path.suffix not in ("", ".")
