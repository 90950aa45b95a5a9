"""Problems of a manifest: each with its place, its field, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.errors import ManifestError

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong; lines and columns count from 1, and 0 means no one of them.

    In a spreadsheet the line is the number of the row.
    """

    line: int
    column: int
    text: str
    field: str = ""
    """The column or field that it is about, if it is about the content of one."""

    def at(self, path: Path) -> str:
        """Return it as editors and compilers write it: `file:line:column: text`."""
        place = [str(path), *(str(number) for number in (self.line, self.column) if number)]
        said = ": ".join([":".join(place), *([self.field] if self.field else []), self.text])
        return " ".join(said.splitlines())  # a name may hold line breaks

    def fields(self, path: Path) -> dict[str, Any]:
        """Return it as data, with `None` where there is nothing."""
        return {
            "file": str(path),
            "line": self.line or None,
            "column": self.column or None,
            "field": self.field or None,
            "error": self.text,
        }


class TableError(Exception):
    """A file that cannot be read as a table; nothing of it can."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, column, text)


def manifest_error(path: Path, problems: Iterable[Problem]) -> ManifestError:
    """Return the error that says all of them, in the order of the file."""
    found = sorted(problems)
    lines = [problem.at(path) for problem in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"and {len(found) - MOST_SHOWN:,} more")
    return ManifestError("\n".join(lines), [problem.fields(path) for problem in found])
