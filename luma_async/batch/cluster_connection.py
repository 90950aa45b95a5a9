"""Cluster connection: a Dask cluster from the side of the coordinator of a batch."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from luma_async.batch.cluster_run import SCHEDULER_TIMEOUT, ClusterRun, Phase, ShardReport
from luma_async.batch.local_cluster import local_cluster, silenced_dask
from luma_async.batch.shards import Shard
from luma_async.concurrency import to_completion
from luma_async.errors import BatchError, ConfigurationError
from luma_async.extras import needing
from luma_async.version import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_TIMEOUT = 20.0
"""Seconds to wait for the scheduler, and then for a first worker."""

ANSWER_TIMEOUT = 5.0
"""Further seconds for the first answer of the scheduler. Dask itself has no limit for it."""

CHECK_TIMEOUT = 60.0
"""Seconds that all workers together may take to open their clients of a run."""

LEAVE_TIMEOUT = 60.0
"""Seconds that workers may take to leave a run. They wait for the answers to submissions."""

logger = logging.getLogger("luma_async")

_LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
_ADDRESS = re.compile(r"[a-z]+://\S+")
_VERSION = "luma_async.version:__version__"


def local_workers(cluster: str) -> int | None:
    """Return the number of workers that `local:N` asks for, `None` for the address of a scheduler.

    >>> local_workers("local:4")
    4

    Raises:
        ConfigurationError: the text is neither.

    """
    if (local := _LOCAL.fullmatch(cluster)) is not None:
        return int(local[1])
    if _ADDRESS.fullmatch(cluster):
        return None
    raise ConfigurationError(
        "The cluster must be local:N with the number of workers, such as local:4, or the address "
        f"of a Dask scheduler, such as tcp://scheduler:8786, got {cluster!r}."
    )


class ClusterConnection:
    """Connection to a Dask cluster, and the tasks of the batches that run on it.

    Args:
        cluster: `local:N` for a cluster of worker processes that this connection starts and ends,
            the address of a scheduler, or a client of Dask.

    Raises:
        ConfigurationError: `cluster` is not valid.
        ModuleNotFoundError: `pip install "luma-async[cluster]"`.

    """

    def __init__(self, cluster: str | Client) -> None:
        with needing("distributed", user="A batch on a cluster", extra="cluster"):
            import distributed  # noqa: PLC0415  it takes half a second, and the extra may be missing
        self.is_local = isinstance(cluster, str) and local_workers(cluster) is not None
        self._dask: Any = distributed  # most of it has no types
        self._cluster = cluster
        self._opened = AsyncExitStack()
        self._client: Any = None
        self._address: Any = cluster
        self._is_waiting = False
        self._has_silent_worker = self._has_silent_scheduler = False

    async def open(self) -> int:
        """Connect, and return the number of shards that can run at once.

        Raises:
            BatchError: the scheduler cannot be reached, or has no worker.
            ConfigurationError: the address of the scheduler is not valid, or `tls://` has no
                certificates.

        """
        try:
            return await self._open()
        except BaseException:
            await self.aclose()
            raise

    async def _open(self) -> int:
        connect = self._dask.Client
        options: dict[str, Any] = {"asynchronous": True, "set_as_default": False}
        if isinstance(self._cluster, connect):
            # A client that is not asynchronous has an event loop of its own, in another thread.
            given: Any = self._cluster
            options["security"] = given.security
            self._address = given.scheduler.address
        else:
            self._opened.enter_context(silenced_dask())
            self._address = await self._start_local() or self._cluster
        address = self._address
        client = connect(address, timeout=CONNECT_TIMEOUT, **options)
        self._opened.push_async_callback(client.close)
        try:
            with warnings.catch_warnings():
                # It compares packages that this library does not use, such as NumPy.
                warnings.simplefilter("ignore", self._dask.versions.VersionMismatchWarning)
                async with asyncio.timeout(CONNECT_TIMEOUT + ANSWER_TIMEOUT):
                    self._client = await client
        except TimeoutError:
            raise _unreachable(address, "no answer.") from None
        except (MemoryError, OverflowError):
            # Dask reads the first bytes of any answer as the size of a message.
            raise _unreachable(address, "its answer is not that of Dask.") from None
        except OSError as error:
            raise _unreachable(address, error) from None
        except (TypeError, ValueError, ImportError) as error:
            raise _address_error(str(address), error) from None
        try:
            await client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
        except TimeoutError:
            raise BatchError(
                f"The Dask scheduler at {address} has no workers. Start some, with `dask worker "
                f"{address}`. Nothing was submitted."
            ) from None
        except OSError as error:
            raise _unreachable(address, error) from None
        try:
            async with asyncio.timeout(SCHEDULER_TIMEOUT):
                threads: Mapping[str, int] = await client.nthreads()
        except OSError:
            raise _unreachable(address, "no answer.") from None
        return sum(threads.values())

    async def _start_local(self) -> Any:
        """Start a cluster on this machine if one is asked for, and return it."""
        number = local_workers(str(self._cluster))
        if number is None:
            return None
        local = self._opened.enter_context(local_cluster(number))
        self._opened.push_async_callback(local.close)
        try:
            return await local
        except Exception as error:
            raise BatchError(
                f"The {number} worker processes could not be started: {_sentence(error)} Nothing "
                'was submitted. A program that starts them needs `if __name__ == "__main__":`.'
            ) from error

    async def check(self, run: ClusterRun) -> None:
        """Check that the scheduler and all workers can serve a run, and open the workers' clients.

        Raises:
            BatchError: one of them cannot. Nothing was submitted.

        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._check(run)
        except TimeoutError:
            self._has_silent_worker = True
            raise BatchError(
                f"Not all workers of the Dask scheduler at {self._connected.scheduler.address} "
                f"answer within {CHECK_TIMEOUT:.0f} s. Nothing was submitted. Restart those that "
                "hang, or end them."
            ) from None
        except OSError:
            raise BatchError(
                f"The Dask scheduler at {self._address} {_GONE} Nothing was submitted."
            ) from None

    async def _check(self, run: ClusterRun) -> None:
        if not self.is_local:
            found = await self._version_of_scheduler()
            _check_version("Dask scheduler", found)
            versions = await self._on_workers(resolve_name, _VERSION)
            for address, version in versions.items():
                _check_version(f"worker at {address}", version)
        from luma_async.batch.cluster_worker import prepare  # noqa: PLC0415  it imports Dask

        for address, problem in (await self._on_workers(prepare, run)).items():
            if problem is not None:
                raise BatchError(
                    f"The worker at {address} cannot run rows: {_sentence(problem)} Nothing was "
                    "submitted."
                )

    async def _version_of_scheduler(self) -> Any:
        try:
            return await self._connected.run_on_scheduler(resolve_name, _VERSION)
        except Exception as error:  # noqa: BLE001  of the scheduler: the module may be missing
            return error

    async def run_shard(self, run: ClusterRun, shard: Shard) -> ShardReport:
        """Run a shard on a worker.

        Raises:
            Exception: the shard could not be run to its end. Its rows are run or not, as the
                journal knows.

        """
        from luma_async.batch.cluster_worker import run_shard  # noqa: PLC0415  it imports Dask

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # rows may have images
            future = self._connected.submit(
                run_shard, run, shard, key=run.task_key(shard.name), pure=False
            )
        try:
            report: ShardReport = await future
        except concurrent.futures.CancelledError:
            raise BatchError("the connection to the Dask scheduler was lost") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BatchError("Dask has dropped rows; its scheduler may have ended.") from None
        else:
            return report
        finally:
            future.release()

    async def wait_for_scheduler(self) -> None:
        """Wait while Dask tries to reach a scheduler again whose connection was lost.

        Raises:
            BatchError: it was not reached. The connection cannot be used any more.

        """
        while self._connected.status == "connecting":
            if not self._is_waiting:
                self._is_waiting = True
                logger.warning(
                    "The Dask scheduler at %s is not reached; trying for %.0f s.",
                    self._address,
                    CONNECT_TIMEOUT,
                )
            await asyncio.sleep(0.1)
        self._is_waiting = False
        if self._is_lost:
            raise BatchError(
                f"The Dask scheduler at {self._address} has ended, or cannot be reached any more. "
                "Submitted jobs continue at the server, and the next run finds them."
            )

    @property
    def _is_lost(self) -> bool:
        return self._connected.status in ("closing", "closed")

    def subscribe(self, run: ClusterRun, on_message: Callable[[Any], None]) -> None:
        """Call a function with each message of a worker about a run."""
        self._connected.subscribe_topic(run.topic, lambda event: on_message(event[1]))

    async def tell_phase(self, run: ClusterRun, phase: Phase, beat: int) -> None:
        """Tell the workers the phase of a run. They take a coordinator for dead that tells nothing.

        `beat` is another number each time. The scheduler may be away; then this is without effect.
        """
        if self._is_lost:
            return
        try:
            async with asyncio.timeout(SCHEDULER_TIMEOUT):
                await self._connected.set_metadata(run.phase_keys, [phase.value, beat])
            self._has_silent_scheduler = False
        except (OSError, RuntimeError) as error:
            self._has_silent_scheduler = isinstance(error, TimeoutError)
            logger.debug("The scheduler is not reached: %r", error)

    async def stop(self, run: ClusterRun) -> None:
        """Let the workers submit no more rows of a run, sooner than they ask for its phase.

        The scheduler may be away; then this is without effect.
        """
        from luma_async.batch.cluster_worker import stop  # noqa: PLC0415  it imports Dask

        if self._is_lost:
            return
        try:
            await self._on_workers(stop, run.id)
        except (OSError, RuntimeError) as error:
            logger.debug("The scheduler is not reached: %r", error)

    async def leave(self, run: ClusterRun) -> None:
        """Let the workers close the clients of a run, once their submissions are answered.

        Workers whose scheduler has ended or hangs leave the run by themselves, and so do those of a
        run that a worker did not answer in its check.
        """
        from luma_async.batch.cluster_worker import leave  # noqa: PLC0415  it imports Dask

        if self._is_lost or self._has_silent_worker or self._has_silent_scheduler:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT):
                await self._on_workers(leave, run.id)
        except (OSError, TimeoutError) as error:
            if self._connected.status != "running":
                return
            why = "no answer" if isinstance(error, TimeoutError) else repr(error)
            logger.warning("Workers of the cluster may still be in the batch: %s", why)

    async def _on_workers(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Run a function on all workers; an exception of one stands for its result."""
        done: dict[str, Any] = await self._connected.run(function, *arguments, on_error="return")
        return done

    async def aclose(self) -> None:
        """Close the connection, and end the cluster if it was started here."""
        self._client = None
        await to_completion(self._opened.aclose)

    @property
    def _connected(self) -> Any:
        assert self._client is not None  # noqa: S101  `open` comes first
        return self._client


_GONE = "has ended, or cannot be reached."


def _sentence(problem: str | BaseException) -> str:
    """Return the problem of a worker, such as an exception of Dask, as a sentence."""
    if isinstance(problem, OSError):
        return f"it {_GONE}"
    text = problem if isinstance(problem, str) else f"{type(problem).__name__}: {problem}"
    return text if text.endswith(".") else f"{text}."


def _unreachable(address: Any, why: str | OSError) -> BatchError:
    text = f"{why}." if isinstance(why, OSError) else f"{why} Is it a Dask scheduler?"
    return BatchError(
        f"The Dask scheduler at {address} cannot be reached: {text} Nothing was submitted."
    )


def _address_error(address: str, error: Exception) -> ConfigurationError:
    if address.startswith("tls://") and isinstance(error, TypeError):
        return ConfigurationError(
            f"The Dask scheduler at {address} needs certificates. Set the environment variables "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to their files. Nothing was submitted."
        )
    return ConfigurationError(
        f"The address of the Dask scheduler, {address!r}, cannot be used: {error}. "
        "Nothing was submitted."
    )


def _check_version(subject: str, found: Any) -> None:
    if found == __version__:
        return
    if isinstance(found, OSError):
        raise BatchError(f"The {subject} {_GONE} Nothing was submitted.")
    has = "luma-async" if isinstance(found, BaseException) else f"luma-async {found}"
    verb = "has no" if isinstance(found, BaseException) else "has"
    raise BatchError(
        f'The {subject} {verb} {has}. Install "luma-async[cluster]" {__version__} there, as it is '
        "here. Nothing was submitted."
    )
