"""Image reader: read, check and scale the input images of requests, and check their videos."""

from __future__ import annotations

import asyncio
import binascii
import contextlib
import hashlib
import io
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

import anyio
import anyio.to_thread
from pydantic_core import PydanticCustomError

from luma_async.dialects import Dialect
from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.dialects.file_calls import FileCalls, file_calls_of
from luma_async.errors import ConfigurationError, InvalidRequestError
from luma_async.file_types import HEAD_SIZE, media_type
from luma_async.image_sources import (
    Image,
    ImageLike,
    LocalFile,
    MediaKind,
    ReadsBytes,
    SavesItself,
    checked_source,
    is_data_uri,
    is_file,
    is_local_file,
    is_pillow_image,
    is_reference,
    is_url,
)
from luma_async.media.image_places import ImagePlaces
from luma_async.media.local_files import STEP, LocalFiles, path_of
from luma_async.requests import JobRequest

IMAGE_LIMIT = 20 * 2**20
"""Default maximum size of an image in bytes. Base64 adds a third to that in the request."""

LARGEST_IMAGE = AgentsFileCalls.image_limit
"""Maximum size of an image that any dialect of this package takes, in bytes."""

_LOSSLESS_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
"""Pillow modes that PNG supports without conversion."""

_NEAREST_MODES = {"RGBa": "RGBA", "La": "RGBA", "PA": "RGBA", "I": "I;16"}
"""Modes to which Pillow converts other modes before PNG; `RGB` for modes that are not listed."""


_VIDEO_TYPES = frozenset({"video/mp4", "video/quicktime", "video/webm"})

_SUPPORTED: Mapping[MediaKind, str] = {
    "image": "an image{but}; supported are PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF and HEIC",
    "video": "a video{but}; supported are MP4, MOV and WebM",
}


class _FileLocks:
    """One lock for each open file, because several requests may read the same file at once."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._shared_lock = threading.Lock()

    def of(self, file: Any) -> threading.Lock:
        """Return the lock of an open file."""
        with self._lock:
            try:
                return self._locks.setdefault(file, threading.Lock())
            except TypeError:  # not weakly referenceable, or not hashable
                return self._shared_lock


_file_locks = _FileLocks()


class _InvalidImageError(Exception):
    """Problem with an image; the caller adds the name of the field."""


async def image_from(
    source: ImageLike, *, max_side: int | None = None, max_bytes: int = IMAGE_LIMIT
) -> Image | str:
    """Read, check and optionally scale an image for `image=` or `image_end=`.

    >>> first = await image_from("cat.jpg", max_side=1024)        # doctest: +SKIP
    >>> task = await luma.generate("a cat", image=first)          # doctest: +SKIP

    `generate()` and `extend()` accept the same sources directly. Use this function to scale an
    image, to check it early, or to read it once for many requests. A URL is returned unchanged,
    because the server fetches it. An image that is small enough is not changed either. A scaled
    JPEG stays a JPEG, and other scaled images become PNGs; the orientation in their metadata is
    applied.

    Args:
        source: a URL, a data URI, a path, bytes, a file opened in binary mode, or a Pillow image.
        max_side: maximum length of the longer side, in pixels. Needs Pillow: `pip install
            "luma-async[images]"`.
        max_bytes: maximum size of the image after scaling, in bytes.

    Raises:
        InvalidRequestError: the source is not an image, is too large, or cannot be read.
        ConfigurationError: scaling needs Pillow, and it is not installed.

    """
    if max_side is not None and max_side < 1:
        raise InvalidRequestError.of("max_side", f"must be 1 or more, got {max_side}")
    try:
        source = checked_source(source)
        if not is_url(source):
            return await _in_thread(source, max_bytes, max_side)
        problem = "is a URL; the server fetches the image, so it cannot be scaled here"
    except (_InvalidImageError, PydanticCustomError) as error:
        problem = str(error)
    else:
        if max_side is None:
            return source
    raise InvalidRequestError.of("image", problem)


def image_limit_of(dialect: Dialect) -> int:
    """Return the maximum size of an image for a dialect, in bytes."""
    files = file_calls_of(dialect)
    return IMAGE_LIMIT if files is None else files.image_limit


class ImageReader:
    """Read the images of requests, with at most `at_once` images in memory at a time.

    With the `files` of a dialect, large local images and all local videos stay on the disk, and
    become a `LocalFile`. `max_bytes` is the limit of an image; by default, that of the dialect.
    Without `allow_local_files`, paths and files that were opened by their path are invalid.
    """

    def __init__(
        self,
        *,
        max_bytes: int | None = None,
        at_once: int,
        allow_local_files: bool = True,
        files: FileCalls | None = None,
    ) -> None:
        self._max_bytes = max_bytes or (IMAGE_LIMIT if files is None else files.image_limit)
        self._places = ImagePlaces(at_once)
        self._allow_local_files = allow_local_files
        self._files = files
        self._local_files = LocalFiles()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def read(self, request: JobRequest) -> AsyncIterator[JobRequest]:
        """Return a context with the request, in which each image was checked.

        Each is an `Image`, a `LocalFile`, a URL or a reference. The images stay in memory, and
        count towards `at_once`, until the context is left.

        Raises:
            InvalidRequestError: an image is invalid, too large, or cannot be read.

        """
        sources: dict[str, ImageLike] = {
            place: source
            for place, source in request.images().items()
            if not is_url(source) and not is_reference(source)
        }
        if not self._allow_local_files:
            _check_no_local_files(sources)
        if not sources:
            yield request
        else:
            async with self._places.take(len(sources)):
                yield request.with_images(await self._read(request, sources))

    async def _read(
        self, request: JobRequest, sources: Mapping[str, ImageLike]
    ) -> dict[str, Image | LocalFile]:
        images: dict[str, Image | LocalFile] = {}
        problems: dict[str, str] = {}
        for name, source in sources.items():
            kind = request.kind_at(name)
            try:
                if isinstance(source, Image):
                    images[name] = _check_image(source, self._max_bytes, kind)
                else:
                    images[name] = await self._read_one(source, kind)
            except _InvalidImageError as error:
                problems[name] = str(error)
        if problems:
            raise InvalidRequestError(problems)
        return images

    async def _read_one(self, source: ImageLike, kind: MediaKind) -> Image | LocalFile:
        """Read a source in a thread. A path is read by one request at a time."""
        read = partial(self._image_or_file, source, kind)
        if not isinstance(source, str | os.PathLike) or is_data_uri(source):
            return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        lock = self._locks.setdefault(f"{source}", asyncio.Lock())
        async with lock:
            return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

    def _image_or_file(self, source: ImageLike, kind: MediaKind) -> Image | LocalFile:
        path = None if is_data_uri(source) else path_of(source)
        if path is None:
            return _read(source, self._max_bytes, None, kind)
        with _explained(path):
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block for ever
                raise _not_regular(path)
            files = self._files
            if files is not None and (kind == "video" or status.st_size > files.inline_limit):
                limit = files.video_limit if kind == "video" else self._max_bytes
                return self._local_file(path, limit, kind)
            return self._local_files.image(
                path, partial(_read, path, self._max_bytes, None, kind, source)
            )

    def _local_file(self, path: Path, limit: int, kind: MediaKind) -> LocalFile:
        """Check a local file without reading it into memory."""
        named = f" ({str(path)!r})"
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD_SIZE)
            size = os.fstat(file.fileno()).st_size
        found = _checked_type(head, kind, named)
        if size > limit:
            raise _too_large(limit, named, size, kind)
        digest = self._local_files.digest(path)
        return LocalFile(str(path.absolute()), size, found, digest)


def _check_no_local_files(sources: Mapping[str, ImageLike]) -> None:
    problem = "local files are not allowed by this client; pass a URL, bytes or a data URI"
    if local := [name for name, source in sources.items() if is_local_file(source)]:
        raise InvalidRequestError(dict.fromkeys(local, problem))


async def _in_thread(source: ImageLike, limit: int, max_side: int | None) -> Image:
    # Reading a pipe may never end; the thread is abandoned if the caller is cancelled.
    return await anyio.to_thread.run_sync(_read, source, limit, max_side, abandon_on_cancel=True)


def _read(
    source: ImageLike,
    limit: int,
    max_side: int | None,
    kind: MediaKind = "image",
    given: ImageLike | None = None,
) -> Image:
    """Read, scale and check an image. Blocking, so it runs in a thread.

    `given` is the source to name in errors, if it is another than `source`.
    """
    named = _named(source if given is None else given)
    try:
        # Before scaling, an image may be larger.
        data = _content(source, limit if max_side is None else max(limit, 10 * IMAGE_LIMIT))
        if max_side is not None:
            data = _scaled(data, max_side)
    except (_InvalidImageError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  a caller's file or Pillow may raise anything
        raise _InvalidImageError(f"cannot be read{named}: {_why(error)}") from None
    found = _checked_type(bytes(data[:HEAD_SIZE]), kind, named)
    digest = hashlib.sha256(data).hexdigest()
    return _check_image(Image(data.toreadonly(), found, digest), limit, kind, named)


def _checked_type(head: bytes, kind: MediaKind, named: str) -> str:
    """Return the media type of a file by its first bytes, if it is of the right kind."""
    if not head:
        raise _InvalidImageError(f"is empty{named}")
    found = media_type(head)
    if found is None or not _is_usable(found, kind):
        but = f", but {found}" if found else ""
        raise _InvalidImageError(f"is not {_SUPPORTED[kind].format(but=f'{but}{named}')}")
    return found


def _is_usable(type: str, kind: MediaKind) -> bool:
    return type in _VIDEO_TYPES if kind == "video" else type.startswith("image/")


def _check_image(image: Image, limit: int, kind: MediaKind, named: str = "") -> Image:
    """Return the image if it is of the right kind, and has at most `limit` bytes."""
    if not _is_usable(image.media_type, kind):
        but = f", but {image.media_type}"
        raise _InvalidImageError(f"is not {_SUPPORTED[kind].format(but=but)}")
    if image.size > limit:
        raise _too_large(limit, named, image.size, kind)
    return image


def _too_large(
    limit: int, named: str, size: int | None = None, kind: MediaKind = "image"
) -> _InvalidImageError:
    got = f"got {size / 2**20:.1f} MiB" if size is not None else "got more"
    smaller = "; await image_from(..., max_side=2048) makes it smaller" if kind == "image" else ""
    return _InvalidImageError(f"must be at most {limit / 2**20:g} MiB, {got}{named}{smaller}")


def _not_regular(path: Path) -> _InvalidImageError:
    return _InvalidImageError(f"not a regular file: {str(path)!r}")


def _named(source: ImageLike) -> str:
    is_path = isinstance(source, os.PathLike) or (
        isinstance(source, str) and not is_data_uri(source)
    )
    if not is_path:
        return ""
    with contextlib.suppress(TypeError):  # a broken `__fspath__`
        return f" ({os.fspath(cast('str | os.PathLike[str]', source))!r})"
    return ""


def _content(source: ImageLike, limit: int) -> memoryview:
    """Return the bytes of an image from any source."""
    if isinstance(source, Image | bytes):
        return source.data if isinstance(source, Image) else memoryview(source)
    if isinstance(source, bytearray | memoryview):
        view = memoryview(source)
        view = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        return _joined(view[start : start + STEP] for start in range(0, len(view), STEP))
    if is_pillow_image(source):
        return _from_pillow(source)
    if is_file(source):
        return _from_file(source, limit)
    if is_data_uri(source):
        return _from_data_uri(source, limit)
    return _from_path(Path(cast("str | os.PathLike[str]", source)), limit)


def _from_path(path: Path, limit: int) -> memoryview:
    named = f" ({str(path)!r})"
    with _explained(path):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block for ever
            raise _not_regular(path)
        if status.st_size > limit:
            raise _too_large(limit, named, status.st_size)
        with path.open("rb", buffering=0) as file:
            return _joined(_pieces(file, limit, named))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise `_InvalidImageError` instead of the errors of a path that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        folder = "" if "://" in str(path) or path.is_absolute() else f" in {Path.cwd()}"
        raise _InvalidImageError(f"file not found: {str(path)!r}{folder}") from None
    except (OSError, ValueError) as error:
        raise _InvalidImageError(f"cannot be read ({str(path)!r}): {_why(error)}") from None


def _from_file(file: Any, limit: int) -> memoryview:
    """Read an open file from its position, and restore the position if the file is seekable."""
    try:
        if not _is_seekable(file):
            return _joined(_pieces(file, limit, ""))
        with _file_locks.of(file):
            start = file.tell()
            try:
                return _joined(_pieces(file, limit, ""))
            finally:
                file.seek(start)
    except (OSError, ValueError) as error:
        raise _InvalidImageError(f"cannot be read: {_why(error)}") from None


def _is_seekable(file: Any) -> bool:
    return callable(getattr(file, "seekable", None)) and bool(file.seekable())


def _pieces(file: ReadsBytes, limit: int, named: str) -> Iterator[bytes]:
    size = 0
    while piece := file.read(STEP):
        if not isinstance(piece, bytes):
            if hasattr(piece, "close"):
                piece.close()  # a coroutine that is never awaited would cause a warning
            raise _InvalidImageError(
                "must be a file opened in binary mode ('rb'): its read() returned "
                f"{type(piece).__name__}, not bytes"
            )
        size += len(piece)
        if size > limit:
            raise _too_large(limit, named)
        yield piece


def _from_data_uri(uri: str, limit: int) -> memoryview:
    start = uri.index(",") + 1
    if (len(uri) - start) * 3 // 4 > limit + 2:
        raise _too_large(limit, "", (len(uri) - start) * 3 // 4)
    step = STEP // 3 * 4
    pieces = []
    for begin in range(start, len(uri), step):
        text = uri[begin : begin + step]
        try:
            piece = binascii.a2b_base64(text, strict_mode=True)
        except ValueError as error:  # binascii.Error is one
            raise _InvalidImageError(f"contains invalid Base64: {_why(error)}") from None
        if begin + step < len(uri) and text.endswith("="):
            raise _InvalidImageError("contains invalid Base64: characters after the padding")
        pieces.append(piece)
    return _joined(pieces)


def _joined(pieces: Iterable[bytes | memoryview]) -> memoryview:
    """Join pieces one by one, because a single long copy would block all other threads."""
    pieces = list(pieces)
    whole = bytearray(sum(map(len, pieces)))
    end = 0
    for piece in pieces:
        whole[end : end + len(piece)] = piece
        end += len(piece)
    return memoryview(whole)


def _from_pillow(image: SavesItself) -> memoryview:
    """Encode a Pillow image as PNG, without loss if PNG supports its mode."""
    mode = getattr(image, "mode", "RGB")
    if not all(image.size):
        raise _InvalidImageError("is empty: a Pillow image without pixels")
    if mode not in _LOSSLESS_MODES:
        image = image.convert(_NEAREST_MODES.get(mode, "RGB"))
    file = io.BytesIO()
    try:
        image.save(file, "PNG")
    except (OSError, ValueError) as error:  # Pillow reads files lazily, here at the latest
        raise _InvalidImageError(f"cannot be encoded: {_why(error)}") from None
    return memoryview(file.getvalue())


def _scaled(data: memoryview, max_side: int) -> memoryview:
    """Scale an image down if its longer side exceeds `max_side` pixels."""
    try:
        from PIL import Image as PillowImage  # noqa: PLC0415  only scaling needs the extra
        from PIL import ImageOps  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigurationError(
            'Scaling an image needs Pillow: pip install "luma-async[images]"'
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
            return _from_pillow(image)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=95, icc_profile=profile)
        return memoryview(file.getvalue())
    except (OSError, ValueError, PillowImage.DecompressionBombError) as error:
        raise _InvalidImageError(f"cannot be scaled: {_why(error)}") from None


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
