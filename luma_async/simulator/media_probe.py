"""Media probe: type and size of images and videos that clients send."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

IMAGE_BYTES = 50 * 10**6
"""Maximum size of an image."""

IMAGE_SIDE = 8000
"""Maximum number of pixels of a side of an image."""


class UnusableMediaError(Exception):
    """The content is not an image or a video that the service accepts."""


@dataclass(frozen=True, slots=True)
class Media:
    """Type and size of an image or a video. An image has one frame."""

    kind: Literal["image", "video"]
    width: int
    height: int
    seconds: float = 0.0


def probe(content: bytes | Path) -> Media:
    """Return the type and the size of an image or a video.

    Raises:
        UnusableMediaError: the content is neither, or is larger than the service accepts.

    """
    if (size := _image_size(content)) is None:
        return _video(content)
    size_bytes = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size_bytes > IMAGE_BYTES:
        raise UnusableMediaError(f"the image has more than {IMAGE_BYTES // 10**6} MB")
    if max(size) > IMAGE_SIDE:
        raise UnusableMediaError(f"a side of the image has more than {IMAGE_SIDE} pixels")
    return Media("image", *size)


def _image_size(content: bytes | Path) -> tuple[int, int] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(
                io.BytesIO(content) if isinstance(content, bytes) else content
            ) as found:
                return found.size
    except Image.DecompressionBombError as error:
        raise UnusableMediaError(
            f"a side of the image has more than {IMAGE_SIDE} pixels"
        ) from error
    except (OSError, ValueError, SyntaxError):
        return None


def _video(content: bytes | Path) -> Media:
    import av  # noqa: PLC0415  takes long to load, and images do not need it

    try:
        source = io.BytesIO(content) if isinstance(content, bytes) else str(content)
        with av.open(source, "r") as found:
            stream = found.streams.video[0]
            seconds = (found.duration or 0) / av.time_base
            return Media("video", stream.width, stream.height, seconds)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise UnusableMediaError("the content is not an image or a video") from error
