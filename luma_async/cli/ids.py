"""Lists of job keys and ids, read from a file or from standard input.

`luma-async settle --ids` reads them in the forms in which people and programs write them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from luma_async.batch.encodings import decoded
from luma_async.batch.problems import Problem, TableError, manifest_error
from luma_async.cli.interruption import read_stdin
from luma_async.errors import InvalidRequestError, ManifestError
from luma_async.journal.fingerprint import checked_key

STDIN = "-"
_KEY_NAMES = ("key", "job_key")
_ID_NAMES = ("id", "task_id", "taskid", "task")
_DELIMITERS = ",;\t"


class IdLine(NamedTuple):
    """Job key and job id in a line, with the line's number; the id may be missing."""

    number: int
    key: str
    id: str | None


class _InvalidLineError(Exception):
    """Error in a line."""


class _Columns(NamedTuple):
    """Positions of the key and the id in a table with a header."""

    delimiter: str
    key: int
    id: int


def read_ids(place: str) -> tuple[list[IdLine], dict[int, str]]:
    """Read a list, and return its valid lines, and the problems of the others by number.

    The place `-` is standard input. A line is `KEY ID` with blanks between, two cells of CSV (in
    the order of a header `key,id`, which may have further columns), or a JSON object with a `key`
    and an `id`. The id may be missing. Blocks the calling thread, which must be the main thread for
    standard input.

    Raises:
        KeyboardInterrupt: a signal came during the wait for standard input.
        InvalidRequestError: the file cannot be read.
        ManifestError: the file is not a text file.

    """
    try:
        data = read_stdin() if place == STDIN else Path(place).read_bytes()
    except OSError as error:
        why = f"{place} cannot be read: {error.strerror or error}"
        raise InvalidRequestError.of("ids", why) from None
    try:
        text = decoded(data, str(_shown_path(place)))
    except TableError as error:
        raise manifest_error(_shown_path(place), [error.problem]) from None
    return _parse(text)


def invalid_lines(place: str, problems: Mapping[int, str]) -> ManifestError:
    """Return the error for a list whose lines have problems, by their numbers."""
    found = [Problem(number, 0, text) for number, text in problems.items()]
    return manifest_error(_shown_path(place), found)


def _shown_path(place: str) -> Path:
    return Path("standard input" if place == STDIN else place)


def _parse(text: str) -> tuple[list[IdLine], dict[int, str]]:
    lines: list[IdLine] = []
    problems: dict[int, str] = {}
    columns: _Columns | None = None
    is_first = True
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip("\r")
        if not line.strip():
            continue
        header = _parse_header(line) if is_first else None
        is_first = False
        if header is not None:
            columns = header
            continue
        try:
            key, id = _parse_line(line, columns)
        except _InvalidLineError as error:
            problems[number] = str(error)
        else:
            lines.append(IdLine(number, key, id))
    return lines, problems


def _parse_header(line: str) -> _Columns | None:
    """Return the columns that a first line names, or `None` if it is not a header."""
    for delimiter in _DELIMITERS:
        names = [name.strip().lower() for name in _cells(line, delimiter)]
        key = next((names.index(name) for name in _KEY_NAMES if name in names), None)
        id = next((names.index(name) for name in _ID_NAMES if name in names), None)
        if key is not None and id is not None:
            return _Columns(delimiter, key, id)
    return None


def _parse_line(line: str, columns: _Columns | None) -> tuple[str, str | None]:
    """Return the key and the id in a line.

    Raises:
        _InvalidLineError: the line is not valid.

    """
    if line.lstrip().startswith("{"):
        return _parse_json(line)
    if columns is not None:
        cells = _cells(line, columns.delimiter)
        if max(columns.key, columns.id) >= len(cells):
            raise _InvalidLineError("this line has fewer cells than the header")
        return _checked(cells[columns.key], cells[columns.id])
    delimiter = next((each for each in _DELIMITERS if each in line), None)
    if delimiter is not None:
        cells = _cells(line, delimiter)
        if len(cells) != 2:
            raise _InvalidLineError(f"expected KEY{delimiter}ID, found {len(cells)} cells")
        return _checked(cells[0], cells[1])
    # A key may hold blanks, an id holds none.
    words = line.strip().rsplit(maxsplit=1)
    return _checked(words[0], words[1] if len(words) == 2 else "")


def _parse_json(line: str) -> tuple[str, str | None]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _InvalidLineError(f"this line is not valid JSON: {error}") from None
    found = {name.lower(): value for name, value in document.items()}
    key = next((found[name] for name in _KEY_NAMES if name in found), None)
    id = next((found[name] for name in _ID_NAMES if found.get(name) is not None), None)
    if not isinstance(key, str):
        raise _InvalidLineError(
            'must be an object with a "key", as `luma-async jobs --json` prints it'
        )
    return _checked(key, id)


def _checked(key: str, id: Any) -> tuple[str, str | None]:
    if not key.strip():
        raise _InvalidLineError("the key is missing")
    try:
        checked_key(key)
    except InvalidRequestError as error:
        raise _InvalidLineError(str(error)) from None
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if id is not None and not isinstance(id, str):
        raise _InvalidLineError(f"{id!r} is not a valid id")
    return key, (id or "").strip() or None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return [line]
    return [cell.strip() for cell in cells]
