"""RowImages: the images and videos that rows name, as paths, URLs or references."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luma_async.file_types import HEAD_SIZE, media_type
from luma_async.image_sources import (
    FileReference,
    Image,
    as_reference,
    is_data_uri,
    is_file,
    is_pillow_image,
    is_reference,
    is_url,
)
from luma_async.media.image_reader import LARGEST_IMAGE
from luma_async.paths import is_file_path
from luma_async.text_values import is_web_url


class RowImages:
    """Images of the rows of one manifest. Relative paths start from `folder`.

    The beginning of each file is read once, although many rows may name it. Images may have up to
    `limit` bytes.
    """

    def __init__(self, folder: Path, limit: int = LARGEST_IMAGE) -> None:
        self._folder = folder
        self._limit = limit
        self._found: dict[Path, tuple[str | None, str | None]] = {}
        """Media types and problems of files."""

    def resolved(self, cell: Any, *, takes_video: bool = False) -> tuple[Any, str | None]:
        """Return an image with its full path, and its problem, if it has one.

        The problem of a file is seen as far as its first bytes show it.
        """
        if is_file(cell) or is_pillow_image(cell):
            return cell, (
                "must be a path, a URL, a data URI or bytes, which are the same in a later run"
            )
        cell = as_reference(cell.strip() if isinstance(cell, str) else cell)
        if not isinstance(cell, str | os.PathLike):
            return cell, None
        text = os.fspath(cell)
        if not text.strip() or is_url(text) or is_data_uri(text):
            return text, None
        path = self._folder / text
        problem = self._problem(path, takes_video=takes_video)
        return path, None if problem is None else f"{text!r} {problem}"

    def is_there(self, text: str) -> bool:
        """Return `True` if a text is the path of a file."""
        return is_file_path(self._folder / text)

    def _problem(self, path: Path, *, takes_video: bool) -> str | None:
        if path not in self._found:
            self._found[path] = _look_at(path, self._limit)
        found, problem = self._found[path]
        if problem is not None:
            return problem
        kinds = ("image/", "video/") if takes_video else ("image/",)
        if found is not None and found.startswith(kinds):
            return None
        return "is neither a video nor an image" if takes_video else "is not an image"


def stable(image: Any) -> Any:
    """Return texts for images that are the same in each run: paths, URLs, references or SHA-256."""
    if isinstance(image, Mapping):
        return {str(name): stable(each) for name, each in image.items()}
    if isinstance(image, Sequence) and not isinstance(image, str | bytes | bytearray | memoryview):
        return [stable(each) for each in image]
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    return image.sha256 if isinstance(image, Image) else str(as_reference(image))


def is_inline(source: Any) -> bool:
    """Return `True` if a source can only be a file or URL, and neither a row nor a job."""
    if isinstance(source, str):  # the key of a row may have a colon, too
        reference = as_reference(source)
        is_file_at_server = isinstance(reference, FileReference)
        return is_file_at_server or is_web_url(source) or is_data_uri(source)
    return is_reference(source) or isinstance(
        source, Image | os.PathLike | bytes | bytearray | memoryview
    )


def _look_at(path: Path, limit: int) -> tuple[str | None, str | None]:
    """Return the media type of a file, and its problem."""
    try:
        with path.open("rb") as file:
            found = media_type(file.read(HEAD_SIZE))
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        return None, f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if found is not None and found.startswith("image/") and size > limit:
        return found, _oversize(size, limit)
    return found, None


def problem_of_size(path: Path, limit: int) -> str | None:
    """Return the problem of an image file that is too large, `None` for a smaller or other one."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):  # its problem is told when it is read
        return None
    return _oversize(size, limit) if size > limit else None


def _oversize(size: int, limit: int) -> str:
    return f"must have at most {limit / 2**20:.4g} MiB, has {size / 2**20:.1f} MiB"
