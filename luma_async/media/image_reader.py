"""Images in: whatever stands for one becomes an `Image` that was read and checked."""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import io
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from pydantic_core import PydanticCustomError

from luma_async.errors import ConfigurationError, InvalidRequestError
from luma_async.image_sources import (
    Image,
    ImageLike,
    ReadsBytes,
    SavesItself,
    checked_source,
    is_data_uri,
    is_file,
    is_pillow_image,
    is_url,
)
from luma_async.media.file_types import HEAD, media_type
from luma_async.requests import ExtendRequest, GenerateRequest

IMAGE_LIMIT = 20 * 2**20
"""Bytes of an image, before Base64 makes a third more of them."""

Request = TypeVar("Request", GenerateRequest, ExtendRequest)

_FIELDS = ("image", "image_end")
_STEP = 2**18
"""Bytes that are handled in one go: a thread that copies many megabytes holds the event loop."""

_LOSSLESS_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""What PNG can hold as it is."""

_NEAREST_MODES = {"RGBa": "RGBA", "La": "RGBA", "PA": "RGBA", "I": "I;16"}


class _Readers:
    """One lock for each file: two requests may share one, and each reads it from its start."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._lock_of_others = threading.Lock()

    def of(self, file: Any) -> threading.Lock:
        """Return the lock of a file."""
        with self._lock:
            try:
                return self._locks.setdefault(file, threading.Lock())
            except TypeError:  # it cannot be referred to weakly, or has no hash
                return self._lock_of_others


_readers = _Readers()


class _NoImage(Exception):  # noqa: N818  a problem of a field that its reader does not know
    """What is wrong with a source."""


async def image_from(
    source: ImageLike, *, max_side: int | None = None, max_bytes: int = IMAGE_LIMIT
) -> Image | str:
    """Read an image, scaled down where `max_side` asks for that, for `image=` and `image_end=`.

    >>> first = await image_from("cat.jpg", max_side=1024)        # doctest: +SKIP
    >>> task = await luma.generate("a cat", image=first)          # doctest: +SKIP

    `generate()` and `extend()` take the same sources as they are, so this is for scaling, for
    checking early, and for an image that is used many times. A URL is returned as it is: it is
    the server that fetches it. A scaled JPEG is a JPEG again, everything else becomes a PNG, and
    what an image says of its orientation is applied. One that is small enough is left alone.

    Args:
        source: what a request's `image` may be.
        max_side: pixels of the longer side at most. Needs Pillow: `pip install
            'luma-async[images]'`.
        max_bytes: the largest image allowed, as it will be sent.

    Raises:
        InvalidRequestError: it is no image, is too large, or cannot be read.
        ConfigurationError: Pillow is needed and not installed.

    """
    if max_side is not None and max_side < 1:
        raise InvalidRequestError.of("max_side", f"{max_side} is no size; allowed is 1 or more")
    try:
        source = checked_source(source)
        if not is_url(source):
            return await _in_thread(source, max_bytes, max_side)
        problem = "is a URL, and what the server fetches cannot be scaled here"
    except (_NoImage, PydanticCustomError) as error:
        problem = str(error)
    else:
        if max_side is None:
            return source
    raise InvalidRequestError.of("image", problem)


class ImageReader:
    """Reads the images of requests, those of so many requests at once.

    `urls_only` names the dialect that takes nothing but URLs, if it does.
    """

    def __init__(self, *, max_bytes: int, at_once: int, urls_only: str | None) -> None:
        self._max_bytes = max_bytes
        self._places = anyio.Semaphore(at_once, fast_acquire=True)
        self._urls_only = urls_only

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Request]:
        """Give the request with each of its images as an `Image`, or the URL of one.

        They stay in memory until the context is left, and others wait for that.

        Raises:
            InvalidRequestError: one of them is no image, is too large, or cannot be read.

        """
        sources: dict[str, ImageLike] = {
            name: source
            for name in _FIELDS
            if (source := getattr(request, name)) is not None and not is_url(source)
        }
        if not sources:
            yield request
        elif self._urls_only is not None:
            problem = (
                f"is no URL, and {self._urls_only} takes nothing else; put the image where the "
                "server can fetch it, and give its http(s) URL"
            )
            raise InvalidRequestError(dict.fromkeys(sources, problem))
        else:
            async with self._places:
                yield request.model_copy(update=await self._read(sources))

    async def _read(self, sources: Mapping[str, ImageLike]) -> dict[str, Image]:
        images: dict[str, Image] = {}
        problems: dict[str, str] = {}
        for name, source in sources.items():
            try:
                if isinstance(source, Image):
                    images[name] = _within(source, self._max_bytes)
                else:
                    images[name] = await _in_thread(source, self._max_bytes, None)
            except _NoImage as error:
                problems[name] = str(error)
        if problems:
            raise InvalidRequestError(problems)
        return images


async def _in_thread(source: ImageLike, limit: int, max_side: int | None) -> Image:
    # A pipe that nobody writes to must not outlive the patience of who waits here.
    return await anyio.to_thread.run_sync(_read, source, limit, max_side, abandon_on_cancel=True)


def _read(source: ImageLike, limit: int, max_side: int | None) -> Image:
    """Read, scale and check an image. Takes its time."""
    try:
        # One that will be scaled may be larger before.
        data = _content(source, limit if max_side is None else max(limit, 10 * IMAGE_LIMIT))
        if max_side is not None:
            data = _scaled(data, max_side)
    except (_NoImage, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  a caller's file, or Pillow at a damaged image
        raise _NoImage(f"cannot be read{_named(source)}: {_why(error)}") from None
    found = media_type(bytes(data[:HEAD]))
    if not data:
        raise _NoImage(f"is empty{_named(source)}")
    if found is None or not found.startswith("image/"):
        what = f"begins like {found}" if found else "is no image"
        raise _NoImage(
            f"{what}{_named(source)}; PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF and HEIC are"
        )
    digest = hashlib.sha256(data).hexdigest()
    return _within(Image(data.toreadonly(), found, digest), limit, _named(source))


def _within(image: Image, limit: int, named: str = "") -> Image:
    if image.size > limit:
        raise _too_large(limit, named, image.size)
    return image


def _too_large(limit: int, named: str, size: int | None = None) -> _NoImage:
    has = f"has {size / 2**20:.1f} MiB" if size is not None else "is larger than allowed"
    return _NoImage(
        f"{has}{named}; at most {limit / 2**20:g} MiB are allowed: "
        "await image_from(..., max_side=2048) makes it smaller"
    )


def _named(source: ImageLike) -> str:
    is_path = isinstance(source, os.PathLike) or (
        isinstance(source, str) and not is_data_uri(source)
    )
    if not is_path:
        return ""
    with contextlib.suppress(TypeError):  # it may say that it is a path, and have none
        return f" ({os.fspath(cast('str | os.PathLike[str]', source))!r})"
    return ""


def _content(source: ImageLike, limit: int) -> memoryview:
    """Return the bytes of an image, however it was given."""
    if isinstance(source, Image | bytes):
        return source.data if isinstance(source, Image) else memoryview(source)
    if isinstance(source, bytearray | memoryview):
        view = memoryview(source)
        view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        return _joined(view[start : start + _STEP] for start in range(0, len(view), _STEP))
    if is_pillow_image(source):
        return _encoded(source)
    if is_file(source):
        return _from_file(source, limit)
    if is_data_uri(source):
        return _decoded(source, limit)
    return _from_path(Path(cast("str | os.PathLike[str]", source)), limit)


def _from_path(path: Path, limit: int) -> memoryview:
    named = f" ({str(path)!r})"
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise _NoImage(f"is no file{named}")
        if about.st_size > limit:
            raise _too_large(limit, named, about.st_size)
        with path.open("rb", buffering=0) as file:
            return _joined(_pieces(file, limit, named))
    except FileNotFoundError:
        hint = "" if "://" in str(path) or path.is_absolute() else f" in {Path.cwd()}"
        raise _NoImage(f"is no file{named}: there is none{hint}") from None
    except (OSError, ValueError) as error:
        raise _NoImage(f"cannot be read{named}: {_why(error)}") from None


def _from_file(file: Any, limit: int) -> memoryview:
    """Read a file from where it stands, and put it back there if it can be."""
    try:
        if not _is_seekable(file):
            return _joined(_pieces(file, limit, ""))
        with _readers.of(file):
            start = file.tell()
            try:
                return _joined(_pieces(file, limit, ""))
            finally:
                file.seek(start)
    except (OSError, ValueError) as error:
        raise _NoImage(f"cannot be read: {_why(error)}") from None


def _is_seekable(file: Any) -> bool:
    return callable(getattr(file, "seekable", None)) and bool(file.seekable())


def _pieces(file: ReadsBytes, limit: int, named: str) -> Iterator[bytes]:
    size = 0
    while piece := file.read(_STEP):
        if not isinstance(piece, bytes):
            if hasattr(piece, "close"):
                piece.close()  # a coroutine that nobody awaits would complain
            raise _NoImage(
                f"is a file whose read() gives {type(piece).__name__}, not bytes; open it for "
                "reading bytes ('rb'), or give what its read() gives once that is bytes"
            )
        size += len(piece)
        if size > limit:
            raise _too_large(limit, named)
        yield piece


def _decoded(uri: str, limit: int) -> memoryview:
    start = uri.index(",") + 1
    if (len(uri) - start) * 3 // 4 > limit + 2:
        raise _too_large(limit, "", (len(uri) - start) * 3 // 4)
    step = _STEP // 3 * 4
    pieces = []
    for begin in range(start, len(uri), step):
        text = uri[begin : begin + step]
        try:
            piece = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:  # binascii.Error is one
            raise _NoImage(f"holds no readable Base64: {_why(error)}") from None
        if begin + step < len(uri) and text.endswith("="):
            raise _NoImage("holds no readable Base64: it goes on after its end")
        pieces.append(piece)
    return _joined(pieces)


def _joined(pieces: Iterable[bytes | memoryview]) -> memoryview:
    """Join pieces without one long copy, during which no other thread could run."""
    pieces = list(pieces)
    whole = bytearray(sum(map(len, pieces)))
    end = 0
    for piece in pieces:
        whole[end : end + len(piece)] = piece
        end += len(piece)
    return memoryview(whole)


def _encoded(image: SavesItself) -> memoryview:
    """Encode a Pillow image without losing a pixel."""
    mode = getattr(image, "mode", "RGB")
    if not all(image.size):
        raise _NoImage("is empty: a Pillow image without a pixel")
    if mode not in _LOSSLESS_MODES:
        image = image.convert(_NEAREST_MODES.get(mode, "RGB"))
    file = io.BytesIO()
    try:
        image.save(file, "PNG")
    except (OSError, ValueError) as error:  # it may be read from a file at this moment
        raise _NoImage(f"cannot be encoded: {_why(error)}") from None
    return memoryview(file.getvalue())


def _scaled(data: memoryview, max_side: int) -> memoryview:
    """Scale an image down, if it is larger."""
    try:
        from PIL import Image as PillowImage  # noqa: PLC0415  only scaling needs the extra
        from PIL import ImageOps  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            "Scaling an image needs Pillow: pip install 'luma-async[images]'"
        ) from None
    try:
        with PillowImage.open(io.BytesIO(data)) as opened:
            if max(opened.size) <= max_side:
                return data
            is_jpeg = opened.format == "JPEG"
            profile = opened.info.get("icc_profile")
            image = ImageOps.exif_transpose(opened)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        image.thumbnail((max_side, max_side), PillowImage.Resampling.LANCZOS)
        if not is_jpeg:
            return _encoded(image)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95, icc_profile=profile)
        return memoryview(file.getvalue())
    except (OSError, ValueError, PillowImage.DecompressionBombError) as error:
        raise _NoImage(f"cannot be scaled: {_why(error)}") from None


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
