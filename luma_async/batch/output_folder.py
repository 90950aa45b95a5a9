"""Output folder: the files of a batch in a local folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import anyio.to_thread

from luma_async import paths
from luma_async.batch.earlier_videos import EarlierVideo, earlier_videos, names_of_row
from luma_async.batch.output import MARKER, VIDEOS, download_files, saved_files
from luma_async.batch.results import Result, RowFiles
from luma_async.batch.results_file import has_file
from luma_async.client import LumaClient
from luma_async.errors import BatchError
from luma_async.generation import Generation
from luma_async.media.filenames import safe_stem


class OutputFolder:
    """Files of a batch in a local folder, such as one that several machines share."""

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def place(self) -> str:
        """Path of the folder."""
        return str(self.folder)

    async def prepare(self) -> None:
        """Create the folder of the videos.

        Raises:
            BatchError: it cannot be created, or is not writable.

        """
        await anyio.to_thread.run_sync(self._create)

    def _create(self) -> None:
        videos = self.folder / VIDEOS
        try:
            videos.mkdir(parents=True, exist_ok=True)
            obstacle = paths.obstacle_in(videos)
        except OSError as error:
            raise BatchError(
                f"The folder {str(videos)!r} cannot be created: {error.strerror or error}. "
                "Nothing was submitted."
            ) from None
        if obstacle is not None:
            raise BatchError(f"{obstacle}. Nothing was submitted.")

    async def create_marker(self, marker: str) -> None:
        """Create the marker of a run on a cluster, and remove those of runs that were killed.

        Raises:
            BatchError: it cannot be created.

        """
        await anyio.to_thread.run_sync(self._create_marker, marker)

    def _create_marker(self, marker: str) -> None:
        path = self.folder / marker
        try:
            for other in self.folder.glob(f"{MARKER}*"):
                other.unlink(missing_ok=True)
            path.touch()
        except OSError as error:
            raise BatchError(
                f"The file {str(path)!r} cannot be created: {error.strerror or error}. "
                "Nothing was submitted."
            ) from None

    async def check_marker(self, marker: str) -> None:
        """Check on a worker that this is the folder where the marker was created.

        Raises:
            BatchError: it is not.

        """
        if not await anyio.to_thread.run_sync((self.folder / marker).is_file):
            raise BatchError(
                f"The output folder {self.place} of the batch is not there, or it is another "
                "folder of that name. Choose a folder that all machines share, or a URL."
            )

    async def remove_marker(self, marker: str) -> None:
        """Remove a marker, if that is possible."""
        path = self.folder / marker
        with suppress(OSError):
            await anyio.to_thread.run_sync(lambda: path.unlink(missing_ok=True))

    async def earlier_results(self) -> list[Result]:
        """Return no results: those of the batch are in its own folder."""
        return []

    async def publish(self, path: Path) -> None:
        """Do nothing: the files of the batch are in its own folder."""

    async def keys_with_files(self, results: Iterable[Result]) -> set[str]:
        """Return the keys of the rows that are done and have all their files."""
        found = list(results)
        return await anyio.to_thread.run_sync(
            lambda: {result.key for result in found if has_file(result, self.folder)}
        )

    async def save(self, luma: LumaClient, generation: Generation, key: str) -> RowFiles:
        """Download the files of a completed job to their names.

        Raises:
            LumaError: a file did not arrive.

        """
        folder = self.folder / VIDEOS
        paths, main = await download_files(luma, generation, folder, key, overwrite=True)
        return saved_files(generation, [self._name(path) for path in paths], main)

    async def release(self, results: Iterable[Result]) -> None:
        """Do nothing: the files are downloaded to where they stay."""

    async def keep_earlier(self, result: Result) -> tuple[EarlierVideo, ...]:
        """Return the earlier videos of a row, and keep the files of its result among them.

        Raises:
            BatchError: a file cannot be kept.

        """
        return await anyio.to_thread.run_sync(earlier_videos, result, self.folder)

    async def files_of_row(self, key: str) -> list[str]:
        """Return the files that a row has by their names, the main file first."""
        names = await anyio.to_thread.run_sync(os.listdir, self.folder / VIDEOS)
        return [f"{VIDEOS}/{name}" for name in names_of_row(names, safe_stem(key))]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()
