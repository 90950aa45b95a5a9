"""results.jsonl: what became of each row, one line and one key at a time."""

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
from luma_async.batch.rows import Row
from luma_async.errors import BatchError
from luma_async.file_lock import lock, unlock

NAME = "results.jsonl"
_RESULT = TypeAdapter(Result)


class Results:
    """What became of the rows of a folder, in its file and in `all` by their keys.

    A line is written at once; the last one of a key counts, and it is the only one once the file
    was closed or is next opened. What a crash left half written is dropped then. One process at
    a time has it open.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all: dict[str, Result] = {}
        self._has_repeats = False
        self._file: TextIO | None = None
        self._guard: TextIO | None = None

    def open(self) -> None:
        """Read the results, and make ready to add some.

        Raises:
            BatchError: another process has them open, or they cannot be written.

        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._guard = (self.folder / f".{NAME}.lock").open("w", encoding="utf-8")
            self._take_lock(self._guard)
            self.all = {result.key: result for result in read_results(self.folder / NAME)}
            self._write_anew()
            self._file = (self.folder / NAME).open("a", encoding="utf-8")
        except OSError as error:
            self.close()
            why = error.strerror or error
            raise BatchError(
                f"The folder {str(self.folder)!r} cannot be used: {why}. Nothing was submitted."
            ) from None
        except BaseException:
            self.close()
            raise

    def add(self, result: Result) -> None:
        """Write down what became of a row.

        Raises:
            BatchError: it cannot be written.

        """
        assert self._file is not None  # noqa: S101  it is open
        try:
            self._file.write(_line(result))
            self._file.flush()
        except OSError as error:
            raise BatchError(
                f"What became of row {result.key!r} cannot be written to {NAME}: "
                f"{error.strerror or error}. The journal knows it: mend that, and run it again."
            ) from None
        self._has_repeats |= result.key in self.all
        self.all[result.key] = result

    def close(self) -> None:
        """Let go of the file. May be called at any time."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what is left of a line that could not be written
                self._file.close()
            with contextlib.suppress(OSError):  # it is done when the file is next opened
                if self._has_repeats:
                    self._write_anew()
        if self._guard is not None:
            with contextlib.suppress(OSError, ValueError):
                unlock(self._guard)
            self._guard.close()

    def _write_anew(self) -> None:
        path = self.folder / NAME
        new = path.with_name(f"{NAME}.new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(map(_line, self.all.values()))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def _take_lock(self, guard: TextIO) -> None:
        try:
            lock(guard)
        except (BlockingIOError, PermissionError):
            raise BatchError(
                f"Another batch is running in the folder {str(self.folder)!r}. Wait for it, or "
                "name another folder."
            ) from None
        except OSError:  # a file system without locks
            pass


def read_results(path: Path) -> Iterable[Result]:
    """Yield the results in a file, as far as they can be read."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in text.split("\n"):
        if (result := _read(line)) is not None:
            yield result


def is_lasting(result: Result, row: Row, folder: Path, *, retry_failed: bool) -> bool:
    """Whether nothing more is to be done for a row."""
    if result.asks is not None and result.asks != row.asks:
        return False  # the journal knows the row by its key, and says that it was changed
    if result.state is ResultState.DONE:
        return result.file is not None and (folder / result.file).is_file()
    return result.state is ResultState.FAILED and not retry_failed


def _line(result: Result) -> str:
    said = {name: value for name, value in asdict(result).items() if value is not None}
    return json.dumps(said, ensure_ascii=False) + "\n"


def _read(line: str) -> Result | None:
    try:
        return _RESULT.validate_json(line, strict=True)
    except ValidationError:
        return None
