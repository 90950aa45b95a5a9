"""Ids: a list of job keys and their tasks, as a user or a program writes it down."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from luma_async.batch.encodings import decoded
from luma_async.batch.problems import Problem, TableError, manifest_error
from luma_async.errors import InvalidRequestError, ManifestError
from luma_async.journal.fingerprint import checked_key

STDIN = "-"
_KEY_NAMES = ("key", "job_key")
_ID_NAMES = ("id", "task_id", "taskid", "task")
_DELIMITERS = ",;\t"


class Line(NamedTuple):
    """A job key and the id of its task, `None` if there is none, with the number of their line."""

    number: int
    key: str
    id: str | None


class _WrongLineError(Exception):
    """A line that names no job, and why."""


class _Columns(NamedTuple):
    """The positions of the key and the id in a line of a table."""

    delimiter: str
    key: int
    id: int


def read_ids(place: str) -> tuple[list[Line], dict[int, str]]:
    """Return the lines of a file, and the problems of those that are wrong by number. Blocks.

    The name `-` is standard input. A line is `KEY ID` with blanks between, two cells of CSV (in the
    order that a first line `key,id` says, with any further columns), or an object of JSON with a
    `key` and an `id`. The id may be missing.

    Raises:
        InvalidRequestError: the file cannot be read.
        ManifestError: it is not text.

    """
    try:
        data = sys.stdin.buffer.read() if place == STDIN else Path(place).read_bytes()
    except OSError as error:
        why = f"{place} cannot be read: {error.strerror or error}"
        raise InvalidRequestError.of("ids", why) from None
    try:
        text = decoded(data, str(_shown(place)))
    except TableError as error:
        raise manifest_error(_shown(place), [error.problem]) from None
    return _lines(text)


def wrong(place: str, problems: Mapping[int, str]) -> ManifestError:
    """Return the error that tells what is wrong with some lines, by their numbers."""
    found = [Problem(number, 0, text) for number, text in problems.items()]
    return manifest_error(_shown(place), found)


def _shown(place: str) -> Path:
    return Path("standard input" if place == STDIN else place)


def _lines(text: str) -> tuple[list[Line], dict[int, str]]:
    lines: list[Line] = []
    problems: dict[int, str] = {}
    columns: _Columns | None = None
    is_first = True
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip("\r")
        if not line.strip():
            continue
        head = _head(line) if is_first else None
        is_first = False
        if head is not None:
            columns = head
            continue
        try:
            key, id = _pair(line, columns)
        except _WrongLineError as error:
            problems[number] = str(error)
        else:
            lines.append(Line(number, key, id))
    return lines, problems


def _head(line: str) -> _Columns | None:
    """Return the columns that a first line names, if it names them."""
    for delimiter in _DELIMITERS:
        names = [name.strip().lower() for name in _cells(line, delimiter)]
        key = next((names.index(name) for name in _KEY_NAMES if name in names), None)
        id = next((names.index(name) for name in _ID_NAMES if name in names), None)
        if key is not None and id is not None:
            return _Columns(delimiter, key, id)
    return None


def _pair(line: str, columns: _Columns | None) -> tuple[str, str | None]:
    """Return the key and the id in a line.

    Raises:
        _WrongLineError: it has none.

    """
    if line.lstrip().startswith("{"):
        return _of_json(line)
    if columns is not None:
        cells = _cells(line, columns.delimiter)
        if max(columns.key, columns.id) >= len(cells):
            raise _WrongLineError("this line has fewer cells than the first one has names")
        return _checked(cells[columns.key], cells[columns.id])
    delimiter = next((each for each in _DELIMITERS if each in line), None)
    if delimiter is not None:
        cells = _cells(line, delimiter)
        if len(cells) != 2:
            raise _WrongLineError(f"expected KEY{delimiter}ID, found {len(cells)} cells")
        return _checked(cells[0], cells[1])
    # A key may hold blanks, an id holds none.
    words = line.strip().rsplit(maxsplit=1)
    return _checked(words[0], words[1] if len(words) == 2 else "")


def _of_json(line: str) -> tuple[str, str | None]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _WrongLineError(f"this is not JSON: {error}") from None
    found = {name.lower(): value for name, value in document.items()}
    key = next((found[name] for name in _KEY_NAMES if name in found), None)
    id = next((found[name] for name in _ID_NAMES if found.get(name) is not None), None)
    if not isinstance(key, str):
        raise _WrongLineError(
            'expected an object with a "key", as `luma-async jobs --json` prints it'
        )
    return _checked(key, id)


def _checked(key: str, id: Any) -> tuple[str, str | None]:
    if not key.strip():
        raise _WrongLineError("the key is missing")
    try:
        checked_key(key)
    except InvalidRequestError as error:
        raise _WrongLineError(str(error)) from None
    if isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if id is not None and not isinstance(id, str):
        raise _WrongLineError(f"{id!r} is not the id of a task")
    return key, (id or "").strip() or None


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return [line]
    return [cell.strip() for cell in cells]
