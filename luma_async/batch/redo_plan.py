"""Redo plan: the rows of a batch that are redone in one run, by the user's wish or continued."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import anyio.to_thread

from luma_async.batch.notes import is_edited
from luma_async.batch.redo import (
    Redo,
    RedoFile,
    checked_redo,
    is_new_to_folder,
    job_to_replace,
    replaced_job,
)
from luma_async.batch.results import Result, ResultState
from luma_async.batch.rows import Row
from luma_async.journal import Entry, EntryState, Journal

_OPEN = (EntryState.SUBMITTING, EntryState.UNCERTAIN, EntryState.RUNNING)


class RedoPlan:
    """Rows to redo in one run of a batch, and the file of the jobs that they replace.

    Args:
        rows: the rows of the manifest, by their keys.
        folder: the folder of the batch.
        redo: keys of rows to redo.
        all_edited: `True` to redo all rows that were edited after their job was submitted.

    Attributes:
        left: keys of rows that are redone in this run, and have not ended.
        already_redone: keys of rows that are to be redone, and were redone by an interrupted run
            before.
        not_redone: keys of rows that cannot be redone, because they are running or uncertain.

    Raises:
        InvalidRequestError: a key in `redo` is not that of a row.

    """

    def __init__(
        self, rows: Mapping[str, Row], folder: Path, *, redo: Iterable[str], all_edited: bool
    ) -> None:
        self.left: set[str] = set()
        self.already_redone: list[str] = []
        self.not_redone: list[str] = []
        self._rows = rows
        self._wanted = checked_redo(redo, rows.keys())
        self._all_edited = all_edited
        self._file = RedoFile(folder)
        self._ended: set[str] = set()
        """Keys of rows whose redo has ended when this run has."""

    def read(self) -> None:
        """Read the jobs to replace that an interrupted run has left.

        Raises:
            OSError: the file cannot be read.

        """
        self._file.read()

    def finish(self) -> None:
        """Remove the rows of this run from the file, if all of them have ended."""
        if self._ended and not self.left:
            self._file.remove(self._ended)

    async def make(
        self, journal: Journal, results: Mapping[str, Result], entries: Mapping[str, EntryState]
    ) -> dict[str, Redo]:
        """Return the rows to redo, after writing the jobs to replace to the file of them.

        Rows that an interrupted run has begun to redo are among them, to get their videos. Those
        that it has not begun are redone only if that is asked for again. `entries` are the states
        of the keys in the journal: a row that has a video and a job that has not ended may have
        been redone, too.
        """
        ids = self._file.ids
        has_open_job = {
            key
            for key, result in results.items()
            if result.state is ResultState.DONE and entries.get(key) in _OPEN
        }
        wanted = set(self._wanted)
        if self._all_edited:
            wanted |= {
                key
                for key, row in self._rows.items()
                if key in results and is_edited(row, results[key])
            }
        redos: dict[str, Redo] = {}
        known = len(ids)
        for key in [
            key for key in self._rows if key in wanted or key in ids or key in has_open_job
        ]:
            entry, result = await journal.find(key), results.get(key)
            if key not in ids:
                id = self._job_to_redo(key, entry, result, is_wanted=key in wanted)
                if id is None:
                    continue
                ids[key] = id
            is_begun = entry is not None and entry.id != ids[key]
            if is_begun and key in wanted:
                self.already_redone.append(key)
            if key in wanted or is_begun:
                current = None if entry is None else entry.id
                redos[key] = Redo(ids[key], current, is_begun)
        is_whole = all(key in redos for key in self._rows if key in ids)
        self._ended = wanted | (redos.keys() if is_whole else set())
        if len(ids) > known:
            await anyio.to_thread.run_sync(self._file.write)
        return redos

    def _job_to_redo(
        self, key: str, entry: Entry | None, result: Result | None, *, is_wanted: bool
    ) -> str | None:
        """Return the id of the job of a row to redo, or `None` and note why there is none."""
        id = replaced_job(entry, result)
        if id is not None or not is_wanted:
            return id
        if is_new_to_folder(entry, result):
            self.already_redone.append(key)
            return None
        id = job_to_replace(entry, result)
        if id is None and entry is not None:
            self.not_redone.append(key)
        return id
