"""Output of a batch: the protocol of the places for its files, and the download of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import anyio.to_thread

from luma_async.batch.earlier_videos import EarlierVideo
from luma_async.batch.results import OutputFile, Result, RowFiles
from luma_async.client import LumaClient
from luma_async.generation import Generation
from luma_async.media.filenames import safe_stem

VIDEOS = "videos"
"""Name of the folder of the videos."""

MARKER = ".cluster-"
"""Beginning of the names of markers."""


def marker_of(run: str) -> str:
    """Return the name of the marker of a run: its workers recognise the output by that file."""
    return f"{MARKER}{run}"


class Output(Protocol):
    """Place for the files of a batch: a local folder, or a URL.

    All names of files are relative to it, with forward slashes: `videos/cat.mp4`. That is also how
    `results.jsonl` and the gallery name them. An output may be used in another process than the
    rest of its batch.
    """

    @property
    def is_remote(self) -> bool:
        """`True` if the place is a URL, so that the results and the gallery are copied there."""

    @property
    def place(self) -> str:
        """The path or URL for messages, without a password."""

    async def prepare(self) -> None:
        """Make the place usable. This comes before any submission.

        Raises:
            BatchError: no file can be written there.

        """

    async def create_marker(self, marker: str) -> None:
        """Create the marker of a run on a cluster, and remove those of runs that were killed.

        Raises:
            BatchError: it cannot be created.

        """

    async def check_marker(self, marker: str) -> None:
        """Check on a worker that this is the place where the marker was created.

        Raises:
            BatchError: it is not.

        """

    async def remove_marker(self, marker: str) -> None:
        """Remove a marker, if that is possible. The next run on a cluster removes it otherwise."""

    async def earlier_results(self) -> list[Result]:
        """Return the results that are there, and may be missing in the local folder.

        Raises:
            BatchError: they cannot be read.

        """

    async def publish(self, path: Path) -> None:
        """Copy a file of the batch there, such as its results or its gallery.

        Raises:
            BatchError: it was not copied.

        """

    async def keys_with_files(self, results: Iterable[Result]) -> set[str]:
        """Return the keys of the rows that are done and have all their files."""

    async def save(self, luma: LumaClient, generation: Generation, key: str) -> RowFiles:
        """Download the files of a completed job, and put them under the names of its row.

        A file without a result may be of another job that had the key of the row, so it is
        replaced.

        Raises:
            LumaError: a file did not arrive.

        """

    async def release(self, results: Iterable[Result]) -> None:
        """Remove the files of rows on their way, once the results of the rows are recorded."""

    async def keep_earlier(self, result: Result) -> tuple[EarlierVideo, ...]:
        """Return the earlier videos of a row, and keep the files of its result among them.

        This comes before the files of another job are saved under the same names.

        Raises:
            BatchError: a file cannot be kept.

        """

    async def files_of_row(self, key: str) -> list[str]:
        """Return the files that a row has by their names, the main file first."""


async def download_files(
    luma: LumaClient, generation: Generation, folder: Path, key: str, *, overwrite: bool
) -> tuple[list[Path], int]:
    """Download all files of a job into a folder, and return their paths and the main one's index.

    Files that exist are those of the job, unless they are to be overwritten.

    Raises:
        LumaError: a file did not arrive.

    """
    if generation.video is not None and len(generation.outputs) < 2:
        path = folder / f"{safe_stem(key)}.mp4"
        if not overwrite and await anyio.to_thread.run_sync(path.is_file):
            return [path], 0
        return [await luma.download(generation, path, overwrite=overwrite)], 0
    paths = await luma.download_outputs(generation, folder, name=key, overwrite=overwrite)
    main = generation.output
    found = zip(range(len(paths)), generation.outputs, strict=False)
    return list(paths), next((index for index, output in found if output is main), 0)


def saved_files(
    generation: Generation, files: list[str], main: int, sizes: Sequence[int] = ()
) -> RowFiles:
    """Return the files of a row by their names. A single file needs no list of outputs."""
    known: Sequence[int | None] = sizes or [None] * len(files)
    if len(files) < 2:
        return RowFiles(files[main], bytes=known[main])
    layers = [output.layer.label if output.layer else None for output in generation.outputs]
    outputs = [
        OutputFile(file=file, layer=layer, bytes=size)
        for file, layer, size in zip(files, layers, known, strict=True)
    ]
    return RowFiles(files[main], tuple(outputs), known[main])
