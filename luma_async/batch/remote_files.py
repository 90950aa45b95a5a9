"""Remote files: calls of an fsspec filesystem that block no event loop, with retries.

Only object stores let a file appear when all of it is there. Elsewhere a file is written under a
temporary name, and renamed once it is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread

from luma_async.batch.daemon_thread import in_daemon_thread
from luma_async.errors import ConfigurationError, LumaError
from luma_async.extras import is_installed
from luma_async.transport.retry_policy import retry_delays
from luma_async.transport.scrubbing import MASK

logger = logging.getLogger("luma_async")
T = TypeVar("T")

MAX_TRIES = 5
"""Maximum number of tries of a call. The filesystem package may repeat parts of each by itself."""

TIMEOUT = 60.0
"""Seconds for a call that transfers little."""

SLOWEST = 16 * 1024.0
"""Minimum speed of an upload in bytes per second, beyond the `TIMEOUT`."""

_UPLOAD_OPTIONS: dict[str, dict[str, Any]] = {
    # Parts of 8 MiB, two at a time: by default, a video of up to 100 MB is read into memory.
    "s3": {"chunksize": 8 * 2**20, "max_concurrency": 2},
    "s3a": {"chunksize": 8 * 2**20, "max_concurrency": 2},
    "gs": {"chunksize": 8 * 2**20},
    "gcs": {"chunksize": 8 * 2**20},
    "az": {},
    "abfs": {},
    "abfss": {},
}
"""Protocols whose files appear when they are whole, with the options of uploads."""

_THREAD = "luma-async remote files"

_PERMANENT = (
    PermissionError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    FileExistsError,
    ImportError,
    NotImplementedError,
    AttributeError,
    TypeError,
    ValueError,
)
"""Errors that another try would meet as well."""

_SECRET_NAMES = re.compile(
    r"SECRET|TOKEN|PASSWORD|(?:ACCESS|ACCOUNT)_KEY|CREDENTIAL", re.IGNORECASE
)
"""Names of variables of the environment with secrets."""

_MIN_SECRET = 8
"""Minimum characters of a secret. A shorter one may be part of common words."""

_LOGIN = re.compile(r"://[^/:@]*:([^/]*)@")
_LOGIN_WITH_SLASH = re.compile(r"://[^/:@]*:(?!\d+/)(.*)@")
"""A login with a password. It should be quoted, and may not be; `host:22/` has none."""

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class RemoteError(Exception):
    """A call failed for good. The text says why, without secrets.

    Attributes:
        is_missing: `True` if the file, its folder or its bucket does not exist.
        retry_after: `None`; filesystems do not tell when to try again.

    """

    retry_after = None

    def __init__(self, why: str, *, is_missing: bool = False) -> None:
        super().__init__(why)
        self.is_missing = is_missing


def is_remote(place: str) -> bool:
    """Return `True` for a URL, `False` for the path of a folder."""
    return _URL.match(place) is not None


def without_secrets(url: str) -> str:
    """Return a URL for display: without a password, and without values of parameters."""
    if (password := _password(url)) is not None:
        url = url.replace(f":{password}@", f":{MASK}@", 1)
    place, mark, query = url.partition("?")
    names = [part.partition("=")[0] for part in query.split("&")] if mark else []
    return place + mark + "&".join(f"{name}={MASK}" for name in names)


def _password(url: str) -> str | None:
    found = _LOGIN.search(url) or _LOGIN_WITH_SLASH.search(url)
    return None if found is None else found[1]


class RemoteFiles:
    """Files below a URL. All names are relative to it.

    Args:
        url: a URL for fsspec, such as `s3://bucket/prefix`. Credentials come from the environment,
            or from the configuration of the filesystem package.

    Raises:
        ConfigurationError: it is not a URL, or fsspec is not installed.

    """

    def __init__(self, url: str) -> None:
        if not is_remote(url):
            raise ConfigurationError(
                f"The output must be a URL such as s3://bucket/folder, got {url!r}."
            )
        self.shown = without_secrets(url).rstrip("/")
        if not is_installed("fsspec"):
            raise ConfigurationError(
                f'Output to {self.shown} needs fsspec: pip install "luma-async[remote]"'
            )
        self._url = url
        self._protocol = re.split(r"://|::", url)[0].lower()
        self._fs: Any = None
        self._root = ""
        self._has_failed = False
        """`True` if the connection of the filesystem may be broken."""
        self._connecting = asyncio.Lock()
        self._turn = asyncio.Lock()
        """For filesystems with one connection, over which calls would mix in several threads."""

    @property
    def are_whole(self) -> bool:
        """`True` if a file of this protocol appears when all of it is there."""
        return self._protocol in _UPLOAD_OPTIONS

    async def _connect(self) -> None:
        async with self._connecting:
            if self._fs is None or (self._has_failed and not self._fs.async_impl):
                # In a thread: importing s3fs takes a second.
                self._fs, self._root = await in_daemon_thread(self._filesystem, name=_THREAD)
                self._has_failed = False

    def _filesystem(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # noqa: PLC0415  an extra, which only some batches need

        options = {"use_listings_cache": False, "skip_instance_cache": self._has_failed}
        try:
            fs, root = url_to_fs(self._url, **options)
        except ImportError as error:
            package = _package_of(self._protocol) or error.name or "another package"
            raise ConfigurationError(
                f"Output to {self.shown} needs {package}: pip install {package}"
            ) from None
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"Output to {self.shown} is not possible: {self._why(error)}."
            ) from None
        root = str(root).rstrip("/")
        if self.are_whole and not root:
            raise ConfigurationError(
                f"The output must be a URL with a bucket, such as {self._protocol}://bucket/folder."
            )
        return fs, root

    async def prepare(self, name: str) -> None:
        """Load the filesystem package, and create a folder, unless the filesystem has none.

        Raises:
            ConfigurationError: the package is not installed, or does not accept the URL.
            RemoteError: the folder cannot be created.

        """
        if self.are_whole:  # in an object store, creating a folder would create a missing bucket
            await self._repeat(_nothing)
        else:
            await self._repeat(lambda: self._call("makedirs", self._path(name), exist_ok=True))

    async def sizes(self, folder: str) -> dict[str, int | None]:
        """Return the sizes of all files in a folder, by their names within it, from one listing.

        Raises:
            RemoteError: the folder cannot be listed.

        """
        try:
            found = await self._repeat(lambda: self._call("ls", self._path(folder), detail=True))
        except RemoteError as error:
            if error.is_missing:
                return {}  # it is created by the first upload
            raise
        return {
            str(each["name"]).rpartition("/")[2]: each.get("size")
            for each in found
            if each.get("type") == "file"
        }

    async def read(self, name: str) -> bytes | None:
        """Return the content of a file, or `None` if there is none.

        Raises:
            RemoteError: it cannot be read.

        """
        try:
            return bytes(await self._repeat(lambda: self._call("cat_file", self._path(name))))
        except RemoteError as error:
            if error.is_missing:
                return None
            raise

    async def create(self, name: str) -> None:
        """Create an empty file, or empty one.

        Raises:
            RemoteError: it cannot be created.

        """
        await self._repeat(lambda: self._call("pipe_file", self._path(name), b""))

    async def upload(self, path: Path, name: str) -> int:
        """Upload a file, and return its size. It appears whole, or not at all.

        Raises:
            RemoteError: it was not uploaded.

        """
        size = (await anyio.to_thread.run_sync(path.stat)).st_size
        timeout = TIMEOUT + size / SLOWEST
        await self._repeat(lambda: self._upload(path, self._path(name), size), timeout=timeout)
        logger.info("%s/%s was uploaded (%d bytes).", self.shown, name, size)
        return size

    async def _upload(self, path: Path, target: str, size: int) -> None:
        if self.are_whole:
            options = _UPLOAD_OPTIONS[self._protocol]
            await self._call("put_file", str(path), target, **options)
            return
        folder, _, name = target.rpartition("/")
        temporary = f"{folder}/.{name}.part"
        await self._call("put_file", str(path), temporary)
        found = (await self._call("info", temporary)).get("size")
        if found not in (None, size):
            raise OSError(f"only {found} of {size} bytes arrived")
        await self._rename(temporary, target)

    async def keep(self, name: str, kept: str) -> bool:
        """Give a file a second name, and return `True` if there is a file of that name then.

        No file is overwritten. Where files cannot be copied in one step, the file is renamed.

        Raises:
            RemoteError: the file cannot be kept.

        """
        return await self._repeat(lambda: self._keep(self._path(name), self._path(kept)))

    async def _keep(self, path: str, target: str) -> bool:
        if await self._exists(target):
            return True
        if not await self._exists(path):
            return False
        if self.are_whole:
            await self._call("cp_file", path, target)
        else:
            await self._rename(path, target)
        return True

    async def remove(self, name: str) -> None:
        """Remove a file, if it exists.

        Raises:
            RemoteError: it cannot be removed.

        """
        await self._repeat(lambda: self._remove(self._path(name)))

    async def _remove(self, path: str) -> None:
        if await self._exists(path):
            await self._call("rm_file", path)

    async def _exists(self, path: str) -> bool:
        try:
            await self._call("info", path)
        except FileNotFoundError:
            return False
        return True

    async def _rename(self, path: str, target: str) -> None:
        from fsspec import AbstractFileSystem  # noqa: PLC0415  an extra

        if type(self._fs).mv is not AbstractFileSystem.mv:
            await self._call("mv", path, target)
            return
        # Its own `mv` would read special characters of the folder as a pattern.
        await self._call("cp_file", path, target)
        await self._call("rm_file", path)

    async def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the filesystem in its own event loop, or else in a thread."""
        fs = self._fs
        if fs.async_impl and (function := getattr(fs, f"_{method}", None)) is not None:
            running = asyncio.run_coroutine_threadsafe(function(*arguments, **options), fs.loop)
            return await asyncio.wrap_future(running)
        function = partial(getattr(fs, method), *arguments, **options)
        try:
            return await in_daemon_thread(function, name=_THREAD)
        except asyncio.CancelledError:
            self._has_failed = True  # the thread still uses the connection
            raise

    async def _repeat(self, call: Callable[[], Awaitable[T]], *, timeout: float = TIMEOUT) -> T:
        """Return the result of a call, and try again after errors that may be temporary.

        Raises:
            RemoteError: the last try failed, or an error is permanent.

        """
        pauses = retry_delays()
        next(pauses)
        for tries in itertools.count(1):
            try:
                return await self._try(call, timeout)
            except LumaError:
                raise
            except Exception as error:  # noqa: BLE001  each package has errors of its own
                why = self._why(error)
                if tries == MAX_TRIES or _is_permanent(error):
                    raise RemoteError(why, is_missing=_is_missing(error)) from None
                self._has_failed = True
                pause = pauses.send(RemoteError(why))
                logger.info("%s: %s. Trying again in %.1f s.", self.shown, why, pause)
            await asyncio.sleep(pause)
        raise AssertionError

    @property
    def _secrets(self) -> list[str]:
        """Passwords and keys of the URL and the environment. An error might repeat them."""
        found = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name)]
        found.append(_password(self._url) or "")
        return [secret for secret in found if len(secret) >= _MIN_SECRET]

    async def _try(self, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        async with asyncio.timeout(TIMEOUT):
            await self._connect()
        async with contextlib.nullcontext() if self._fs.async_impl else self._turn:
            async with asyncio.timeout(timeout):
                return await call()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _why(self, error: BaseException) -> str:
        """Return an error in one line, without secrets."""
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            text = "no answer in time"
        if _is_missing(error):
            text = f"not found ({text})"
        text = " ".join(str(text).replace(self._url, self.shown).split()).rstrip(".")
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text if len(text) <= 300 else f"{text[:297]}..."


async def _nothing() -> None:
    """Do nothing: the connection is all that is wanted."""


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError)


def _is_permanent(error: BaseException) -> bool:
    return isinstance(error, _PERMANENT) or "Credentials" in type(error).__name__


def _package_of(protocol: str) -> str | None:
    """Return the package with the filesystem of a protocol, unless fsspec has it."""
    from fsspec.registry import known_implementations  # noqa: PLC0415  an extra

    known = known_implementations.get(protocol)
    package = None if known is None else str(known["class"]).partition(".")[0]
    return None if package == "fsspec" else package
