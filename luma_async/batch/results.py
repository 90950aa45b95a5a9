"""results.jsonl: what became of each row, one line and one key at a time."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self, TextIO

from luma_async.batch.result import Result, ResultState
from luma_async.file_lock import lock, unlock

NAME = "results.jsonl"
_FIELDS = {field.name for field in fields(Result)}


class Results:
    """The results of a folder: those of earlier runs that still hold, and those that come. Blocks.

    A line is appended when a row has ended, so a crash loses none; half a line that a crash left
    is dropped when the file is next opened.
    """

    def __init__(self, folder: Path, file: TextIO, kept: dict[str, Result], guard: TextIO) -> None:
        self.folder = folder
        self.all = kept
        self._file = file
        self._guard = guard

    @classmethod
    def open(cls, folder: Path, *, holds: Callable[[Result], bool]) -> Self:
        """Open the results of a folder, and leave out those that do not hold any more.

        Raises:
            OSError: they cannot be written; `BlockingIOError` if another process writes them.

        """
        folder.mkdir(parents=True, exist_ok=True)
        guard = (folder / f".{NAME}.lock").open("w", encoding="utf-8")
        try:
            lock(guard)
        except (BlockingIOError, PermissionError):
            guard.close()
            raise BlockingIOError(
                errno.EAGAIN, "another batch is running in this folder", str(folder)
            ) from None
        except OSError:  # a file system without locks
            pass
        path = folder / NAME
        kept = {result.key: result for result in read_results(path) if holds(result)}
        new = path.with_name(f"{NAME}.new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(_line(result) for result in kept.values())
        new.replace(path)
        return cls(folder, path.open("a", encoding="utf-8"), kept, guard)

    def add(self, result: Result) -> None:
        """Write down what became of a row that has no result yet."""
        self._file.write(_line(result))
        self._file.flush()
        self.all[result.key] = result

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        with contextlib.suppress(OSError, ValueError):
            unlock(self._guard)
        self._guard.close()


def read_results(path: Path) -> Iterable[Result]:
    """Yield the results in a file, as far as they can be read; the last one of a key counts."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        if (result := _read(line)) is not None:
            yield result


def _line(result: Result) -> str:
    said = {name: value for name, value in asdict(result).items() if value is not None}
    return json.dumps(said, ensure_ascii=False) + "\n"


def _read(line: str) -> Result | None:
    try:
        document: Any = json.loads(line)
        known = {name: value for name, value in document.items() if name in _FIELDS}
        return Result(**{**known, "state": ResultState(known["state"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
