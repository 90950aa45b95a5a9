"""Local cluster: a Dask cluster of silent worker processes on this machine."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

_CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "500ms",
}
"""Configuration of Dask for local clusters: few statistics, because only a dashboard shows them.
By default, each process measures the delay of its event loop 50 times a second."""


@contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """Provide a `distributed.LocalCluster` that is to be awaited, and closed within the context."""
    import dask  # noqa: PLC0415  it takes half a second, and the extra may be missing
    from distributed import LocalCluster  # noqa: PLC0415

    make: Any = LocalCluster  # it has no types
    with dask.config.set(_CONFIG):
        yield make(
            n_workers=workers,
            threads_per_worker=1,
            worker_class=worker_class(),
            memory_limit=None,  # Dask would kill a worker above it, with all of its jobs
            # Without a port of its own, Dask warns if another cluster has port 8787.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            asynchronous=True,
            silence_logs=logging.CRITICAL,
        )


@contextmanager
def silenced_dask() -> Iterator[None]:
    """Keep Dask from printing in a context, also if its configuration says otherwise.

    It logs workers that die and connections that close, and this library reports what matters.
    """
    names = ("distributed", "tornado")
    handlers = [
        handler
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.startswith(names)
        for handler in logger.handlers
    ]
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


_uninterrupted = 0


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from the processes that start in a context. A terminal sends it to all.

    The coordinator tells its workers what an interrupt means.
    """
    global _uninterrupted  # noqa: PLW0603  contexts overlap, and the last one to end counts
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _uninterrupted += 1
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _uninterrupted -= 1
        if not _uninterrupted:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def worker_class() -> Any:
    """Return the class of local workers: processes that ignore Ctrl-C, also if restarted."""
    from distributed import Nanny  # noqa: PLC0415  it takes half a second to import

    if sys.platform != "win32":  # it has no such process
        # Starting it later would let the first process have Ctrl-C again.
        resource_tracker.ensure_running()

    class UninterruptedNanny(Nanny):
        async def instantiate(self) -> Any:
            with _without_interrupts():
                return await super().instantiate()

    return UninterruptedNanny
