"""Options of a batch, and the commands that continue and settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luma_async.batch.next_steps import MAX_NAMED, redo_option, settle_all
from luma_async.batch.remote_files import without_secrets
from luma_async.cli.connection import Connection
from luma_async.cli.options import DEFAULT_MAX_DOWNLOADS, DEFAULT_MAX_TASKS
from luma_async.client_settings import ClientSettings, MaxTasksScope
from luma_async.shell import shell_word

STDIN = Path("-")
"""Name of standard input on the command line."""

JOURNAL = "jobs.db"
"""Name of the journal in the output folder, if no other journal is named."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Options of `luma-async batch`.

    `folder` is the local folder, and `output` the URL of the videos if they are not there.
    `own_command` is the command that runs the batch if that is not `luma-async batch`.
    """

    manifest: Path
    folder: Path
    max_tasks: int = DEFAULT_MAX_TASKS
    max_tasks_scope: MaxTasksScope = "client"
    max_downloads: int = DEFAULT_MAX_DOWNLOADS
    limit_jobs: int | None = None
    retry_failed: bool = False
    retry_uncertain: bool = False
    redo: tuple[str, ...] = ()
    redo_edited: bool = False
    format: str | None = None
    output: str | None = None
    kept_format: str = "csv"
    cluster: str | None = None
    own_command: str | None = None

    @property
    def from_stdin(self) -> bool:
        """`True` if the rows are those of standard input."""
        return self.manifest == STDIN

    def client_settings(self) -> ClientSettings:
        """Return the settings of the client that submits the rows."""
        settings = ClientSettings(max_downloads=self.max_downloads)
        if self.max_tasks_scope == "journal":
            settings |= ClientSettings(max_tasks=self.max_tasks, max_tasks_scope="journal")
        return settings

    @property
    def title(self) -> str:
        """Name of the batch."""
        return self.folder.absolute().name if self.from_stdin else self.manifest.stem

    def kept_rows(self, format: str) -> Path:
        """Return the file in the output folder that keeps the rows of standard input."""
        return self.folder / f"rows.{format}"

    @property
    def default_journal(self) -> str:
        """Path of the journal in the output folder."""
        return str(self.folder / JOURNAL)

    def has_own_journal(self, connection: Connection) -> bool:
        """Return `True` if the journal is the default one in the output folder."""
        return connection.journal == self.default_journal

    def continue_command(self, connection: Connection) -> str:
        """Return the command that continues the batch.

        Rows of standard input are read from the file that keeps them. As before, paths of images
        start from the current folder.
        """
        if self.own_command is not None:
            return self.own_command
        command = self._continue_command(connection)
        if not self.from_stdin:
            return command
        return f"{command} < {shell_word(str(self.kept_rows(self.kept_format)))}"

    def command_without_cluster(self, connection: Connection) -> str:
        """Return the command that continues the batch here, because a cluster redoes no rows."""
        return replace(self, cluster=None).continue_command(connection)

    def redo_command(self, connection: Connection, keys: Sequence[str]) -> str:
        """Return the command that submits rows anew."""
        named = [redo_option(key) for key in keys[:MAX_NAMED]]
        return " ".join([self.command_without_cluster(connection), *named])

    def repeat_command(self, connection: Connection) -> str:
        """Return the command that continues an interrupted run, with its rows to redo."""
        options = [redo_option(key) for key in self.redo]
        options += ["--redo-edited"] if self.redo_edited else []
        return " ".join([self.continue_command(connection), *options])

    def _continue_command(self, connection: Connection) -> str:
        numbers = {
            "max-tasks": (self.max_tasks, DEFAULT_MAX_TASKS),
            "max-downloads": (self.max_downloads, DEFAULT_MAX_DOWNLOADS),
            "limit-jobs": (self.limit_jobs, None),
        }
        path = str(self.manifest)
        return connection.command_that_submits(
            "batch",
            f"./{path}" if path.startswith("-") and not self.from_stdin else path,
            *connection.downloads.words(),
            *(["--max-tasks-scope=journal"] if self.max_tasks_scope == "journal" else []),
            output=self._output_option,
            folder=self._folder_option,
            format=self.format,
            cluster=self.cluster,
            journal=None if self.has_own_journal(connection) else connection.journal,
            **{name: str(n) for name, (n, default) in numbers.items() if n != default},
        )

    @property
    def _output_option(self) -> str | None:
        if self.output is not None:
            return without_secrets(self.output)
        return None if self._is_in_default_folder else str(self.folder)

    @property
    def _folder_option(self) -> str | None:
        return None if self.output is None or self._is_in_default_folder else str(self.folder)

    @property
    def _is_in_default_folder(self) -> bool:
        return self.folder == default_folder(self.manifest)

    def settle_all_command(self, connection: Connection, keys: Sequence[str]) -> str:
        """Return the command that marks all uncertain rows of the batch rejected."""
        is_shared = not self.has_own_journal(connection)
        return settle_all(keys, connection.journal_command("settle"), has_others=is_shared)


def default_folder(manifest: Path) -> Path:
    """Return the default output folder: beside the manifest, so not in the current folder.

    The batch finds the same folder, and so the same journal, wherever it is run from.
    """
    # A path such as `.` or `/` has no name, so no suffix. Reading it as a manifest is the error.
    return manifest.with_suffix("") if manifest.name else manifest
