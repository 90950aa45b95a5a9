"""results.jsonl: the results of a batch, one line of JSON for each row."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from pydantic import TypeAdapter, ValidationError

from luma_async.batch.results import Result, ResultState
from luma_async.errors import BatchError
from luma_async.file_lock import lock, unlock

NAME = "results.jsonl"

_RESULT = TypeAdapter(Result)


class ResultsFile:
    """Results of the rows of a folder, in its `results.jsonl` and in `all` by their keys.

    `added` has those that were added since the file was opened, in this order.

    Each result is written at once. If a key has several lines, the last one counts; closing or
    opening the file rewrites it with one line for each key, and without lines that a crash left
    incomplete. A lock keeps other processes from opening the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.all: dict[str, Result] = {}
        self.added: list[Result] = []
        self._has_repeats = False
        self._file: TextIO | None = None
        self._lock_file: TextIO | None = None

    def open(self) -> None:
        """Lock the file, read its results, and open it for further ones.

        Raises:
            BatchError: another process has the file open, or it cannot be written.

        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = (self.folder / f".{NAME}.lock").open("w", encoding="utf-8")
            self._lock(self._lock_file)
            self.all = {result.key: result for result in read_results(self.path)}
            self._rewrite()
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            self.close()
            why = error.strerror or error
            raise BatchError(
                f"The folder {str(self.folder)!r} cannot be used: {why}. Nothing was submitted."
            ) from None
        except BaseException:
            self.close()
            raise

    def add(self, result: Result, *, has_ended: bool = True) -> None:
        """Write the result of a row. It counts as added if the row `has_ended` in this run.

        Raises:
            BatchError: the file cannot be written.

        """
        assert self._file is not None  # noqa: S101  the runner opens it first
        try:
            self._file.write(line_of(result))
            self._file.flush()
        except OSError as error:
            raise BatchError(
                f"The result of row {result.key!r} cannot be written to {NAME}: "
                f"{error.strerror or error}. Its job is in the journal: correct the problem, and "
                "run the batch again."
            ) from None
        self._has_repeats |= result.key in self.all
        self.all[result.key] = result
        if has_ended:
            self.added.append(result)

    def merge(self, results: Iterable[Result]) -> list[Result]:
        """Write results of the same rows from elsewhere, and return those that were new here.

        A row that is done is replaced only if it was redone elsewhere since then. Any other row is
        replaced if it is done elsewhere.

        Raises:
            BatchError: the file cannot be written.

        """
        taken = []
        for result in {result.key: result for result in results}.values():
            own = self.all.get(result.key)
            if own is None or (result.state is ResultState.DONE and _is_older(own, result)):
                self.add(result, has_ended=False)
                taken.append(result)
        return taken

    def close(self) -> None:
        """Close and unlock the file. It may be called at any time, and more than once."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the rest of a line that could not be written
                self._file.close()
            with contextlib.suppress(OSError):  # the next `open` does it
                if self._has_repeats:
                    self._rewrite()
        if self._lock_file is not None:
            with contextlib.suppress(OSError, ValueError):
                unlock(self._lock_file)
            self._lock_file.close()

    def _rewrite(self) -> None:
        new = self.path.with_name(f"{NAME}.new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(map(line_of, self.all.values()))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def _lock(self, file: TextIO) -> None:
        try:
            lock(file)
        except (BlockingIOError, PermissionError):
            raise BatchError(
                f"Another batch is running in the folder {str(self.folder)!r}. Wait for it, or "
                "choose another folder."
            ) from None
        except OSError:  # the file system has no locks
            pass


def _is_older(own: Result, done: Result) -> bool:
    """Return `True` if a result is not done, or its job was replaced by that of another result."""
    return own.state is not ResultState.DONE or own.id in {video.id for video in done.earlier}


def read_results(path: Path) -> Iterable[Result]:
    """Yield the results in a file. Lines that cannot be read are skipped."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from parse_results(text)


def parse_results(text: str) -> Iterable[Result]:
    """Yield the results in a text. Lines that cannot be read are skipped."""
    for line in text.split("\n"):
        if (result := parse_line(line)) is not None:
            yield result


def has_file(result: Result, folder: Path) -> bool:
    """Return `True` if a row is done and all its files are in the folder."""
    if result.state is not ResultState.DONE or result.file is None:
        return False
    files = [output.file for output in result.outputs] or [result.file]
    return all((folder / file).is_file() for file in files)


def line_of(result: Result) -> str:
    """Return the line of a result in the file."""
    known = {name: value for name, value in asdict(result).items() if value not in (None, ())}
    for output in known.get("outputs", ()):
        if output["bytes"] is None:
            del output["bytes"]
    return json.dumps(known, ensure_ascii=False) + "\n"


def parse_line(line: str) -> Result | None:
    """Return the result in a line; `None` if it cannot be read."""
    try:
        return _RESULT.validate_json(line, strict=True)
    except ValidationError:
        return None
