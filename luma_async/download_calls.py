"""Download calls: the methods of `LumaClient` that save the files of jobs."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import overload

from luma_async.concurrency import HomeLoop
from luma_async.media.downloads import (
    Download,
    DownloadOptions,
    Downloads,
    Source,
    Sources,
    check_folder,
    download_all,
)
from luma_async.media.job_files import What
from luma_async.media.progress_reports import ProgressCallback
from luma_async.tasks.arguments import OneJob, PassAList, check_source, checked_sources


class DownloadCalls:
    """Base of `LumaClient` with the calls that save files."""

    _home: HomeLoop
    _downloads: Downloads

    @property
    def max_downloads(self) -> int:
        """Maximum number of downloads at a time."""
        return self._downloads.max_downloads

    async def download(
        self,
        source: Source,
        path: str | os.PathLike[str],
        *,
        what: What = "output",
        watermark_free: bool = True,
        progress: ProgressCallback | None = None,
        overwrite: bool = False,
        max_bytes: int | None = None,
    ) -> Path:
        """Download a file of a job to a path, or into a folder under its id, and return the path.

        >>> await luma.download(video, "cat.mp4")                      # doctest: +SKIP
        >>> await luma.download(video, "videos/", what="thumbnail")    # doctest: +SKIP

        The file gets its name when it is complete; until then it is `name.part`. After a lost
        connection, a cancellation or a crash, the same call continues the download, if the server
        still has the same version of the file. A job that is still running is awaited, and expired
        links are requested again.

        Args:
            source: a handle, a generation, an outcome or an id.
            path: a file, or a folder: one that exists, or ends with a slash.
            what: `"output"`: the video, or the first output of a job without one. Or `"video"`,
                `"image"`, `"exr"`, `"raw"`, `"thumbnail"`, `"last_frame"`, or the number of an
                output, counted from 0 in `Generation.outputs`.
            watermark_free: `True` to prefer a video without a watermark: `video.download_url`,
                `video_raw` or `watermark_free_url()`. If there is none, the one with a watermark
                is downloaded, and the log has a warning. Servers without such links are not asked.
            progress: called with the bytes so far, and the total (`None` if the server does not
                say). It may be async: the transfer goes on while it runs, and the reports of that
                time are merged into its next call. The last report is never left out.
            overwrite: `True` to replace a file of that name.
            max_bytes: maximum size of the file, such as that of an attachment. A larger one is a
                `DownloadError`, as soon as its size is known. The limit of the client,
                `max_download_bytes`, applies as well.

        Raises:
            DownloadError: the file does not exist or did not arrive whole, or another has its name.
            ClientClosedError: the client was closed first.
            LumaError: as awaiting the source.

        """
        self._home.enter()
        check_source(source, outcomes=True)
        options = DownloadOptions(what, watermark_free, overwrite, max_bytes)
        return await self._downloads.to_path(path, source, options, progress=progress)

    async def download_outputs(
        self,
        source: Source,
        folder: str | os.PathLike[str],
        *,
        name: str | None = None,
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> tuple[Path, ...]:
        """Download all outputs of a job into a folder, and return their paths in the same order.

        >>> await luma.download_outputs(layers, "images")              # doctest: +SKIP
        (Path('images/job-1.png'), Path('images/job-1.1-cat.png'))

        The video, or the first output of a job without one, is named by the id of the job. The
        others have their number in their names as well, and the label of their layer. Files that
        exist are not downloaded again, unless `overwrite=True`. If a file does not arrive, the
        others are downloaded all the same.

        Args:
            source: a handle, a generation, an outcome or an id.
            folder: the folder; it is created if it does not exist.
            name: the name of the files, in place of the id. Characters that are not valid in names
                on every system are replaced.
            watermark_free: as in `download()`.
            overwrite: `True` to replace files that exist.

        Raises:
            DownloadError: a file did not arrive whole.
            ClientClosedError: the client was closed first.
            LumaError: as awaiting the source.

        """
        self._home.enter()
        check_source(source, outcomes=True)
        options = DownloadOptions("output", watermark_free, overwrite)
        return await self._downloads.outputs_to_folder(folder, source, options, name=name)

    @overload
    def download_all(  # type: ignore[overload-overlap]
        self,
        sources: OneJob,
        folder: str | os.PathLike[str],
        *,
        what: What = "output",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> PassAList: ...

    @overload
    def download_all(
        self,
        sources: Sources,
        folder: str | os.PathLike[str],
        *,
        what: What = "output",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> AsyncGenerator[Download, None]: ...

    def download_all(
        self,
        sources: Sources | OneJob,
        folder: str | os.PathLike[str],
        *,
        what: What = "output",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> AsyncGenerator[Download, None] | PassAList:
        """Download any number of files into a folder, and yield the result of each.

        >>> async for file in luma.download_all(luma.run_many(prompts), "videos"):  # doctest: +SKIP
        ...     print(file.path or file.error)

        `sources` is an iterable or async iterable of outcomes, handles, generations and ids. It is
        read lazily, at most a hundred items ahead, so a slow reader of results slows it down. Each
        file is downloaded when its job has ended, `max_downloads` at a time, under the name that
        `download()` gives it in a folder. Files that exist are not downloaded again, unless
        `overwrite=True`. A job or a download that fails is a `Download` with an error, and does not
        affect the others.

        Raises:
            InvalidRequestError: `sources` is a single job; raised by the call itself.
            DownloadError: `folder` is an empty text; raised by the call itself.

        """
        many = checked_sources(sources)
        check_folder(folder)
        options = DownloadOptions(what, watermark_free, overwrite)
        return download_all(
            many,
            lambda source: self._downloads.to_folder(folder, source, options),
            home=self._home,
        )
