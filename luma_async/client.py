"""LumaClient: the front door. It owns the parts of the house and contains no logic of theirs."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, suppress
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack, cast, overload
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp

from luma_async.concurrency import Turns
from luma_async.dialects import Dialect, GatewayDialect
from luma_async.errors import ConfigurationError
from luma_async.generation import Generation
from luma_async.journal import Journal, SQLJournal
from luma_async.journal.bookkeeper import Bookkeeper
from luma_async.media.addresses import AddressPolicy
from luma_async.media.downloader import LARGEST_DOWNLOAD, LOWEST_SPEED, Downloader
from luma_async.media.downloads import (
    Download,
    DownloadOptions,
    Downloads,
    Source,
    Sources,
    download_all,
)
from luma_async.media.image_reader import IMAGE_LIMIT, ImageReader
from luma_async.media.links import FileKind
from luma_async.media.requester import Requester
from luma_async.media.transfer import FetchLimits, ProgressCallback
from luma_async.requests import ExtendFields, ExtendRequest, GenerateFields, GenerateRequest
from luma_async.schedules import AdaptiveSchedule, PollSchedule
from luma_async.tasks import Looks, TaskManager, VideoTask
from luma_async.tasks.arguments import (
    PassAList,
    check_source,
    checked_id,
    checked_ids,
    checked_requests,
    checked_sources,
)
from luma_async.tasks.manager import LINK_TIMEOUT
from luma_async.tasks.run_many import Job, Keyed, Outcome, Requests, Run, VideoSource
from luma_async.tasks.submitter import RetryUncertain, Submission, Submitter
from luma_async.text_values import SecretLike, URLLike, unwrapped
from luma_async.transport import SubmissionTransport, Transport
from luma_async.transport.credentials import Secret
from luma_async.transport.rate_limit_headers import LONGEST_WAIT

OneText = str | bytes | bytearray
OneJob = OneText | VideoTask | Generation | Outcome
OneRequest = OneText | Mapping[str, Any] | GenerateRequest | ExtendRequest | Keyed | Job

DEFAULT_RUN_TASKS = 100
"""How many jobs `run_many` keeps running where neither it nor the client is told."""

AT_ONCE = 32
"""Submissions that are prepared in one round of the event loop, which takes some milliseconds."""


class LumaClient:
    """Generates videos with Luma, through a gateway that sells it.

    >>> async with LumaClient() as luma:                    # doctest: +SKIP
    ...     task = await luma.generate("a cat dances")
    ...     video = await task
    ...     await luma.download(video, "cat.mp4")

    It may be opened in one asyncio task and closed in another, and used without `async with`, too:
    call `aclose()` at the end then. It belongs to the event loop that it is first used in.

    Args:
        api_key: the gateway's key, plain or as pydantic's `SecretStr`; `LUMA_API_KEY` from the
            environment if not given.
        base_url: where the gateway is, as a text or a URL of yarl or pydantic; `LUMA_BASE_URL` if
            not given, else the dialect's default.
        dialect: the words the server speaks; `GatewayDialect()` if not given.
        max_requests: HTTP requests in flight.
        max_tasks: jobs running at the server that were submitted here; `generate()` and `extend()`
            wait for a free place. No bound if not given.
        timeout: seconds for one HTTP request.
        max_tries: of one request that is safe to repeat.
        task_timeout: seconds before an unfinished job is no longer watched.
        schedule: when to look at a job; `AdaptiveSchedule()` if not given.
        link_timeout: seconds that a job is still looked at which the server calls completed
            without naming a link to its video. Then it ends without one, and a warning says so.
        batch_size: ids in one status request.
        max_image_bytes: the largest image that is sent.
        max_downloads: files on their way here at once, beside `max_requests`.
        journal: what keeps jobs from being lost or paid for twice when the process dies: a path
            (SQLite), a URL (PostgreSQL), or a `Journal` of yours, which is not closed here.
        session: an `aiohttp.ClientSession` of yours for the API (a proxy, certificates, tracing).
            It is never closed here, and keeps its connections. A submission uses one of them again
            that was used within the last second, or a new one.
            Files are downloaded over its connections and its proxy, too, without its headers and
            cookies.
        media_session: an `aiohttp.ClientSession` of yours for downloads, in place of `session`.
            It is never closed here.
        trust_env: whether to use the proxies that the environment names (`HTTPS_PROXY`,
            `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), but for this machine's own addresses. A session
            of yours has its own `trust_env`.
        min_download_speed: bytes a second, over `timeout` seconds, that a download must bring; one
            that is slower is tried again. 0 for no bound.
        max_download_bytes: the largest file that is downloaded; `None` for no bound.
        allow_private_media: whether links to files may lead to loopback, private and link-local
            addresses. If not, they may where the gateway has such an address, too.

    Raises:
        ConfigurationError: there is no key, or a setting makes no sense.

    """

    def __init__(
        self,
        api_key: SecretLike | None = None,
        *,
        base_url: URLLike | None = None,
        dialect: Dialect | None = None,
        max_requests: int = 16,
        max_tasks: int | None = None,
        timeout: float = 30.0,
        max_tries: int = 5,
        task_timeout: float = 3600.0,
        schedule: PollSchedule | None = None,
        link_timeout: float = LINK_TIMEOUT,
        batch_size: int = 100,
        max_image_bytes: int = IMAGE_LIMIT,
        max_downloads: int = 4,
        journal: Journal | URLLike | os.PathLike[str] | None = None,
        session: aiohttp.ClientSession | None = None,
        media_session: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        min_download_speed: float = LOWEST_SPEED,
        max_download_bytes: int | None = LARGEST_DOWNLOAD,
        allow_private_media: bool = False,
    ) -> None:
        api_key = Secret.of(os.environ.get("LUMA_API_KEY", "") if api_key is None else api_key)
        journal = unwrapped(journal)
        _check_positive(
            max_requests=max_requests,
            max_tasks=max_tasks,
            timeout=timeout,
            max_tries=max_tries,
            task_timeout=task_timeout,
            link_timeout=link_timeout,
            batch_size=batch_size,
            max_image_bytes=max_image_bytes,
            max_downloads=max_downloads,
            max_download_bytes=max_download_bytes,
        )
        is_number = isinstance(min_download_speed, Real)
        if not is_number or not 0 <= min_download_speed < math.inf:
            raise ConfigurationError(
                f"min_download_speed must be 0 or more bytes a second, not {min_download_speed!r}."
            )
        dialect = dialect or GatewayDialect()
        self._max_requests = max_requests
        self._max_tasks = max_tasks
        self._timeout = timeout
        self._dialect = dialect
        self._transport = Transport(
            api_key=api_key,
            base_url=base_url or os.environ.get("LUMA_BASE_URL") or dialect.default_base_url,
            max_requests=max_requests,
            timeout=timeout,
            max_tries=max_tries,
            session=session,
            trust_env=trust_env,
        )
        self._submission_transport = SubmissionTransport(self._transport)
        self._looks = Looks(
            self._transport, dialect, batch_size=batch_size, concurrency=max_requests
        )
        schedule = schedule or AdaptiveSchedule()
        self._bookkeeper: Bookkeeper | None = None
        if journal is not None:
            own = _journal_at(journal)
            self._bookkeeper = Bookkeeper(
                own or cast("Journal", journal),
                schedule,
                server=self._transport.base_url,
                own=own,
            )
        self._manager = TaskManager(
            self._looks,
            schedule,
            max_looks=max_requests,
            task_timeout=task_timeout,
            link_timeout=link_timeout,
            longest_look=max_tries * (timeout + LONGEST_WAIT),
            account=self._submission_transport.account,
            on_end=None if self._bookkeeper is None else self._bookkeeper.ended,
        )
        submitter = Submitter(
            self._submission_transport,
            dialect,
            self._manager,
            ImageReader(
                max_bytes=max_image_bytes,
                at_once=max_requests,
                urls_only=None if dialect.takes_image_data else type(dialect).__name__,
            ),
            max_tasks=max_tasks,
        )
        self._submissions: Bookkeeper | Submitter = submitter
        if self._bookkeeper is not None:
            self._bookkeeper.connect(submitter, self._looks)
            self._submissions = self._bookkeeper
        self._turns = Turns(AT_ONCE)
        self._runs: WeakSet[Run] = WeakSet()
        self._downloader = Downloader(
            Requester(
                AddressPolicy(
                    urlsplit(self.base_url).hostname or "", allow_private=allow_private_media
                ),
                timeout=timeout,
                trust_env=trust_env,
                media_session=media_session,
                api_session=session,
            ),
            FetchLimits(max_tries, min_download_speed, timeout, max_download_bytes),
            base_url=self.base_url,
            max_downloads=max_downloads,
        )
        self._downloads = Downloads(
            self._downloader,
            manager=self._manager,
            looks=self._looks,
            transport=self._transport,
            dialect=dialect,
        )

    def __repr__(self) -> str:
        transport = vars(self).get("_transport")  # absent while the settings are checked
        return f"<LumaClient {transport.base_url if transport else 'unfinished'}>"

    @property
    def base_url(self) -> str:
        """The gateway that jobs are submitted to."""
        return self._transport.base_url

    @property
    def journal(self) -> Journal | None:
        """The journal of this client, for `uncertain()`, `settle()` and the like."""
        return self._bookkeeper.journal if self._bookkeeper is not None else None

    async def __aenter__(self) -> Self:
        if self._bookkeeper is not None:
            try:
                await self._bookkeeper.open()
            except asyncio.CancelledError:
                await self.aclose()  # nobody else will
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def generate(
        self,
        prompt: str | GenerateRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        **fields: Unpack[GenerateFields],
    ) -> VideoTask:
        """Submit a new job and return its handle; await that for the video.

        >>> task = await luma.generate("a cat dances", aspect_ratio="16:9")    # doctest: +SKIP

        `fields` are those of `GenerateRequest`. `retry_uncertain=True` has a submission repeated
        even where the first may have been accepted, at the risk of paying for both; `"once"` sends
        again, a single time, what is uncertain under this key when the call begins, and repeats
        none. Of several who do so at once, one sends it.

        `key` is your name for the job in the journal, such as `"row-17"`: it is paid for once. A
        job that is known under it is watched, or returned finished; one that has failed raises its
        failure again, unless `retry_failed=True` has it submitted anew, changed or not.

        Raises:
            InvalidRequestError: a field breaks a rule; nothing was sent.
            KeyConflictError: the key names another job; nothing was sent.
            JournalError: the journal cannot be written; nothing was sent.
            GenerationFailedError: the job known under the key failed.
            SubmissionUncertainError: the job may have been taken; it was not sent again.
            APIError: the server refused; the job was not taken.
            APIConnectionError: the server could not be reached; the job was not taken.
            ClientClosedError: the client is closed; the job was not taken.
            SubmissionStoppedError: `stop_submitting()` was called; the job was not taken.

        """
        await self._turns.take()
        request = GenerateRequest.of(prompt, **fields)
        return await self._submissions.submit(
            Submission(request, None, key, retry_failed, retry_uncertain)
        )

    async def extend(
        self,
        source: VideoTask | Generation | str,
        prompt: str | ExtendRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        **fields: Unpack[ExtendFields],
    ) -> VideoTask:
        """Submit a job that adds about five seconds to a video; a source on its way is awaited.

        >>> longer = await (await luma.extend(video, "the cat takes a bow"))   # doctest: +SKIP

        `source` is a handle, a generation or an id; `fields` are those of `ExtendRequest`; the rest
        is as with `generate()`.

        Raises:
            GenerationFailedError: the source failed, so there is nothing to extend.
            LumaError: as `generate()`.

        """
        check_source(source)
        await self._turns.take()
        request = ExtendRequest.of(prompt, **fields)
        return await self._submissions.submit(
            Submission(request, source, key, retry_failed, retry_uncertain)
        )

    async def get(self, id: str) -> Generation:
        """Look at one job now.

        Raises:
            NotFoundError: the server does not know it.
            ResponseError: the server answered with another job.
            LumaError: there was no usable answer.

        """
        return await self._looks.one(checked_id(id))

    @overload
    async def get_many(self, ids: OneJob) -> PassAList: ...  # type: ignore[overload-overlap]

    @overload
    async def get_many(self, ids: Iterable[str]) -> dict[str, Generation]: ...

    async def get_many(self, ids: Iterable[str] | OneJob) -> dict[str, Generation] | PassAList:
        """Look at any number of jobs now, with as few requests as the gateway allows.

        Ids that the server does not know are absent from the result.

        Raises:
            InvalidRequestError: one id is given in place of a list, or something that is no id.
            LumaError: there was no usable answer to some request.

        """
        return await self._looks.many(checked_ids(ids))

    async def watermark_free_url(self, id: str) -> str:
        """Ask for a link to the video without a watermark. It expires, so fetch it when needed.

        Raises:
            NotFoundError: the server does not know the job, or does not offer such links.
            LumaError: there was no usable answer.

        """
        return await self._transport.call(self._dialect.watermark_free_url(checked_id(id)))

    async def watch(self, id: str) -> VideoTask:
        """Return a handle on a job submitted elsewhere, or before.

        The job is looked at once, at once; while it is watched, the same id gives the same handle.

        Raises:
            NotFoundError: the server does not know it.
            LumaError: there was no usable answer.

        """
        return await self._manager.watch(checked_id(id))

    async def resume(self) -> list[VideoTask]:
        """Return handles on the journal's unfinished jobs, each of them watched.

        >>> for task in await luma.resume():          # doctest: +SKIP
        ...     print(task.key, await task)

        Those of this client's `base_url`, the oldest first. Jobs that may have been taken are not
        among them: `luma.journal.uncertain()` lists those, for you to settle.

        Raises:
            ConfigurationError: the client has no journal.
            JournalError: it cannot be read.

        """
        if self._bookkeeper is None:
            raise ConfigurationError("resume() needs a journal: LumaClient(journal='jobs.db').")
        return await self._bookkeeper.resume()

    @overload
    def run_many(  # type: ignore[overload-overlap]
        self,
        requests: OneRequest,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
    ) -> PassAList: ...

    @overload
    def run_many(
        self,
        requests: Requests,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
    ) -> AsyncGenerator[Outcome, None]: ...

    def run_many(
        self,
        requests: Requests | OneRequest,
        *,
        max_tasks: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
    ) -> AsyncGenerator[Outcome, None] | PassAList:
        """Submit any number of requests, and yield each one's outcome as its job ends.

        >>> async for outcome in luma.run_many(["a cat", "a dog"]):   # doctest: +SKIP
        ...     print(outcome.request.prompt, outcome.generation or outcome.error)

        `requests` is an iterable or async iterable of prompts, `GenerateRequest`s or mappings of
        their fields; a mapping with `"extends"` (a handle, a generation or an id) continues that
        video. With a journal it may have pairs `(key, request)`, too, and a mapping may have
        a `"key"`: the same run again goes on where it was. A `Job` holds a request that was
        checked before, with its job key and source. `requests` is read lazily: no more than
        `max_tasks` jobs run at once (the client's `max_tasks` if not given, else 100), and a slow
        reader of outcomes slows it down. A request that is refused or fails is an outcome with an
        error and spoils no other; `retry_failed=True` submits anew what has failed before, and
        `retry_uncertain` is that of `generate()`; `"once"` is for what is uncertain when the run
        begins. To leave early for good, close it
        (`contextlib.aclosing`): while it is open it goes on submitting until `max_tasks` outcomes
        wait to be taken. Jobs that were submitted stay watched.

        Raises:
            InvalidRequestError: one request is given in place of a list; at the call.
            ClientClosedError: the client was closed before all requests were read.
            JournalError: with `retry_uncertain="once"`, the journal cannot be read.

        """
        many = checked_requests(requests)
        _check_positive(max_tasks=max_tasks)
        submissions = self._submissions
        repeats: bool | AbstractSet[str] = retry_uncertain is True

        async def begin() -> None:
            nonlocal repeats
            repeats = await submissions.uncertain_claims()

        async def submit(
            request: GenerateRequest | ExtendRequest, source: VideoSource | None, key: str | None
        ) -> VideoTask:
            if source is not None:
                check_source(source)
            return await submissions.submit(Submission(request, source, key, retry_failed, repeats))

        run = Run(
            many,
            submit,
            begin=begin if retry_uncertain == "once" else None,
            max_tasks=max_tasks or self._max_tasks or DEFAULT_RUN_TASKS,
            submitters=self._max_requests,
        )
        self._runs.add(run)
        return run.outcomes()

    async def download(
        self,
        source: Source,
        path: str | os.PathLike[str],
        *,
        what: FileKind = "video",
        watermark_free: bool = True,
        progress: ProgressCallback | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write a video to a file, or into a folder under its id, and return the file's path.

        >>> await luma.download(video, "cat.mp4")                      # doctest: +SKIP
        >>> await luma.download(video, "videos/", what="thumbnail")    # doctest: +SKIP

        The file appears under its name when it is whole; until then it is `name.part`. What was
        cut off, cancelled or killed goes on where it was when the same call is made again, if the
        server still has the same version of it. A source on its way is awaited, and a link that
        has expired is asked for again.

        Args:
            source: a handle, a generation, an outcome or an id.
            path: a file, or a folder: one that exists, or ends with a slash.
            what: `"video"`, `"raw"`, `"thumbnail"` or `"last_frame"`.
            watermark_free: of a video, prefer the one without a watermark: `video.download_url`,
                `video_raw`, `watermark_free_url()`. Where there is none it is the one with, and
                a warning in the log says so.
            progress: called with the bytes so far, and the bytes in all (`None` if the server
                does not say).
            overwrite: whether to replace a file of that name.

        Raises:
            DownloadError: there is no such file, it did not arrive whole, or its name is taken.
            ClientClosedError: the client was closed first.
            LumaError: as awaiting the source.

        """
        check_source(source, outcomes=True)
        options = DownloadOptions(what, watermark_free, overwrite)
        return await self._downloads.to_path(path, source, options, progress)

    @overload
    def download_all(  # type: ignore[overload-overlap]
        self,
        sources: OneJob,
        folder: str | os.PathLike[str],
        *,
        what: FileKind = "video",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> PassAList: ...

    @overload
    def download_all(
        self,
        sources: Sources,
        folder: str | os.PathLike[str],
        *,
        what: FileKind = "video",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> AsyncGenerator[Download, None]: ...

    def download_all(
        self,
        sources: Sources | OneJob,
        folder: str | os.PathLike[str],
        *,
        what: FileKind = "video",
        watermark_free: bool = True,
        overwrite: bool = False,
    ) -> AsyncGenerator[Download, None] | PassAList:
        """Download any number of files into a folder, and yield what became of each.

        >>> async for file in luma.download_all(luma.run_many(prompts), "videos"):  # doctest: +SKIP
        ...     print(file.path or file.error)

        `sources` is an iterable or async iterable of outcomes, handles, generations and ids. Each
        file is fetched as soon as its job has ended, `max_downloads` of them at once, under the
        name that `download()` gives it in a folder. One that is there already is not fetched
        again unless `overwrite=True`. A job or a download that fails is a `Download` with an error
        and spoils no other. The sources are read lazily, at most a hundred ahead: a slow reader
        slows them down.

        Raises:
            InvalidRequestError: one job is given in place of a list; at the call.

        """
        many = checked_sources(sources)
        options = DownloadOptions(what, watermark_free, overwrite)
        return download_all(many, lambda source: self._downloads.to_folder(folder, source, options))

    def stop_submitting(self) -> None:
        """Submit nothing from now on, for a program that is to end without leaving its jobs.

        What waits for its turn, or to be tried again, ends with `SubmissionStoppedError` and is not
        paid for; so does what is asked for later. What has left gets its answer. Jobs are watched
        and files come as before; `run_many()` reads no more requests and ends with the jobs that
        run.
        """
        self._submission_transport.stop()
        for run in self._runs:
            run.stop()

    async def aclose(self) -> None:
        """End every wait at once with `ClientClosedError`, and close the connections.

        Submissions that have left get their answer first, for at most `timeout` seconds, so that
        no paid job goes unnoticed. Jobs that run go on at the server; a journal has them for
        `resume()`. What a journal's database does not take in the same `timeout` seconds is in the
        log, with the key and id of each job.
        """
        self._downloader.stop()
        self._submission_transport.stop(closing=True)
        if self._bookkeeper is not None:
            self._bookkeeper.stop(within=self._timeout)
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._downloader.aclose)
            if self._bookkeeper is not None:
                last_first.push_async_callback(self._bookkeeper.aclose)
            last_first.push_async_callback(self._close_transport)
            last_first.push_async_callback(self._manager.aclose)

    async def _close_transport(self) -> None:
        # A scope of anyio would also cancel the last writes about submissions that are cut off.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._submission_transport.aclose()


def _journal_at(journal: Any) -> SQLJournal | None:
    """Return the journal at a path or URL; `None` for a `Journal` of the caller's."""
    if isinstance(journal, str | bytes | os.PathLike):
        return SQLJournal(journal)
    if callable(getattr(journal, "claim", None)):
        return None
    raise ConfigurationError(
        f"journal must be a path, a URL or a Journal, not {type(journal).__name__}."
    )


_WHOLE_NUMBERS = {"max_requests", "max_tasks", "max_tries", "batch_size", "max_downloads"}
"""Settings that count things. Other numbers would fail later, or retry for ever (`max_tries`)."""


def _check_positive(**settings: Any) -> None:
    for name, value in settings.items():
        if value is None:
            continue
        if not isinstance(value, Real):
            raise ConfigurationError(f"{name} must be a number, not {value!r}.")
        if not float(value) > 0:
            raise ConfigurationError(f"{name} must be above 0, not {value!r}.")
        if value == math.inf and name != "task_timeout":
            raise ConfigurationError(f"{name} must be a number, not {value!r}.")
        if name in _WHOLE_NUMBERS and not isinstance(value, Integral):
            raise ConfigurationError(f"{name} must be a whole number, got {value!r}.")
