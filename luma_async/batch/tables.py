"""Tables: CSV, JSON lines or YAML as records of cells, each of which knows where it stands."""

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
"""What Excel writes depends on the country that it is set to."""

_NEVER_WRITTEN = "".join(map(chr, range(0xE000, 0xF8FF)))
"""Characters of private use, to separate cells where nothing does."""

_LONGEST_CELL = 10**7
"""Characters."""

_SEPARATOR_LINE = re.compile(
    r"""\ufeff?"?sep=(?P<delimiter>[^\r\n" ])"?[,;\t]*\r?\n?""", re.IGNORECASE
)
"""Excel's first line for Excel in other countries."""


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


Read = Callable[[str], Iterator[Record | Problem]]


def read_csv(text: str, *, delimiter: str | None = None) -> Iterator[Record | Problem]:
    """Read comma-, semicolon- or tab-separated values; the first line names the columns.

    What spreadsheets do is understood: a line `sep=;` before it, empty cells at the end of a row
    that are left out or many, blanks around cells, and a single column whose texts have commas.

    Raises:
        TableError: it has no first line, or its quotes do not match.

    """
    # Not by splitlines(): what else may separate lines stands in many a prompt.
    lines = io.StringIO(text, newline="")
    before = 0
    if (said := _SEPARATOR_LINE.fullmatch(lines.readline())) is not None:
        delimiter, before = said["delimiter"], 1
    else:
        lines.seek(0)
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    yield from records(_numbered(reader, before))


def records(rows: Iterable[tuple[int, Sequence[str]]]) -> Iterator[Record | Problem]:
    """Read numbered rows of cells, the first of which that is not empty names the columns.

    Raises:
        TableError: there is none.

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
            yield Record(line, given, columns, header)
    if names is None:
        raise TableError(0, 0, "the file is empty; its first line names the columns, as in: prompt")


def _numbered(reader: Any, before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the numbers of the lines that they begin in.

    Raises:
        TableError: its quotes do not match.

    """
    line = before + 1
    try:
        for cells in _with_long_cells(reader):
            yield line, [trimmed(cell) for cell in cells]
            line = before + reader.line_num + 1
    except csv.Error as error:
        why = str(error)
        if "expected after" in why:  # it names the separator, which may be one that is not there
            why = "a text goes on after its closing quote"
        problem = f"{why}: are all quotes closed, and those within quotes written twice?"
        raise TableError(line, 0, problem) from None


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
    """Return what separates the headings; of one column, what nothing is separated by."""
    head = next((line for line in io.StringIO(text, newline="") if line.strip()), "")

    def fitness(delimiter: str) -> tuple[int, int]:
        headings = [heading(cell.replace('"', "")) for cell in head.split(delimiter)]
        return sum(name in COLUMNS for name in headings), head.count(delimiter)

    best = max(_DELIMITERS, key=fitness)
    if best in head:
        return best
    return next((unused for unused in _NEVER_WRITTEN if unused not in text), "\x1f")


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
