"""Tables: read CSV, TSV and JSON lines as rows of cells, with the place of each cell."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from luma_async.batch.columns import COLUMNS, heading, trimmed
from luma_async.batch.problems import Problem, TableError

_DELIMITERS = ",;\t"
"""Delimiters that Excel writes, depending on the country in its settings."""

_PRIVATE_USE = "".join(map(chr, range(0xE000, 0xF8FF)))
"""Characters to use as a delimiter of a file with a single column, so that nothing is split."""

_MAX_CELL = 10**7
"""Maximum number of characters in a cell. The default of the `csv` module is 131,072."""

_SEPARATOR_LINE = re.compile(
    r"""\ufeff?"?sep=(?P<delimiter>[^\r\n" ])"?[,;\t]*\r?\n?""", re.IGNORECASE
)
"""First line in which Excel names the delimiter, for Excel in other countries."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """The cells of one row by the names of their columns.

    In CSV a cell is text. In YAML it is text, a list or a mapping. In JSON it is any JSON value.
    """

    line: int
    cells: dict[str, Any]
    columns: dict[str, int] = field(default_factory=dict)
    header: int = 0
    """The line with the names of the columns, 0 if there is none."""

    def column(self, name: str) -> int:
        """Return the position of a cell in its line, 0 if it is unknown."""
        return self.columns.get(name, 0)


Reader = Callable[[str], Iterator[TableRow | Problem]]


def read_csv(text: str, *, delimiter: str | None = None) -> Iterator[TableRow | Problem]:
    """Read comma-, semicolon- or tab-separated values; the first line names the columns.

    Habits of spreadsheets are supported: a first line `sep=;`, missing or additional empty cells at
    the end of a row, blanks around cells, and a single column with commas in its texts.

    Raises:
        TableError: the file is empty, or its quotes do not match.

    """
    # Not splitlines(), which also splits at characters that prompts may contain, such as U+2028.
    lines = io.StringIO(text, newline="")
    before = 0
    if (separator := _SEPARATOR_LINE.fullmatch(lines.readline())) is not None:
        delimiter, before = separator["delimiter"], 1
    else:
        lines.seek(0)
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    yield from table_rows(_numbered(reader, before))


def table_rows(rows: Iterable[tuple[int, Sequence[str]]]) -> Iterator[TableRow | Problem]:
    """Name the cells of numbered rows. The first row that is not empty names the columns.

    Raises:
        TableError: all rows are empty.

    """
    names: list[str] | None = None
    columns: dict[str, int] = {}
    header = 0
    for line, cells in rows:
        if not any(cells):
            continue
        if names is None:
            names, header = [heading(cell) for cell in cells], line
            columns = {name: number for number, name in enumerate(names, 1)}
            yield from _problems_of_names(names, line)
        elif any(cells[len(names) :]) or "prompt" in names[len(cells) :]:
            yield _problem_of_length(line, len(cells), len(names))
        else:
            named = zip(names, cells, strict=False)  # empty cells at the end may be left out
            given = {name: cell for name, cell in named if name or cell}
            yield TableRow(line, given, columns, header)
    if names is None:
        raise TableError(0, 0, "the file is empty; its first line names the columns, as in: prompt")


def _numbered(reader: Any, before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the numbers of their first lines.

    Raises:
        TableError: quotes do not match.

    """
    line = before + 1
    try:
        for cells in _with_long_cells(reader):
            yield line, [trimmed(cell) for cell in cells]
            line = before + reader.line_num + 1
    except csv.Error as error:
        why = str(error)
        if "expected after" in why:  # that text names the delimiter, which may be a made-up one
            why = "a text continues after its closing quote"
        problem = f"{why}: are all quotes closed, and those within quotes written twice?"
        raise TableError(line, 0, problem) from None


def _with_long_cells(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Read rows with long cells. The limit is set for each row only, because it is global."""
    while True:
        limit = csv.field_size_limit(_MAX_CELL)
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
        f"this row has {has} {cells} and the first line {wanted}; a text that contains a separator "
        'or a line break must be in "quotes"',
    )


def read_tsv(text: str) -> Iterator[TableRow | Problem]:
    """Read tab-separated values like `read_csv`."""
    return read_csv(text, delimiter="\t")


def _delimiter(text: str) -> str:
    """Return the delimiter of the headings; for a single column, a character that is not in it."""
    head = next((line for line in io.StringIO(text, newline="") if line.strip()), "")

    def score(delimiter: str) -> tuple[int, int]:
        headings = [heading(cell.replace('"', "")) for cell in head.split(delimiter)]
        return sum(name in COLUMNS for name in headings), head.count(delimiter)

    best = max(_DELIMITERS, key=score)
    if best in head:
        return best
    return next((unused for unused in _PRIVATE_USE if unused not in text), "\x1f")


def _problems_of_names(names: list[str], line: int) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if name and name in seen:
            yield Problem(line, number, f"two columns have the name {name!r}")
        seen.add(name)


def read_json_lines(text: str) -> Iterator[TableRow | Problem]:
    """Read one JSON object from each line.

    Raises:
        TableError: the file is empty.

    """
    is_empty = True
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        is_empty = False
        try:
            cells = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            yield Problem(number, error.colno, f"this is not valid JSON: {error.msg}")
            continue
        except (ValueError, RecursionError) as error:
            yield Problem(number, 1, f"this cannot be read: {error}")
            continue
        if not isinstance(cells, dict):
            yield Problem(number, 1, 'a row must be an object, as in {"prompt": "a cat dances"}')
            continue
        yield TableRow(number, cells, {name: line.find(json.dumps(name)) + 1 for name in cells})
    if is_empty:
        raise TableError(0, 0, 'the file is empty; its lines are objects such as {"prompt": "..."}')


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is here twice")
    return found
