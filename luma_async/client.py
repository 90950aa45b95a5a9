"""LumaClient: the client of a server that generates videos and images with Luma."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import NoReturn, Self, Unpack
from weakref import WeakSet

import aiohttp

from luma_async.account_calls import AccountCalls
from luma_async.client_parts import build_parts
from luma_async.client_settings import (
    ClientSettings,
    MaxTasksScope,
    check_settings,
    server_of_arguments,
    settings_of_environment,
)
from luma_async.concurrency import Turns
from luma_async.dialects import Dialect, DialectName
from luma_async.download_calls import DownloadCalls
from luma_async.errors import (
    ClientClosedError,
)
from luma_async.journal import Journal
from luma_async.media.downloader import LARGEST_DOWNLOAD, LOWEST_SPEED
from luma_async.run_calls import RunCalls
from luma_async.schedules import PollSchedule
from luma_async.tasks import VideoTask
from luma_async.tasks.job_log import log_dialect, log_useless_webhook
from luma_async.tasks.manager import LINK_TIMEOUT
from luma_async.tasks.run_many import Run
from luma_async.telemetry.stats import Stats
from luma_async.text_values import SecretLike, URLLike, unwrapped
from luma_async.transport.credentials import Secret
from luma_async.watch_calls import WatchCalls
from luma_async.webhooks import WebhookReceiver

CALLS_PER_TURN = 32
"""Number of calls whose requests are checked in one turn of the event loop. This takes some
milliseconds, and more would delay everything else."""


class LumaClient(RunCalls, WatchCalls, DownloadCalls, AccountCalls):
    """Client that generates videos and images with Luma, through a gateway or Luma's own APIs.

    >>> async with LumaClient() as luma:                    # doctest: +SKIP
    ...     video = await luma.run("a cat dances", download="cat.mp4")

    The client can be opened in one asyncio task and closed in another. Without `async with`, call
    `open()` at the beginning and `aclose()` at the end. A client belongs to the event loop in which
    it is first used; in another one, its calls raise a `ConfigurationError`.

    Args:
        api_key: the API key of the server, as a string or as pydantic's `SecretStr`. The default is
            the environment variable `LUMA_API_KEY`; or else, for Luma's own hosts only,
            `LUMA_AGENTS_API_KEY` or `LUMAAI_API_KEY`.
        base_url: the URL of the server, as a string or a URL of yarl or pydantic. The default is
            the environment variable `LUMA_BASE_URL`, or else that of the dialect.
        dialect: the format of the server's requests and answers: `"agents"` or `"dream-machine"`
            for Luma's own APIs, `"gateway"`, or a `Dialect`. The default is the environment
            variable `LUMA_DIALECT`; or else the host, the path of the base URL and the form of the
            API key decide, and the log says so.
        max_requests: maximum number of HTTP requests in flight.
        max_tasks: maximum number of running jobs that this client submitted. `generate()` and
            `extend()` wait for a free place. No limit by default.
        max_tasks_scope: `"journal"` to let `max_tasks` count the running jobs of all processes that
            use the journal, on all of their machines. Each of them needs the setting. The default
            is `"client"`.
        timeout: seconds for one HTTP request.
        max_tries: maximum number of tries of a request that is safe to repeat.
        task_timeout: seconds after which an unfinished job is no longer watched; `math.inf` for no
            limit.
        schedule: the poll schedule; `AdaptiveSchedule()` by default.
        link_timeout: seconds that a completed job without a link to an output stays watched. Then
            it ends without one, and the log has a warning.
        batch_size: maximum number of ids in one status request.
        max_image_bytes: maximum size of an input image, in bytes. The default is that of the
            dialect, or else 20 MiB.
        allow_local_files: `False` to reject images that are paths, or files that were opened by
            their path. Use it in servers: a text from a stranger that is not a URL is a path.
        max_downloads: maximum number of downloads at a time; `max_requests` does not count them.
        journal: the store that keeps jobs from being lost or paid for twice if the process dies: a
            path (SQLite), a URL (PostgreSQL), or your own `Journal`, which the client does not
            close.
        webhook: the receiver of the server's callbacks. Each submission names it, and a callback
            makes the client look at its job at once. Other looks are fewer then.
        session: your own `aiohttp.ClientSession` for the API (a proxy, certificates, tracing). The
            client does not close it. A submission uses a connection of it that was used within the
            last second, or a new one. Downloads use its connections and its proxy as well, without
            its headers and cookies.
        media_session: your own `aiohttp.ClientSession` for downloads, in place of `session`. The
            client does not close it.
        trust_env: `True` to use the proxies of the environment variables `HTTPS_PROXY`,
            `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, except for the addresses of this machine. Your
            own session has its own `trust_env`.
        min_download_speed: minimum speed of a download in bytes per second, over `timeout` seconds.
            A slower one is tried again. 0 for no limit.
        max_download_bytes: maximum size of a downloaded file; `None` for no limit.
        allow_private_media: `True` to allow links to files at loopback, private and link-local
            addresses. They are also allowed if the server itself has such an address.
        telemetry: `False` to export no spans and metrics, although OpenTelemetry is installed.

    Raises:
        ConfigurationError: there is no API key, or a setting is not valid.

    """

    def __init__(
        self,
        api_key: SecretLike | None = None,
        *,
        base_url: URLLike | None = None,
        dialect: Dialect | DialectName | None = None,
        max_requests: int = 16,
        max_tasks: int | None = None,
        max_tasks_scope: MaxTasksScope = "client",
        timeout: float = 30.0,
        max_tries: int = 5,
        task_timeout: float = 3600.0,
        schedule: PollSchedule | None = None,
        link_timeout: float = LINK_TIMEOUT,
        batch_size: int = 100,
        max_image_bytes: int | None = None,
        allow_local_files: bool = True,
        max_downloads: int = 4,
        journal: Journal | URLLike | os.PathLike[str] | None = None,
        webhook: WebhookReceiver | None = None,
        session: aiohttp.ClientSession | None = None,
        media_session: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        min_download_speed: float = LOWEST_SPEED,
        max_download_bytes: int | None = LARGEST_DOWNLOAD,
        allow_private_media: bool = False,
        telemetry: bool = True,
    ) -> None:
        api_key = None if api_key is None else Secret.of(api_key)
        server = server_of_arguments(api_key, base_url, dialect)
        self._dialect = server.dialect
        self._why_dialect = server.reason
        settings = ClientSettings(
            max_requests=max_requests,
            max_tasks=max_tasks,
            max_tasks_scope=max_tasks_scope,
            timeout=timeout,
            max_tries=max_tries,
            task_timeout=task_timeout,
            schedule=schedule,
            link_timeout=link_timeout,
            batch_size=batch_size,
            max_image_bytes=max_image_bytes,
            allow_local_files=allow_local_files,
            max_downloads=max_downloads,
            journal=unwrapped(journal),
            webhook=webhook,
            session=session,
            media_session=media_session,
            trust_env=trust_env,
            min_download_speed=min_download_speed,
            max_download_bytes=max_download_bytes,
            allow_private_media=allow_private_media,
            telemetry=telemetry,
        )
        check_settings(settings)
        self._settings = settings
        parts = build_parts(server, settings, on_first_use=self._tell_dialect)
        self._home = parts.home
        self._recorder = parts.recorder
        self._transport = parts.transport
        self._submission_transport = parts.submission_transport
        self._looks = parts.looks
        self._bookkeeper = parts.bookkeeper
        self._manager = parts.manager
        self._submissions = parts.submissions
        self._hint_relay = parts.hint_relay
        self._webhook = parts.webhook
        self._has_useless_webhook = webhook is not None and parts.webhook is None
        self._downloader = parts.downloader
        self._downloads = parts.downloads
        self._max_requests = max_requests
        self._max_tasks = max_tasks
        self._timeout = timeout
        self._turns = Turns(CALLS_PER_TURN)
        self._is_closed = False
        self._runs: WeakSet[Run] = WeakSet()

    @classmethod
    def from_env(cls, **overrides: Unpack[ClientSettings]) -> Self:
        """Return a client with the settings of the environment and of the file `.env`.

        >>> luma = LumaClient.from_env(max_tasks=10)                    # doctest: +SKIP

        These are the settings that the command line reads, from the environment or else from `.env`
        in the current folder: `LUMA_API_KEY` (or `LUMA_AGENTS_API_KEY`, `LUMAAI_API_KEY`),
        `LUMA_BASE_URL`, `LUMA_DIALECT`, `LUMA_JOURNAL`, `LUMA_REJECTION_CODES`,
        `LUMA_MAX_DOWNLOAD_BYTES`, `LUMA_MIN_DOWNLOAD_SPEED` and
        `LUMA_ALLOW_PRIVATE_MEDIA`. The client uses the proxies of the environment. Unlike the
        command line, it has a journal only if one is set. `LumaClient()` does not read `.env`.

        Args:
            overrides: arguments of `LumaClient`, which take precedence. An `api_key`, `base_url`
                or `dialect` that is `None` counts as not given.

        Raises:
            ConfigurationError: there is no API key, a setting is not valid, or `.env` cannot be
                read. The error names the line, and not its text, which may be an API key.

        """
        return cls(**settings_of_environment(overrides))

    def _tell_dialect(self) -> None:
        """Log the dialect and the reason for it, once, if it was not given."""
        reason, self._why_dialect = self._why_dialect, None
        if reason is not None:
            log_dialect(self._dialect.name, self.base_url, reason)
        if self._has_useless_webhook:
            self._has_useless_webhook = False
            log_useless_webhook(self._dialect.name)
        if self._webhook is not None:
            self._hint_relay.start()

    def __repr__(self) -> str:
        transport = vars(self).get("_transport")  # not set until the settings are checked
        return f"<LumaClient {transport.base_url if transport else 'unfinished'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be copied or pickled. Create a LumaClient in each process; with the "
            "same journal, they do not pay for a job key twice."
        )

    @property
    def dialect(self) -> Dialect:
        """Dialect of the server: the given one, or the one that was chosen."""
        return self._dialect

    @property
    def base_url(self) -> str:
        """URL of the server that jobs are submitted to."""
        return self._transport.base_url

    @property
    def api_url(self) -> str:
        """URL with which all calls begin: the base URL, and the path of the dialect.

        The journal tells servers apart by it, because a host may offer several APIs.
        """
        return f"{self.base_url}{self._dialect.path_prefix}"

    @property
    def journal(self) -> Journal | None:
        """Journal of this client, for methods such as `uncertain()` and `settle()`, or `None`."""
        return self._bookkeeper.journal if self._bookkeeper is not None else None

    @property
    def settings(self) -> ClientSettings:
        """Settings of this client without its API key, such as for a client of another process."""
        return self._settings.copy()

    @property
    def closed(self) -> bool:
        """`True` as soon as `aclose()` is called."""
        return self._is_closed

    @property
    def tasks(self) -> tuple[VideoTask, ...]:
        """Handles on the jobs that are running and watched now, in the order of their submission.

        A job that ends later stays in this tuple, and is not in the next one.
        """
        return self._manager.tasks

    def stats(self) -> Stats:
        """Return figures of this client: jobs by state, submissions, polls, requests, connections.

        >>> luma.stats().completed                             # doctest: +SKIP
        17

        Any thread may call this, also before the client is opened and after it is closed.
        """
        connections, idle = self._transport.sessions.count_connections()
        return self._recorder.stats(connections=connections, idle_connections=idle)

    async def open(self) -> Self:
        """Open the client and its journal, and return the client; `async with` does the same.

        >>> luma = await LumaClient(journal="jobs.db").open()  # doctest: +SKIP

        A client that is open already stays as it is. Other calls open the journal as well, but a
        journal that cannot be used is found here before there are any jobs.

        Raises:
            ClientClosedError: the client was closed.
            JournalError: the journal cannot be used.

        """
        self._home.enter()
        if self._is_closed:
            raise ClientClosedError(
                "The client is closed, and cannot be opened again: create another LumaClient."
            )
        self._tell_dialect()
        if self._bookkeeper is not None:
            try:
                await self._bookkeeper.open()
            except asyncio.CancelledError:
                await self.aclose()  # `__aexit__` is not called then
                raise
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def stop_submitting(self) -> None:
        """Submit no more jobs, so that a program can end without leaving its jobs behind.

        Submissions that wait for their turn or for another try end with `SubmissionStoppedError`,
        and so do later ones; they are not paid for. Submissions that have left get their answer.
        Jobs are still watched, and files downloaded. `run_many()` reads no more requests, and ends
        when its running jobs have ended.
        """
        self._submission_transport.stop()
        for run in self._runs:
            run.stop()

    async def aclose(self) -> None:
        """End all waits at once with `ClientClosedError`, and close the connections.

        Submissions that have left get their answer first, for at most `timeout` seconds, so that
        no job that is paid for goes unnoticed. Async callbacks that are running may end as well,
        and so may open blocks of `VideoTask.delivery()`, for at most `timeout` seconds. Running
        jobs continue at the server; with a journal, `resume()` watches them again. If the database
        of the journal does not accept changes within the same `timeout` seconds, the log has them,
        with the job key and id of each job.
        """
        self._home.enter()
        self._is_closed = True
        if self._webhook is not None:
            self._webhook.disconnect(self._hint_relay.take)
        self._downloader.stop()
        self._submission_transport.stop(closing=True)
        if self._bookkeeper is not None:
            self._bookkeeper.stop(within=self._timeout)
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._manager.callbacks.wait, self._timeout)
            last_first.push_async_callback(self._downloader.aclose)
            if self._bookkeeper is not None:
                last_first.push_async_callback(self._bookkeeper.aclose)
            last_first.push_async_callback(self._hint_relay.aclose)
            last_first.push_async_callback(self._close_transport)
            last_first.push_async_callback(self._manager.aclose)

    async def _close_transport(self) -> None:
        # A scope of anyio would also cancel the last writes about submissions that are cut off.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._submission_transport.aclose()
