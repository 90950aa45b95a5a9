"""Redo: submit rows anew whose jobs have ended, once for each time that the user asks for it.

`.redo.json` in the folder of a batch has the ids of the jobs to replace, by job key. It is written
before anything is submitted. A redo that was interrupted is therefore continued by the next run
that asks for it, and a row whose key has another job by then is not paid again. Once all rows of
the redo have their new jobs, the file is deleted, and the same redo is another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from luma_async.batch.results import Result, ResultState
from luma_async.errors import InvalidRequestError
from luma_async.journal import Entry, EntryState

NAME = ".redo.json"


@dataclass(frozen=True, slots=True)
class Redo:
    """A row to submit anew.

    Attributes:
        replaces: id of the job that the new one replaces.
        current: id of the job that the key has in the journal now, if it has one.
        is_begun: `True` if the job was replaced already, by a run that was interrupted.

    """

    replaces: str
    current: str | None
    is_begun: bool


def checked_redo(keys: Iterable[str], rows: Collection[str]) -> frozenset[str]:
    """Return the job keys of rows to redo.

    Raises:
        InvalidRequestError: a key is not that of a row, or `keys` is a single text.

    """
    if isinstance(keys, str):
        raise InvalidRequestError.of("redo", f"must be a list of job keys, got {keys!r}")
    found = frozenset(keys)
    if unknown := sorted(found.difference(rows)):
        raise InvalidRequestError.of("redo", f"no row has the key {unknown[0]!r}")
    return found


class RedoFile:
    """Ids of the jobs to replace, by job key. They survive the end of the process.

    The lock of the results file keeps other processes from using the file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.ids: dict[str, str] = {}

    def read(self) -> None:
        """Read the ids that an interrupted run has left. A damaged file counts as none."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return
        if isinstance(found, dict):
            self.ids = {key: id for key, id in found.items() if isinstance(id, str)}

    def write(self) -> None:
        """Write the ids, so that they survive a power cut."""
        new = self.path.with_name(f"{NAME}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self.ids, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove rows whose redo has ended, and delete the file with the last one."""
        for key in keys:
            self.ids.pop(key, None)
        if self.ids:
            self.write()
        else:
            self.path.unlink(missing_ok=True)


def replaced_job(entry: Entry | None, result: Result | None) -> str | None:
    """Return the id of the job in a result if a redo has replaced it; `None` if none has.

    The journal tells that also if the file of the redo is lost, or was never in this folder.
    """
    if entry is None or result is None or result.id is None or result.id == entry.id:
        return None
    # A redo that failed has ended, and the row may have kept its earlier video.
    if entry.state in (EntryState.FAILED, EntryState.LOST):
        return None
    is_replaced = entry.state is EntryState.COMPLETED or result.id in entry.earlier_ids
    return result.id if is_replaced else None


def is_new_to_folder(entry: Entry | None, result: Result | None) -> bool:
    """Return `True` if the job of a row is completed, and no result tells of any job.

    The run that submitted it was interrupted, and the video was never here.
    """
    has_result = result is not None and result.id is not None
    return entry is not None and entry.state is EntryState.COMPLETED and not has_result


def job_to_replace(entry: Entry | None, result: Result | None) -> str | None:
    """Return the id of the job of a row that may be redone; `None` if there is none.

    A job that is running or uncertain is paid for, and may still give a video.
    """
    if entry is None:
        return None if result is None else result.id
    if entry.state in (EntryState.COMPLETED, EntryState.FAILED, EntryState.LOST):
        return entry.id
    # A process that was killed may have left a job running in the journal that has ended.
    is_done = result is not None and result.state is ResultState.DONE and result.id == entry.id
    return entry.id if entry.state is EntryState.RUNNING and is_done else None
