"""Image sources: the types that may be given as an image, and the image that is sent."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from typing import Annotated, Any, Literal, Protocol, TypeGuard

from pydantic import (
    AnyUrl,
    PlainSerializer,
    PlainValidator,
    SerializationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from yarl import URL

from luma_async.file_types import HEAD_SIZE, media_type
from luma_async.generation import Generation
from luma_async.text_values import has_lone_surrogate, is_web_url, shown_link, unwrapped

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Start of a URL. A single letter before the colon is a drive of Windows."""


class ReadsBytes(Protocol):
    """File that is open for reading bytes."""

    def read(self, size: int = ..., /) -> bytes:
        """Read up to `size` bytes."""


class SavesItself(Protocol):
    """Pillow image, as a protocol, because Pillow need not be installed."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Encode the image into a file."""

    def convert(self, mode: str) -> Any:
        """Return the image in another mode, such as `RGB`."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Image:
    """Image that was read and checked. `image_from` makes one.

    `data` are the bytes that will be sent. `media_type` is the type by content, such as
    `image/png`. The file of a video to edit or reframe, if it was given as bytes, is one as well.
    """

    data: memoryview = field(repr=False)
    media_type: str
    sha256: str

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.data)

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return (self.sha256, self.media_type) == (other.sha256, other.media_type)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (bytes(self.data), self.media_type, self.sha256)


def _unpickled(data: bytes, media_type: str, sha256: str) -> Image:
    return Image(memoryview(data), media_type, sha256)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Local file that was checked, and is sent from the disk because it is large, or a video.

    `sha256` is the digest of its content. It is checked again while the file is sent.
    """

    path: str
    size: int
    media_type: str
    sha256: str


@dataclass(frozen=True, slots=True)
class FileReference:
    """File that was uploaded to the server before, by its id there."""

    id: str

    def __str__(self) -> str:
        return f"{_FILE_PREFIX}{self.id}"


@dataclass(frozen=True, slots=True)
class GenerationReference:
    """Output of a completed job, by the id of the job."""

    id: str

    def __str__(self) -> str:
        return f"{_GENERATION_PREFIX}{self.id}"


_FILE_PREFIX, _GENERATION_PREFIX = "file-id:", "generation:"
"""Beginnings of references as texts, for files of jobs and the command line."""

Reference = FileReference | GenerationReference

ImageLike = (
    str
    | URL
    | AnyUrl
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | ReadsBytes
    | SavesItself
    | Image
    | FileReference
    | GenerationReference
    | Generation
)
"""Web URL, data URI, path, bytes, file, Pillow image, an image that was read before, or a reference
to a file at the server or to the output of a job. A `Generation` stands for its output."""


MediaKind = Literal["image", "video"]
"""Kinds of media that a source may have to be."""

_A_KIND: dict[MediaKind, str] = {"image": "an image", "video": "a video"}


def is_file(source: object) -> TypeGuard[ReadsBytes]:
    """Return `True` if a source is a file, or behaves like one."""
    return callable(getattr(source, "read", None))


def is_pillow_image(source: object) -> TypeGuard[SavesItself]:
    """Return `True` if a source is a Pillow image, or behaves like one."""
    wanted: Sequence[str] = ("save", "convert")
    return hasattr(source, "size") and all(callable(getattr(source, name, None)) for name in wanted)


def is_data_uri(source: object) -> TypeGuard[str]:
    """Return `True` if a source is a data URI."""
    return isinstance(source, str) and source[:5].lower() == "data:"


def is_url(source: object) -> TypeGuard[str]:
    """Return `True` if a source is a web URL. The source must have passed `checked_source()`."""
    return isinstance(source, str) and _SCHEME.match(source) is not None and not is_data_uri(source)


def is_local_file(source: object) -> bool:
    """Return `True` if a source is a path, or a file that was opened by its path.

    A file without a name is not a local file: web frameworks keep uploads in memory or in such
    temporary files. The source must have passed `checked_source()`.
    """
    if isinstance(source, str):
        return not is_url(source) and not is_data_uri(source)
    if isinstance(source, os.PathLike):
        return True
    binary = getattr(source, "buffer", source)  # `open()` makes up to three layers
    lowest = getattr(binary, "raw", binary)
    return isinstance(lowest, FileIO) and not isinstance(lowest.name, int)


def checked_source(source: Any, *, kind: MediaKind = "image") -> Any:
    """Check a source of an image, or of a video, without reading a file.

    A text that is not a URL is a path. A path to a file that is not an image is an error only when
    the file is read.
    """
    source = as_reference(unwrapped(source))
    if isinstance(source, str):
        _check_text(source, kind)
    elif isinstance(source, FileReference | GenerationReference):
        if not source.id.strip() or has_lone_surrogate(source.id):
            raise PydanticCustomError("image", "{id} is not an id", {"id": repr(source.id)})
    elif not isinstance(source, Image | os.PathLike | bytes | bytearray | memoryview) and not (
        is_pillow_image(source) or is_file(source)
    ):
        raise PydanticCustomError(
            "image",
            "cannot be a {type}; allowed is a URL, a data URI, a path, bytes, a file that is open "
            "for reading bytes, a Pillow image, or a Generation",
            {"type": type(source).__name__},
        )
    return source


def as_reference(source: Any) -> Any:
    """Return the reference that a text or a generation stands for; others are unchanged."""
    if isinstance(source, Generation):
        return GenerationReference(source.id)
    if isinstance(source, str):
        if source.startswith(_FILE_PREFIX):
            return FileReference(source.removeprefix(_FILE_PREFIX).strip())
        if source.startswith(_GENERATION_PREFIX):
            return GenerationReference(source.removeprefix(_GENERATION_PREFIX).strip())
    return source


def is_reference(source: object) -> TypeGuard[Reference]:
    """Return `True` if a source is a file or an output of a job at the server."""
    return isinstance(source, FileReference | GenerationReference)


def checked_video_source(source: Any) -> Any:
    """Check a source of a video without reading a file."""
    source = checked_source(source, kind="video")
    if is_pillow_image(source):
        raise PydanticCustomError("image", "must be a video, got a Pillow image")
    return source


def _check_text(source: str, kind: MediaKind) -> None:
    if is_data_uri(source):
        _check_data_uri(source, kind)
    elif is_url(source) and not is_web_url(source):
        raise PydanticCustomError(
            "image",
            "{url} is not a URL of {a_kind}; allowed is http(s)://host/..., or the path of a file",
            {"url": repr(shown_link(source)), "a_kind": _A_KIND[kind]},
        )
    elif not source.strip() or "\0" in source:
        raise PydanticCustomError("image", "{path} is not a path", {"path": repr(source[:80])})


def _check_data_uri(source: str, kind: MediaKind) -> None:
    end = source.find(",", 0, 200)
    head = source[:end].lower() if end > 0 else ""
    if not (head.startswith(f"data:{kind}/") and head.endswith(";base64")):
        raise PydanticCustomError(
            "image",
            "is not {a_kind}'s data URI; allowed is data:{kind}/...;base64,...",
            {"a_kind": _A_KIND[kind], "kind": kind},
        )
    # Only the beginning is decoded, because megabytes would block the event loop.
    try:
        decoded = base64.b64decode(source[end + 1 : end + 1 + 4096], validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise PydanticCustomError("image", "contains no valid Base64 after the comma")


def _dumped(source: Any, info: SerializationInfo) -> Any:
    """Return an image as `model_dump()` has it.

    In JSON it is a text that makes the same image again: a URL, a data URI or a path. In Python it
    is unchanged, except that pydantic would make a dict of an `Image`.

    Raises:
        TypeError: the image would have to be read first.

    """
    if is_reference(source):
        return str(source)
    if info.mode != "json":
        return bytes(source) if isinstance(source, Image) else source
    if source is None or isinstance(source, str):
        return source
    if isinstance(source, os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, Image):
        kind, data = source.media_type, source.data
    elif isinstance(source, bytes | bytearray | memoryview):
        data = memoryview(source)
        kind = media_type(bytes(data[:HEAD_SIZE])) or "application/octet-stream"
    else:
        raise TypeError(
            f"a {type(source).__name__} cannot be written as JSON; pass bytes, or what "
            "`await image_from(...)` returns"
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


ImageField = Annotated[
    ImageLike,
    PlainValidator(checked_source),
    PlainSerializer(_dumped),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
"""Type of an image as a field of a request."""

VideoField = Annotated[
    ImageLike,
    PlainValidator(checked_video_source),
    PlainSerializer(_dumped),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
"""Type of a video as a field of a request. It takes the forms of an image."""
