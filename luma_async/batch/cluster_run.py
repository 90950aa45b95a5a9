"""Cluster run: all that the coordinator of a batch and the workers of its cluster tell each other.

The coordinator ships a `ClusterRun` and `Shard`s. A worker sends `ShardNews` while it runs a shard,
and returns a `ShardReport` at its end. The report repeats the results, because news may be lost.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from luma_async.batch.output import Output
from luma_async.batch.progress import RunningRow, Stage
from luma_async.batch.results import Result
from luma_async.batch.results_file import line_of, parse_line
from luma_async.client import LumaClient
from luma_async.dialects import Dialect
from luma_async.errors import ConfigurationError, LumaError
from luma_async.journal import SQLJournal
from luma_async.version import __version__

ROOT = "luma-async"
"""First key of the metadata at Dask's scheduler, and beginning of the topics of its events."""


SCHEDULER_TIMEOUT = 10.0
"""Seconds that Dask's scheduler may take for a short answer. Dask itself has no limit for it."""


class Phase(StrEnum):
    """Phase of a run, as its coordinator has it."""

    RUNNING = "running"
    STOPPING = "stopping"
    """No more rows are submitted; running jobs are watched to their ends."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRun:
    """One run of a batch, as its workers know it. It has no API key.

    Attributes:
        id: unique.
        base_url: the server.
        dialect: the format of the server.
        journal: the path or URL of the journal, with its password if it has one.
        output: the place of the files.
        marker: the name of the file by which each worker must recognise the output; `None` if no
            worker checks that.
        max_tasks: maximum number of jobs that run at once, of all workers together.
        retry_failed: submit rows again that failed in an earlier run.
        retry_uncertain: submit rows again that an earlier run left uncertain.
        settings: further arguments of the workers' clients.
        version: the version of this library that the coordinator has.
        process: the process of the coordinator.

    """

    id: str
    base_url: str
    dialect: Dialect
    journal: str = field(repr=False)
    output: Output
    marker: str | None
    max_tasks: int
    retry_failed: bool = False
    retry_uncertain: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    version: str = __version__
    process: str

    @property
    def topic(self) -> str:
        """Topic of the events of this run."""
        return f"{ROOT}-{self.id}"

    def task_key(self, shard: str) -> str:
        """Return the key of the Dask task that runs a shard."""
        return f"{self.topic}-{shard}"

    @property
    def phase_keys(self) -> list[str]:
        """Keys of the metadata that has the phase, with a number that grows while it is valid."""
        return [ROOT, self.id, "phase"]

    def begun_keys(self, shard: str) -> list[str]:
        """Return the keys of the metadata with the address of the worker that began a shard."""
        return [ROOT, self.id, "begun", shard]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardNews:
    """News of a shard that is running.

    Attributes:
        shard: the name of the shard.
        results: results since the last news.
        running: all rows that run.
        paid, repeated: as in `Progress`, so far.
        has_problem: `True` if the worker has met an error that concerns all rows.

    """

    shard: str
    results: tuple[Result, ...]
    running: tuple[RunningRow, ...]
    paid: int
    repeated: int
    has_problem: bool

    def message(self) -> list[Any]:
        """Return the news as values that an event of Dask can have."""
        return [
            self.shard,
            [line_of(result) for result in self.results],
            [[row.key, row.stage.value, row.progress] for row in self.running],
            self.paid,
            self.repeated,
            self.has_problem,
        ]

    @classmethod
    def of_message(cls, message: Iterable[Any]) -> ShardNews:
        """Return the news in a message of a worker."""
        shard, lines, running, paid, repeated, has_problem = message
        results = (parse_line(line) for line in lines)
        return cls(
            shard=shard,
            results=tuple(result for result in results if result is not None),
            running=tuple(RunningRow(key, Stage(stage), done) for key, stage, done in running),
            paid=paid,
            repeated=repeated,
            has_problem=has_problem,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """End of a shard on one worker.

    Attributes:
        results: all results of the shard.
        paid, repeated: as in `Progress`.
        began_before: `True` if another worker had begun the shard and died. Then nothing was run.
        problem: the error that concerns all rows, if any.
        journal_problem: the error of the journal that has left rows to do, if any.
        unreachable: the error of the last row, if no row has reached the server.

    """

    results: tuple[Result, ...] = ()
    paid: int = 0
    repeated: int = 0
    began_before: bool = False
    problem: LumaError | None = None
    journal_problem: LumaError | None = None
    unreachable: LumaError | None = None


def process_name() -> str:
    """Return a name of this process that no other process of any machine has."""
    return f"{socket.gethostname()}-{os.getpid()}"


def place_of_journal(luma: LumaClient, *, is_local: bool) -> str:
    """Return the path or URL of a journal for the workers.

    Raises:
        ConfigurationError: the workers cannot use it.

    """
    journal = luma.journal
    if not isinstance(journal, SQLJournal):
        raise ConfigurationError(
            "A batch on a cluster needs a journal that the workers can open, such as "
            "LumaClient(journal='postgresql://user@host/name')."
        )
    if journal.is_file and not is_local:
        raise ConfigurationError(
            "The workers of a cluster cannot share a journal in a SQLite file: use one in "
            "PostgreSQL, with --journal postgresql://user@host/name or "
            "LumaClient(journal='postgresql://user@host/name')."
        )
    return journal.location


_SHIPPED = (
    *("max_requests", "timeout", "max_tries", "task_timeout", "link_timeout", "batch_size"),
    *("max_image_bytes", "allow_local_files", "max_downloads", "trust_env", "telemetry"),
    *("min_download_speed", "max_download_bytes", "allow_private_media"),
)
"""Settings of the client that the clients of the workers have as well."""


def shipped_settings(luma: LumaClient) -> dict[str, Any]:
    """Return the settings of a client that the clients of the workers have as well."""
    settings: dict[str, Any] = dict(luma.settings)
    return {name: settings[name] for name in _SHIPPED}
