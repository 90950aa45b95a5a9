"""Agent folder: the only folder that an agent's downloads go to, and that its images come from.

An agent may follow instructions that it has read somewhere. It must not be able to have any other
file of the machine sent away as an image, nor learn if such a file exists.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio.to_thread

from luma_async.errors import InvalidRequestError
from luma_async.image_sources import is_local_file
from luma_async.requests import JobRequest

DEFAULT_FOLDER = "luma-videos"

Request = TypeVar("Request", bound=JobRequest)


class AgentFolder:
    """A folder for downloads and images, and further folders that images may come from.

    `path` is absolute from the beginning. The folder need not exist yet.
    """

    def __init__(self, path: str | Path, *, image_folders: Iterable[str | Path] = ()) -> None:
        self.path = Path(path).expanduser().absolute()
        others = [Path(folder).expanduser().absolute() for folder in image_folders]
        self._readable = (self.path, *others)

    async def with_allowed_files(self, request: Request) -> Request:
        """Return a request with the full paths of its local files.

        A relative path begins at the folder.

        Raises:
            InvalidRequestError: a file is outside of the folders.

        """
        local = {
            place: source for place, source in request.images().items() if is_local_file(source)
        }
        if not local:
            return request
        return request.with_images(await anyio.to_thread.run_sync(self._allowed, local))

    def _allowed(self, sources: Mapping[str, Any]) -> dict[str, str]:
        """Return the full paths of files, with links followed, so that none leads outside."""
        roots = [folder.resolve() for folder in self._readable]
        found: dict[str, str] = {}
        for place, source in sources.items():
            path = _resolved(self.path / source)
            if path is None or not any(path.is_relative_to(root) for root in roots):
                raise InvalidRequestError.of(
                    place,
                    f"must be an http(s) URL, or a file in {self.path}. Other files of this "
                    "machine are not sent. If the user wants to send one, they can copy it there, "
                    "or name its folder in the option --image-folder of `luma-async mcp`",
                )
            found[place] = str(path)
        return found


def without_file_scheme(value: Any) -> Any:
    """Return a value of a field with paths in place of `file://` links, also inside of it.

    Downloads are reported with such links, so an agent passes them on.

    >>> without_file_scheme(["file:///videos/a%20cat.png", "cat.png"])
    ['/videos/a cat.png', 'cat.png']
    """
    if isinstance(value, Mapping):
        return {name: without_file_scheme(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_file_scheme(item) for item in value]
    if not isinstance(value, str) or value[:7].lower() != "file://":
        return value
    parts = urlsplit(value)
    # On Windows, the path of file:///C:/cat.png is C:\cat.png.
    return url2pathname(parts.path) if parts.netloc.lower() in ("", "localhost") else value


def _resolved(path: Path) -> Path | None:
    """Return a path with links followed, or `None` if it is not a valid path.

    A loop of links is left as it is: it is found when the file is read.
    """
    try:
        return Path(os.path.realpath(path))  # Path.resolve() raises an error for a loop until 3.12
    except ValueError:
        return None
