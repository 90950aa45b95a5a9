"""Earlier videos: keep the file of a row when its redo brings another one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from luma_async.errors import BatchError
from luma_async.media.filenames import safe_stem

if TYPE_CHECKING:
    from luma_async.batch.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierVideo:
    """Video of a job that was redone.

    Attributes:
        id: the server's id of the job.
        file: the path of the video, relative to the folder; `None` if it was not downloaded.
        prompt: the prompt of the job.

    """

    id: str
    file: str | None = None
    prompt: str | None = None


def earlier_videos(result: Result, folder: Path) -> tuple[EarlierVideo, ...]:
    """Return the earlier videos of a row whose result is about to be replaced, and keep its file.

    The file is kept under its name with the id of its job. Nothing is ever overwritten: a file that
    was kept before, by a run that was killed, stays as it is. This call blocks.

    Raises:
        BatchError: the file cannot be kept.

    """
    known = tuple(video for video in result.earlier if video.id != result.id)
    if result.id is None:
        return known
    video = EarlierVideo(id=result.id, prompt=result.prompt or None)
    if result.file is not None:
        for file in row_files(result)[1:]:
            _kept(folder / file, result.id, file)
        kept = _kept(folder / result.file, result.id, result.file)
        if kept.is_file():
            video = replace(video, file=kept.relative_to(folder).as_posix())
    return (*known, video)


def row_files(result: Result) -> list[str]:
    """Return the files of a result, the main one first."""
    if result.file is None:
        return []
    return [result.file, *(each.file for each in result.outputs if each.file != result.file)]


def names_of_row(names: Iterable[str], stem: str) -> list[str]:
    """Return the names in a folder that are those of files of a row, the main file first.

    `stem` is the row's, a `safe_stem()`: it has no dot, so that it does not begin the name of a
    file of another row.
    """
    own = re.compile(re.escape(stem) + r"(\.\d+(-[^.]+)?)?")
    paths = [PurePath(name) for name in names]
    found = [path for path in paths if path.suffix and own.fullmatch(path.stem)]
    return [path.name for path in sorted(found, key=lambda path: (path.stem != stem, path.name))]


def _kept(path: Path, id: str, name: str) -> Path:
    """Keep a file under its name with the id of its job, and return the path of the kept file.

    Raises:
        BatchError: the file cannot be kept.

    """
    kept = path.with_name(f"{path.stem}.{safe_stem(id)}{path.suffix}")
    try:
        _keep(path, kept)
        if path.suffix != ".mp4":  # the new file may have another suffix, and not replace it
            path.unlink(missing_ok=True)
    except OSError as error:
        raise BatchError(
            f"The earlier file {name} cannot be kept as {kept.name}: {error.strerror or error}. "
            "The new one is not downloaded until it can."
        ) from None
    return kept


def _keep(path: Path, kept: Path) -> None:
    """Give a file a second name, so that it stays when another file gets the first one.

    A link is made in one step, and takes no room. Some file systems have no links.
    """
    if kept.exists() or not path.is_file():
        return
    with contextlib.suppress(OSError):
        os.link(path, kept)
        return
    copy = kept.with_name(f".{kept.name}.new")
    try:
        shutil.copy2(path, copy)
        copy.replace(kept)
    finally:
        copy.unlink(missing_ok=True)
