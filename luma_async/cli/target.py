"""Target of downloads: a file or a folder, and the file of the job."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from luma_async import paths
from luma_async.errors import ConfigurationError
from luma_async.generation import Generation
from luma_async.media.filenames import Destination
from luma_async.media.job_files import What, file_of

DEFAULT_FOLDER = "videos/"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadTarget:
    """A file, or a folder: one that exists, ends with a slash, or has a name without a suffix."""

    place: str = DEFAULT_FOLDER
    what: What | Literal["all"] = "output"
    watermark_free: bool = True
    overwrite: bool = False

    @property
    def named_place(self) -> str | None:
        """The file or folder, `None` if it is the default folder."""
        return None if self.place == DEFAULT_FOLDER else self.place

    @property
    def is_folder(self) -> bool:
        """`True` if the target is a folder."""
        path = Path(self.place)
        if self.place.endswith(("/", os.sep)) or paths.is_folder(path):
            return True
        return not os.path.lexists(path) and path.suffix in ("", ".")

    @property
    def path(self) -> str:
        """The file or folder as `LumaClient.download` takes it: a folder ends with a slash."""
        return os.path.join(self.place, "") if self.is_folder else self.place  # noqa: PTH118  slash

    def existing(self, generation: Generation) -> Path | None:
        """Return the file in the folder that an earlier download of a job wrote, if any.

        It is `None` if `overwrite` is set, or if the target is a file.

        Raises:
            DownloadError: there is something with the file's name that is not a file, or the job
                has no such file.

        """
        if self.overwrite or not self.is_folder or self.what == "all":
            return None
        file = file_of(generation, self.what)
        return Destination.of(self.path, file.name, suffixes=file.suffixes).existing()

    def check(self) -> None:
        """Check that a file can be written, before a job is submitted and paid for.

        Raises:
            ConfigurationError: the file exists, the path cannot be one, the folder is not a folder
                or not writable, or something other than a file has the name of the part file.

        """
        try:
            self._check()
        except OSError as error:
            raise ConfigurationError(
                f"{self.place} cannot be used: {error.strerror}; nothing was submitted. "
                "Choose another --output."
            ) from error

    def _check(self) -> None:
        path = Path(self.place)
        if not self.is_folder and os.path.lexists(path) and not self.overwrite:
            raise ConfigurationError(
                f"{path} already exists; nothing was submitted. --overwrite replaces it."
            )
        if self.is_folder:
            obstacle = paths.obstacle_in(path)
        elif paths.exists(path) and not paths.is_file_path(path):
            obstacle = f"{path} is not a file"  # a device, which --overwrite must not replace
        else:
            obstacle = Destination(path, is_complete=True).obstacle()
        if obstacle is not None:
            raise ConfigurationError(f"{obstacle}; nothing was submitted. Choose another --output.")

    def check_holds_many(self, things: str = "jobs") -> None:
        """Check that several files can be written.

        Raises:
            ConfigurationError: the target is a file.

        """
        if not self.is_folder:
            raise ConfigurationError(
                f"{self.place} is one file, but there are several {things}. Name a folder: "
                f"--output {Path(self.place).stem}/"
            )


def target_of(
    output: str | None, *, what: What | Literal["all"] = "output", watermark: bool, overwrite: bool
) -> DownloadTarget:
    """Return the target that the options for downloads describe."""
    return DownloadTarget(
        # Not Path.expanduser(), which drops the slash that marks a folder.
        place=os.path.expanduser(output or DEFAULT_FOLDER),  # noqa: PTH111
        what=what,
        watermark_free=not watermark,
        overwrite=overwrite,
    )


def target_of_submission(
    output: str | None,
    *,
    what: What | Literal["all"] = "output",
    watermark: bool,
    overwrite: bool,
    no_wait: bool,
    no_download: bool,
) -> DownloadTarget | None:
    """Return the target for the video of a new job, or `None` if it is not to be downloaded.

    Raises:
        BadParameter: `--output` is given, but nothing would be downloaded.

    """
    if not (no_wait or no_download):
        return target_of(output, what=what, watermark=watermark, overwrite=overwrite)
    if output is not None:
        option = "--no-wait" if no_wait else "--no-download"
        raise typer.BadParameter(
            f"--output and {option} contradict each other: nothing would be downloaded."
        )
    return None
