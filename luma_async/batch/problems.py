"""Problems of a manifest: each has its place, its field, and a text that says how to correct it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luma_async.errors import ManifestError

_MAX_SHOWN = 50
"""Maximum number of problems in the text of one error; the rest are counted."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A problem at a place of a file.

    Lines and columns are counted from 1; 0 stands for an unknown one. In a spreadsheet, the line is
    the number of the row.
    """

    line: int
    column: int
    text: str
    field: str = ""
    """Name of the column or field with the problem, if it is about the content of one."""

    def at(self, path: Path | None) -> str:
        """Return the problem in the format of compilers: `file:line:column: field: text`.

        Without a path, the place is `row 3`.
        """
        if path is None:
            place = f"row {self.line}" if self.line else "rows"
        else:
            numbers = [str(number) for number in (self.line, self.column) if number]
            place = ":".join([str(path), *numbers])
        text = ": ".join([place, *([self.field] if self.field else []), self.text])
        return " ".join(text.splitlines())  # a name may contain line breaks

    def fields(self, path: Path | None) -> dict[str, Any]:
        """Return the problem as JSON values; unknown ones are `None`."""
        return {
            "file": None if path is None else str(path),
            "line": self.line or None,
            "column": self.column or None,
            "field": self.field or None,
            "error": self.text,
        }


class TableError(Exception):
    """Error of a file that cannot be read as a table at all."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, column, text)


def manifest_error(path: Path | None, problems: Iterable[Problem]) -> ManifestError:
    """Return an error with all problems, in the order of the file."""
    found = sorted(problems)
    lines = [problem.at(path) for problem in found[:_MAX_SHOWN]]
    if len(found) > _MAX_SHOWN:
        lines.append(f"and {len(found) - _MAX_SHOWN:,} more")
    return ManifestError("\n".join(lines), [problem.fields(path) for problem in found])
