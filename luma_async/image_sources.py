"""Images that go in: what may stand for one, and one that is ready to be sent."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeGuard

from pydantic import AnyUrl, PlainValidator
from pydantic_core import PydanticCustomError
from yarl import URL

from luma_async.text_values import is_web_url, shown_link, unwrapped

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How a URL begins. A single letter is a drive."""


class ReadsBytes(Protocol):
    """A file that is open for reading bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


class SavesItself(Protocol):
    """A Pillow image, which need not be installed to be spoken of."""

    @property
    def size(self) -> tuple[int, int]: ...

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None: ...

    def convert(self, mode: str) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image that was read and checked; `luma_async.media.image_from` makes them.

    `data` are its bytes as they will be sent, `media_type` is such as `image/png`, by content.
    """

    data: memoryview = field(repr=False)
    media_type: str
    sha256: str

    @property
    def size(self) -> int:
        """Bytes."""
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
)
"""A web URL, a data URI, a path, bytes, a file, a Pillow image, or an image that was read."""


def is_file(source: object) -> TypeGuard[ReadsBytes]:
    """Whether it can be read from."""
    return callable(getattr(source, "read", None))


def is_pillow_image(source: object) -> TypeGuard[SavesItself]:
    """Whether it is an image of Pillow's, or one that behaves like it."""
    wanted: Sequence[str] = ("save", "convert")
    return hasattr(source, "size") and all(callable(getattr(source, name, None)) for name in wanted)


def is_data_uri(source: object) -> TypeGuard[str]:
    """Whether it is a data URI."""
    return isinstance(source, str) and source[:5].lower() == "data:"


def is_url(source: object) -> TypeGuard[str]:
    """Whether it is a URL of the web; one that `checked_source` lets pass."""
    return isinstance(source, str) and _SCHEME.match(source) is not None and not is_data_uri(source)


def checked_source(source: Any) -> Any:
    """Check what can be checked without reading anything.

    What is no URL is taken for a path: whether there is an image shows when it is read.
    """
    source = unwrapped(source)
    if isinstance(source, str):
        _check_text(source)
    elif not isinstance(source, Image | os.PathLike | bytes | bytearray | memoryview) and not (
        is_pillow_image(source) or is_file(source)
    ):
        raise PydanticCustomError(
            "image",
            "cannot be a {kind}; allowed is a URL, a data URI, a path, bytes, a file that is open "
            "for reading bytes, or a Pillow image",
            {"kind": type(source).__name__},
        )
    return source


def _check_text(source: str) -> None:
    if is_data_uri(source):
        _check_data_uri(source)
    elif is_url(source) and not is_web_url(source):
        raise PydanticCustomError(
            "image",
            "{url} is not a URL of an image; allowed is http(s)://host/..., or the path of a file",
            {"url": repr(shown_link(source))},
        )
    elif not source.strip() or "\0" in source:
        raise PydanticCustomError("image", "{path} is no path", {"path": repr(source[:80])})


def _check_data_uri(source: str) -> None:
    end = source.find(",", 0, 200)
    head = source[:end].lower() if end > 0 else ""
    if not (head.startswith("data:image/") and head.endswith(";base64")):
        raise PydanticCustomError(
            "image", "is not an image's data URI; allowed is data:image/...;base64,..."
        )
    # The head is enough to tell an image from a slip; megabytes of it would stall the event loop.
    try:
        decoded = base64.b64decode(source[end + 1 : end + 1 + 4096], validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise PydanticCustomError("image", "holds no readable Base64 after the comma")


ImageField = Annotated[ImageLike, PlainValidator(checked_source)]
"""An image as a field of a request."""
