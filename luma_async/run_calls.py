"""Run calls: the methods of `LumaClient` that submit jobs and wait for their ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from collections.abc import Set as AbstractSet
from contextvars import copy_context
from functools import partial
from typing import Any, Unpack, overload
from weakref import WeakSet

from luma_async.callback_runner import check_callback
from luma_async.errors import InvalidRequestError, TaskTimeoutError
from luma_async.field_docs import with_fields_of
from luma_async.generation import Generation
from luma_async.job_calls import JobCalls
from luma_async.journal.bookkeeper import Bookkeeper
from luma_async.media.downloads import DownloadOptions, Downloads
from luma_async.positive_numbers import check_positive
from luma_async.requests import (
    ExtendFields,
    ExtendRequest,
    GenerateFields,
    GenerateRequest,
    JobRequest,
)
from luma_async.tasks import VideoTask
from luma_async.tasks.arguments import OneText, PassAList, checked_requests
from luma_async.tasks.job_log import log_cancelled_run
from luma_async.tasks.job_sources import JobSource
from luma_async.tasks.run_many import Job, Keyed, Outcome, Requests, Run
from luma_async.tasks.submitter import RetryUncertain, Submission, check_retries
from luma_async.tasks.task import UpdateCallback, check_timeout

OneRequest = OneText | Mapping[str, Any] | JobRequest | Keyed | Job

DEFAULT_RUN_TASKS = 100
"""Maximum number of running jobs of `run_many`, if neither it nor the client was given one."""


class RunCalls(JobCalls):
    """Base of `LumaClient` with the calls that do all of a job, or of many."""

    _bookkeeper: Bookkeeper | None
    _downloads: Downloads
    _max_requests: int
    _max_tasks: int | None
    _runs: WeakSet[Run]

    @overload
    async def run(
        self,
        prompt: str | GenerateRequest,
        *,
        extends: None = None,
        download: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[GenerateFields],
    ) -> Generation: ...

    @overload
    async def run(
        self,
        prompt: str | ExtendRequest,
        *,
        extends: JobSource,
        download: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[ExtendFields],
    ) -> Generation: ...

    @overload
    async def run(
        self,
        prompt: JobRequest,
        *,
        source: JobSource | None = None,
        download: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
    ) -> Generation: ...

    @with_fields_of(GenerateRequest, GenerateFields)
    async def run(
        self,
        prompt: str | JobRequest,
        *,
        extends: JobSource | None = None,
        source: JobSource | None = None,
        download: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Any,
    ) -> Generation:
        """Submit a job, wait until it is completed, and return its generation.

        >>> video = await luma.run("a cat dances", download="cat.mp4")         # doctest: +SKIP
        >>> print(video.url)                                                   # doctest: +SKIP

        This is `generate()`, `extend()` or `submit()`, then `await task` and `download()`, in one
        call.

        If a file with the name of the download exists, or none can be written in its folder, the
        call is an error, and nothing is submitted. With a `key` that the journal knows, the file
        counts as that of its job: it is neither downloaded again nor an error, so that a worker may
        repeat the call. A job that is to be submitted again has no file yet.

        If the caller is cancelled, the job continues, and the log tells its id.

        Args:
            prompt: the prompt, or a request of any kind.
            extends: the video to extend: a handle, a generation or an id. Without it, a prompt is
                for a new video. An extension has no `loop`.
            source: the job whose output a request of another kind works on, in the same forms.
            download: the file to save the video in, or a folder: one that exists, or ends with a
                slash.
            overwrite: `True` to replace a file of that name.
            timeout: seconds to wait for the job once it is submitted, more than 0; no limit by
                default.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `GenerateRequest`, or with `extends` those of `ExtendRequest`.

        Raises:
            GenerationFailedError: the job failed.
            TaskTimeoutError: the job did not end in time; it is still watched.
            DownloadError: the file exists or cannot be written, and nothing was submitted; or it
                did not arrive whole.
            LumaError: as in `generate()`, `VideoTask.wait()` and `download()`.

        """
        self._home.enter()
        if timeout is not None:
            check_timeout(timeout, submits=True)
        check_retries(retry_failed, retry_uncertain)
        if download is not None:
            has_job = partial(self._has_job, key, retry_failed, retry_uncertain)
            await self._downloads.check_is_free(download, overwrite=overwrite, unless=has_job)
        options: dict[str, Any] = {
            "key": key,
            "retry_failed": retry_failed,
            "retry_uncertain": retry_uncertain,
            "metadata": metadata,
            "on_update": on_update,
        }
        if isinstance(prompt, JobRequest):
            if extends is not None and source is not None:
                raise InvalidRequestError.of("extends", "excludes source; pass one of them")
            of = extends if source is None else source
            request = type(prompt).of(prompt, **fields)
            task = await self.submit(request, source=of, **options)
        elif source is not None:
            raise InvalidRequestError.of(
                "source", "needs a request, such as EditRequest(...); a prompt takes extends=..."
            )
        elif extends is None:
            task = await self.generate(prompt, **options, **fields)
        else:
            task = await self.extend(extends, prompt, **options, **fields)
        try:
            generation = await _result_of(task, timeout)
            if download is not None:
                await self._downloads.to_path(
                    download,
                    task,
                    DownloadOptions("output", watermark_free=True, overwrite=overwrite),
                    keep_existing=key is not None,
                )
        except asyncio.CancelledError:
            log_cancelled_run(task)
            raise
        return generation

    @overload
    def run_many(  # type: ignore[overload-overlap]
        self,
        requests: OneRequest,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        on_update: UpdateCallback | None = None,
    ) -> PassAList: ...

    @overload
    def run_many(
        self,
        requests: Requests,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        on_update: UpdateCallback | None = None,
    ) -> AsyncGenerator[Outcome, None]: ...

    def run_many(
        self,
        requests: Requests | OneRequest,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        on_update: UpdateCallback | None = None,
    ) -> AsyncGenerator[Outcome, None] | PassAList:
        """Submit any number of requests, and yield the outcome of each job when it ends.

        >>> async for outcome in luma.run_many(["a cat", "a dog"]):   # doctest: +SKIP
        ...     print(outcome.request.prompt, outcome.generation or outcome.error)

        `requests` is read lazily: at most `max_tasks` jobs run at a time, and a slow reader of
        outcomes slows down the reading. A request that is rejected, or a job that fails, is an
        outcome with an error, and does not affect the others.

        To stop early, close the generator (`contextlib.aclosing`). While it is open, it submits
        requests until `max_tasks` outcomes wait for the reader. Submitted jobs stay watched.
        A wait for the next outcome that is cancelled, or times out, closes it as well.

        Args:
            requests: an iterable or async iterable of prompts, `GenerateRequest`s, mappings of
                their fields, and `Job`s. A mapping with `"extends"` (a handle, a generation or an
                id) extends that video. With a journal, there may be pairs `(key, request)`, and
                mappings may have a `"key"`: the same run continues then where it ended. Mappings
                may have `"metadata"` as well. A `Job` has a checked request, with its job key,
                source and metadata.
            max_tasks: maximum number of jobs that run at a time. The default is that of the client,
                or else 100.
            retry_failed: as in `generate()`, for the requests that have a job key.
            retry_uncertain: as in `generate()`; `"once"` applies to submissions that are uncertain
                when the run begins.
            on_update: as in `generate()`, for each job; the handle tells its job key.

        Raises:
            InvalidRequestError: `requests` is a single request, `on_update` is not a function, or
                an option of retries is not valid; raised by the call itself.
            ClientClosedError: the client was closed before all requests were read.
            JournalError: with `retry_uncertain="once"`, the journal cannot be read.

        """
        many = checked_requests(requests)
        if max_tasks is not None:
            check_positive(max_tasks=max_tasks)
        check_retries(retry_failed, retry_uncertain)
        if on_update is not None:
            check_callback("on_update", on_update)
        context = None if on_update is None else copy_context()
        submissions = self._submissions
        claims: AbstractSet[str] | None = None

        async def begin() -> None:
            nonlocal claims
            self._home.enter()
            if retry_uncertain == "once":
                claims = await submissions.uncertain_claims()

        async def submit(job: Job) -> VideoTask:
            return await self._submit(
                Submission(
                    job.request,
                    job.source,
                    job.key,
                    retry_failed and job.retries and job.key is not None,
                    retry_uncertain if job.retries else False,
                    job.metadata,
                    on_update,
                    redo=job.redo,
                    any_request=job.any_request,
                    context=context,
                    claims=claims,
                )
            )

        run = Run(
            many,
            submit,
            begin=begin,
            max_tasks=max_tasks or self._max_tasks or DEFAULT_RUN_TASKS,
            submitters=self._max_requests,
        )
        self._runs.add(run)
        return run.outcomes()

    async def _has_job(
        self, key: str | None, retry_failed: bool, retry_uncertain: RetryUncertain
    ) -> bool:
        if key is None or self._bookkeeper is None:
            return False
        return await self._bookkeeper.has_job(
            key, retry_failed=retry_failed, retry_uncertain=bool(retry_uncertain)
        )


async def _result_of(task: VideoTask, timeout: float | None) -> Generation:
    """Return the generation of a completed job for a caller who has no handle."""
    try:
        return await task.wait(timeout)
    except TaskTimeoutError:
        if timeout is None or task.done():
            raise
    raise TaskTimeoutError(
        f"Job {task.id} is still {task.state} after {timeout:g} s. It is still watched: "
        f"LumaClient.watch({task.id!r}) returns its handle.",
        task_id=task.id,
    )
