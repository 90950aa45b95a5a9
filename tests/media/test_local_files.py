"""Local files: the same file is read once for many requests, and again after it was changed."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from luma_async.dialects.agents_file_calls import AgentsFileCalls
from luma_async.image_sources import Image, LocalFile
from luma_async.media import local_files
from luma_async.media.image_reader import ImageReader
from luma_async.media.local_files import FileVersionOnDisk, LocalFiles, path_of
from luma_async.requests import GenerateRequest
from tests.clients import until
from tests.media.image_files import an_image
from tests.platforms import needs_posix

PNG = an_image()
LARGE = PNG + bytes(AgentsFileCalls.inline_limit)


def settled(path: Path, content: bytes) -> Path:
    """Write a file, and return its path when a further change would be noticed."""
    path.write_bytes(content)
    while not FileVersionOnDisk.of(path.stat()).is_settled(time.time()):
        time.sleep(0.01)
    return path


def test_a_digest_is_computed_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of the content, or another file under the name, is noticed."""
    path, files = settled(tmp_path / "cat.png", PNG), LocalFiles()
    computed: list[Any] = []
    digest = local_files._digest

    def counted(file: Any) -> str:
        computed.append(file)
        return digest(file)

    monkeypatch.setattr(local_files, "_digest", counted)

    assert [files.digest(path) for _ in range(3)] == [hashlib.sha256(PNG).hexdigest()] * 3
    assert len(computed) == 1
    settled(path, PNG[:-1] + b"!")
    assert files.digest(path) == hashlib.sha256(PNG[:-1] + b"!").hexdigest()
    settled(tmp_path / "dog.png", PNG).replace(path)
    assert files.digest(path) == hashlib.sha256(PNG).hexdigest()
    assert len(computed) == 3


@pytest.mark.parametrize(
    ("modified", "changed", "now", "is_settled"),
    [
        (10.5, 10.5, 10.5, False),
        (10.5, 10.5, 10.51, False),
        (10.5, 10.5, 10.6, True),
        (1.5, 10.5, 10.51, False),  # a copy that keeps the time of the original
        (10.0, 10.0, 11.0, False),  # a file system with whole seconds
        (10.0, 10.0, 13.0, True),
        (10.0, 10.5, 11.0, True),  # a time that a program has set
        (99.5, 99.5, 11.0, False),  # a clock that is ahead
    ],
)
def test_a_file_is_settled_when_a_further_change_would_be_noticed(
    modified: float, changed: float, now: float, is_settled: bool
) -> None:
    """File systems have times of different precision."""
    version = FileVersionOnDisk(1, 1, 1, int(modified * 1e9), int(changed * 1e9))
    assert version.is_settled(now) is is_settled


async def test_an_image_is_in_memory_once_for_all_requests_that_hold_it(tmp_path: Path) -> None:
    """It is read once, also if all requests begin at once, and let go with the last of them."""
    path = settled(tmp_path / "cat.png", PNG)
    reader = ImageReader(at_once=50)
    held: list[Any] = []
    release = asyncio.Event()

    async def hold() -> None:
        async with reader.read(GenerateRequest("a cat", image=path)) as request:
            held.append(request.images()["image"])
            if len(held) == 50:
                release.set()
            await release.wait()

    await asyncio.gather(*(hold() for _ in range(50)))

    assert len(set(map(id, held))) == 1
    assert bytes(held[0]) == PNG
    held.clear()
    await until(lambda: gc.collect() >= 0 and not reader._local_files._images)


@pytest.mark.parametrize("content", [PNG, LARGE], ids=["small", "large"])
async def test_only_large_images_stay_on_the_disk(content: bytes, tmp_path: Path) -> None:
    """The limit is that of the dialect; without uploads, each image is read."""
    path = tmp_path / "cat.png"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    request = GenerateRequest("a cat", image=path)
    for files in (None, AgentsFileCalls()):
        async with ImageReader(at_once=1, files=files).read(request) as read:
            image = read.images()["image"]
        if files is not None and content is LARGE:
            assert image == LocalFile(str(path), len(content), "image/png", digest)
        else:
            assert isinstance(image, Image)
            assert (bytes(image), image.sha256) == (content, digest)


@needs_posix
def test_an_open_file_is_read_from_the_disk_if_that_is_the_same(tmp_path: Path) -> None:
    """Not if it was moved or replaced, is not at its beginning, or has no name."""
    path = tmp_path / "cat.png"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        assert path_of(file) == path
        file.read(1)
        assert path_of(file) is None
        file.seek(0)
        path.rename(tmp_path / "moved.png")
        assert path_of(file) is None
        path.write_bytes(PNG)
        assert path_of(file) is None
    assert path_of(file) is None
    with open(os.open(path, os.O_RDONLY), "rb") as file:  # noqa: PTH123
        assert path_of(file) is None
    assert path_of(PNG) is None
