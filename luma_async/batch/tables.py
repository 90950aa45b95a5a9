"""Tables: CSV, JSON lines or YAML as records of cells, each of which knows where it stands."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from luma_async.batch.problems import Problem

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DELIMITERS = ",;\t"
"""What Excel writes depends on the country that it is set to."""

_LONGEST_CELL = 10**7
"""Characters."""


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one row by the names of their columns.

    In CSV and YAML a cell is text, or in YAML a list or mapping; in JSON it is what JSON can say.
    """

    line: int
    cells: dict[str, Any]
    columns: dict[str, int] = field(default_factory=dict)
    header: int = 0
    """The line that names the columns, if one does."""

    def column(self, name: str) -> int:
        """Return where a cell stands in its line, 0 if that is not known."""
        return self.columns.get(name, 0)


class TableError(Exception):
    """A file that cannot be read as a table; nothing of it can."""

    def __init__(self, line: int, column: int, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(line, column, text)


Read = Callable[[str], Iterator[Record | Problem]]


def decoded(data: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 if it begins with a mark of that.

    Raises:
        TableError: it is neither.

    """
    mark, encoding = next(
        ((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    data = data[len(mark) :]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise TableError(
            line,
            column,
            f"byte 0x{data[error.start]:02x} is no {encoding.upper()}; save the file as UTF-8 "
            "(in Excel: 'CSV UTF-8')",
        ) from None
    if "\0" in text:
        before = text[: text.index("\0")]
        raise TableError(
            before.count("\n") + 1,
            len(before) - before.rfind("\n"),
            "there is a NUL here, so this is no text; save the file as UTF-8",
        )
    return text


def read_csv(text: str, *, delimiter: str | None = None) -> Iterator[Record | Problem]:
    """Read comma-, semicolon- or tab-separated values; the first line names the columns.

    Raises:
        TableError: it has no first line, or its quotes do not match.

    """
    # Not by splitlines(): what else may separate lines stands in many a prompt.
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter or _delimiter(text), strict=True)
    names: list[str] | None = None
    columns: dict[str, int] = {}
    header = start = 0
    try:
        for cells in _with_long_cells(reader):
            line, start = start + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names, header = [cell.strip() for cell in cells], line
                columns = {name: number for number, name in enumerate(names, 1)}
                yield from _problems_of_names(names, line)
            elif len(cells) != len(names):
                yield _problem_of_length(line, len(cells), len(names))
            else:
                named = zip(names, cells, strict=True)
                given = {name: cell for name, cell in named if name or cell}
                yield Record(line, given, columns, header)
    except csv.Error as error:
        raise TableError(start + 1, 0, f"{error}: are all quotes closed?") from None
    if names is None:
        raise TableError(0, 0, "the file is empty; its first line names the columns, as in: prompt")


def _with_long_cells(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Read rows whose cells may be long, and leave the limit of the program as it is."""
    while True:
        limit = csv.field_size_limit(_LONGEST_CELL)
        try:
            row = next(reader, None)
        finally:
            csv.field_size_limit(limit)
        if row is None:
            return
        yield row


def _problem_of_length(line: int, has: int, wanted: int) -> Problem:
    cells = "cell" if has == 1 else "cells"
    return Problem(
        line,
        min(has, wanted) + 1,
        f"this row has {has} {cells} and the first line {wanted}; a text with a separator or a "
        'line break in it stands in "quotes"',
    )


def read_tsv(text: str) -> Iterator[Record | Problem]:
    """Read tab-separated values, as `read_csv`."""
    return read_csv(text, delimiter="\t")


def _delimiter(text: str) -> str:
    head = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=head.count)


def _problems_of_names(names: list[str], line: int) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if name and name in seen:
            yield Problem(line, number, f"there are two columns {name!r}")
        seen.add(name)


def read_json_lines(text: str) -> Iterator[Record | Problem]:
    """Read one JSON object from each line.

    Raises:
        TableError: there is none.

    """
    is_empty = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        is_empty = False
        try:
            cells = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            yield Problem(number, error.colno, f"this is no JSON: {error.msg}")
            continue
        except (ValueError, RecursionError) as error:
            yield Problem(number, 1, f"this cannot be read: {error}")
            continue
        if not isinstance(cells, dict):
            yield Problem(number, 1, 'a row is an object, as in {"prompt": "a cat dances"}')
            continue
        yield Record(number, cells, {name: line.find(json.dumps(name)) + 1 for name in cells})
    if is_empty:
        raise TableError(0, 0, 'the file is empty; its lines are objects such as {"prompt": "..."}')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands here twice")
    return found
