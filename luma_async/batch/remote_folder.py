"""Remote folder: the files of a batch at a URL that fsspec can write, such as `s3://bucket/cats`.

A file is downloaded to the staging folder, and uploaded from there when it is whole. It stays there
until the result of its row is recorded. So a run that was killed at any moment is continued without
downloading a whole file again. Each job has a folder of its own there, named by its id, so that no
file in it can be that of another job.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread

from luma_async.batch.earlier_videos import EarlierVideo, names_of_row, row_files
from luma_async.batch.output import MARKER, VIDEOS, Output, download_files, saved_files
from luma_async.batch.output_folder import OutputFolder
from luma_async.batch.remote_files import RemoteError, RemoteFiles, is_remote
from luma_async.batch.results import Result, ResultState, RowFiles
from luma_async.batch.results_file import NAME, parse_results
from luma_async.client import LumaClient
from luma_async.errors import BatchError, DownloadError
from luma_async.generation import Generation
from luma_async.media.filenames import safe_stem

STAGING = ".upload"
"""Name of the folder for files on their way, in the local folder."""

_PUBLISHED = "published.json"
"""Name of the note in the staging folder with a digest of the results that were copied last."""


REMOVE_TIMEOUT = 10.0
"""Maximum seconds for the removal of a marker: the end of a batch waits for it."""


class RemoteFolder:
    """Files of a batch at a URL.

    In another process, where it comes in pickled form, files on their way are in the cache folder
    of the user, because the local folder is that of one machine.

    Args:
        url: the URL for fsspec.
        folder: a local folder for the files on their way.

    Raises:
        ConfigurationError: it is not a URL, or fsspec is not installed.

    """

    is_remote = True

    def __init__(self, url: str, folder: Path) -> None:
        self._files = RemoteFiles(url)
        self._url = url
        self._staging = folder / STAGING
        self._of = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._slots: anyio.Semaphore | None = None

    def __reduce__(self) -> tuple[Callable[[str], RemoteFolder], tuple[str]]:
        return _elsewhere, (self._url,)

    @property
    def place(self) -> str:
        """URL for messages, without a password."""
        return self._files.shown

    async def prepare(self) -> None:
        """Load the filesystem package, and create the folder of the videos if there are folders.

        Raises:
            BatchError: the URL cannot be used.
            ConfigurationError: the filesystem package is not installed.

        """
        try:
            await self._files.prepare(VIDEOS)
        except RemoteError as error:
            raise self._unusable(error) from None

    async def create_marker(self, marker: str) -> None:
        """Create the marker of a run on a cluster, and remove those of runs that were killed.

        Each run has another name for its marker, because a cache may have the content of an object
        that was replaced. It is in the folder of the videos: the place that workers write to, where
        a listing has no objects of others.

        Raises:
            BatchError: it cannot be created.

        """
        try:
            with suppress(RemoteError):  # keys that may write need not have the right to remove
                for name in await self._files.sizes(VIDEOS):
                    if name.startswith(MARKER):
                        await self._files.remove(f"{VIDEOS}/{name}")
            await self._files.create(f"{VIDEOS}/{marker}")
        except RemoteError as error:
            raise self._unusable(error) from None

    async def check_marker(self, marker: str) -> None:
        """Check on a worker that this is the place where the marker was created.

        An empty file is written there and removed, because keys may allow no more than to read.

        Raises:
            BatchError: it is not, or the worker has no right to read or to write there.
            ConfigurationError: the filesystem package is not installed.

        """
        try:
            is_there = await self._files.read(f"{VIDEOS}/{marker}") is not None
        except RemoteError as error:
            raise self._unusable_here("read", error) from None
        if not is_there:
            raise BatchError(
                f"The output {self.place} of the batch is not there, or it is another place of "
                "that name. Choose one that all machines share, such as a bucket."
            )
        # Each worker has a name of its own: stores limit how often an object may be replaced.
        own = f"{VIDEOS}/{marker}-{uuid4().hex[:8]}"
        try:
            await self._files.create(own)
        except RemoteError as error:
            raise self._unusable_here("written to", error) from None
        with suppress(RemoteError):  # the next run on a cluster removes it otherwise
            await self._files.remove(own)

    async def remove_marker(self, marker: str) -> None:
        """Remove a marker, if that is possible."""
        with anyio.move_on_after(REMOVE_TIMEOUT), suppress(RemoteError):
            await self._files.remove(f"{VIDEOS}/{marker}")

    async def earlier_results(self) -> list[Result]:
        """Return the results at the URL, unless this local folder has written them last.

        Raises:
            BatchError: they cannot be read.

        """
        try:
            content = await self._files.read(NAME)
        except RemoteError as error:
            raise self._unusable(error) from None
        if content is None or await anyio.to_thread.run_sync(self._is_own, content):
            return []
        return list(parse_results(content.decode("utf-8", errors="replace")))

    async def publish(self, path: Path) -> None:
        """Copy a file of the batch to the URL, such as its results or its gallery.

        Raises:
            BatchError: it was not copied.

        """
        try:
            copy, digest = await anyio.to_thread.run_sync(self._snapshot, path)
            await self._files.upload(copy, path.name)
            if path.name == NAME:
                await anyio.to_thread.run_sync(self._note_published, digest)
        except (RemoteError, OSError) as error:
            raise BatchError(
                f"{path.name} cannot be copied to {self.place}: {error}. Correct the problem, and "
                "run the batch again."
            ) from None

    async def keys_with_files(self, results: Iterable[Result]) -> set[str]:
        """Return the keys of the rows that are done and have all their files, from one listing.

        Raises:
            BatchError: the URL cannot be listed.

        """
        sizes = await self._sizes()
        return {result.key for result in results if _has_files(result, sizes)}

    async def save(self, luma: LumaClient, generation: Generation, key: str) -> RowFiles:
        """Download the files of a completed job, and upload them.

        Raises:
            DownloadError: a file was not uploaded.
            LumaError: a file did not arrive.

        """
        folder = self._staging / safe_stem(generation.id)
        paths, main = await download_files(luma, generation, folder, key, overwrite=False)
        if self._slots is None:
            self._slots = anyio.Semaphore(luma.max_downloads)
        sizes = []
        for path in paths:
            async with self._slots:
                try:
                    sizes.append(await self._files.upload(path, f"{VIDEOS}/{path.name}"))
                except (RemoteError, OSError) as error:
                    raise DownloadError(
                        f"The file of row {key!r} is in {path}, but was not uploaded to "
                        f"{self.place}: {error}. The next run uploads it."
                    ) from None
        files = [f"{VIDEOS}/{path.name}" for path in paths]
        return saved_files(generation, files, main, sizes)

    async def release(self, results: Iterable[Result]) -> None:
        """Remove the files of rows from the staging folder, once their results are recorded."""
        done = [each for each in results if each.state is ResultState.DONE]
        await anyio.to_thread.run_sync(self._remove, {each.id for each in done if each.id})

    def _remove(self, ids: set[str]) -> None:
        names = set(map(safe_stem, ids))
        if names and self._staging.is_dir():
            for path in self._staging.iterdir():
                if path.name in names:
                    shutil.rmtree(path, ignore_errors=True)

    async def keep_earlier(self, result: Result) -> tuple[EarlierVideo, ...]:
        """Return the earlier videos of a row, and keep the files of its result among them.

        Raises:
            BatchError: a file cannot be kept.

        """
        known = tuple(video for video in result.earlier if video.id != result.id)
        if result.id is None:
            return known
        video = EarlierVideo(id=result.id, prompt=result.prompt or None)
        for file in row_files(result):
            kept = _kept_name(file, result.id)
            try:
                is_kept = await self._files.keep(file, kept)
                if not file.endswith(".mp4"):  # the new file may have another suffix
                    await self._files.remove(file)
            except RemoteError as error:
                raise BatchError(
                    f"The earlier file {file} cannot be kept as {kept} at {self.place}: {error}. "
                    "The new one is not downloaded until it can."
                ) from None
            if is_kept and file == result.file:
                video = replace(video, file=kept)
        return (*known, video)

    async def files_of_row(self, key: str) -> list[str]:
        """Return the files that a row has by their names, the main file first.

        Raises:
            BatchError: the URL cannot be listed.

        """
        sizes = await self._sizes()
        return [f"{VIDEOS}/{name}" for name in names_of_row(sizes, safe_stem(key))]

    async def _sizes(self) -> dict[str, int | None]:
        """Return the size of each file in the folder of the videos, from one listing.

        Raises:
            BatchError: the URL cannot be listed.

        """
        try:
            return await self._files.sizes(VIDEOS)
        except RemoteError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: RemoteError) -> BatchError:
        return BatchError(f"{self.place} cannot be used: {error}. Nothing was submitted.")

    def _unusable_here(self, how: str, error: RemoteError) -> BatchError:
        return BatchError(
            f"{self.place} cannot be {how}: {error}. Each worker needs its own credentials, with "
            "the right to read and to write."
        )

    def _snapshot(self, path: Path) -> tuple[Path, str]:
        """Copy a file that may grow meanwhile, and return the copy and a digest of it."""
        self._staging.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        content = content[: content.rfind(b"\n") + 1] if path.name == NAME else content
        copy = self._staging / path.name
        if copy != path:
            copy.write_bytes(content)
        return copy, hashlib.sha256(content).hexdigest()

    def _note_published(self, digest: str) -> None:
        text = json.dumps({"of": self._of, "digest": digest})
        new = self._staging / f"{_PUBLISHED}.new"
        new.write_text(text, "utf-8")
        new.replace(self._staging / _PUBLISHED)

    def _is_own(self, content: bytes) -> bool:
        """Return `True` if this local folder has written the results at the URL."""
        try:
            note = json.loads((self._staging / _PUBLISHED).read_text("utf-8"))
        except (OSError, ValueError):
            return False
        return bool(note == {"of": self._of, "digest": hashlib.sha256(content).hexdigest()})


def _elsewhere(url: str) -> RemoteFolder:
    from platformdirs import user_cache_path  # noqa: PLC0415  of the extra

    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return RemoteFolder(url, user_cache_path("luma-async") / digest)


def _kept_name(file: str, id: str) -> str:
    stem, dot, suffix = file.rpartition(".")
    return f"{stem}.{safe_stem(id)}{dot}{suffix}"


def _has_files(result: Result, sizes: dict[str, int | None]) -> bool:
    """Return `True` if a row is done, and its files are in a listing with their sizes."""
    if result.state is not ResultState.DONE or result.file is None:
        return False
    files = [(each.file, each.bytes) for each in result.outputs] or [(result.file, result.bytes)]
    for file, size in files:
        folder, _, name = file.rpartition("/")
        if folder != VIDEOS or name not in sizes:
            return False
        if size is not None and sizes[name] not in (None, size):
            return False
    return True


def open_output(place: str, folder: Path) -> Output:
    """Return the output at a path or a URL, in any process.

    At a URL, `folder` is a local folder for files on their way.

    Raises:
        ConfigurationError: fsspec is not installed.

    """
    return RemoteFolder(place, folder) if is_remote(place) else OutputFolder(Path(place))
