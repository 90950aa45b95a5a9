"""Checked rows: turn the rows of a table into requests, and collect all of their problems."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from luma_async.batch.columns import COLUMNS, FIELDS, is_spreadsheet_error, ratio, truth
from luma_async.batch.problems import Problem
from luma_async.batch.rows import JOB_ID_PREFIX, Row, job_id, reference_cycles
from luma_async.batch.tables import TableRow
from luma_async.errors import InvalidRequestError
from luma_async.file_types import HEAD_SIZE, media_type
from luma_async.image_sources import Image, is_data_uri, is_file, is_pillow_image, is_url
from luma_async.journal.fingerprint import checked_key
from luma_async.media.filenames import safe_stem
from luma_async.media.image_reader import IMAGE_LIMIT
from luma_async.metadata import frozen_metadata
from luma_async.requests import ExtendRequest, GenerateRequest

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BOOLEANS = {"loop", "expand_prompt"}
_IMAGES = {"image", "image_end"}


class CheckedRows:
    """The checked rows of a manifest by their keys, and the problems of the others."""

    def __init__(self, folder: Path, *, has_header: bool) -> None:
        self.by_key: dict[str, Row] = {}
        self.problems: list[Problem] = []
        self._folder = folder
        self._has_header = has_header
        self._reported_columns: set[str] = set()
        self._files: dict[str, str] = {}
        """Keys by the names of their videos."""
        self._references: dict[str, tuple[str, int, int]] = {}
        """Values of `extends` by key, with their lines and columns."""
        self._images: dict[Path, str | None] = {}
        """Problems of image files: many rows may name the same one."""

    def add(self, row: TableRow | Problem) -> None:
        """Check one row of the table; a problem of the table is kept with the others."""
        if isinstance(row, Problem):
            self.problems.append(row)
            return
        cells = {name: cell for name, cell in row.cells.items() if cell not in (None, "")}
        if self._has_lone_surrogates(row, cells) or self._has_spreadsheet_errors(row, cells):
            return
        reference = self._reference(row, cells)
        fields = self._fields(row, cells)
        metadata = self._metadata(row, cells.get("metadata"))
        request = self._request(row, fields, is_extension=reference is not None)
        asks = _digest(request, cells, reference) if request is not None else ""
        key = self._key(row, cells.get("key"), asks)
        if key is None or request is None or self._is_file_taken(row, key):
            return
        self.by_key[key] = Row(
            key=key, line=row.line, request=request, asks=asks, metadata=metadata
        )
        if reference is not None:
            self._references[key] = (reference, row.line, row.column("extends"))

    def resolve_references(self) -> None:
        """Resolve the references to other rows, after all rows were added."""
        if not self.by_key and not self.problems:
            self.problems.append(Problem(0, 0, "there are no rows"))
        parents: dict[str, str | None] = dict.fromkeys(self.by_key)
        for key, (reference, line, column) in self._references.items():
            if reference in self.by_key:
                parents[key] = reference
                self.by_key[key] = replace(self.by_key[key], parent=reference)
            elif (id := job_id(reference)) is not None:
                self.by_key[key] = replace(self.by_key[key], source_id=id)
            elif not self.problems:  # the named row may be one with a problem
                text = (
                    f"no row has the key {reference!r}; "
                    f"the id of a job is written {JOB_ID_PREFIX}{reference}"
                )
                self.problems.append(Problem(line, column, text, "extends"))
        places = {key: (line, column) for key, (_, line, column) in self._references.items()}
        self.problems.extend(reference_cycles(parents, places))

    def _has_lone_surrogates(self, row: TableRow, cells: Mapping[str, Any]) -> bool:
        """Report lone surrogates, and return `True` if there are any.

        JSON can write them, but they cannot be sent.
        """
        found = [name for name, cell in cells.items() if _LONE_SURROGATE.search(_as_json(cell))]
        for name in found:
            self._problem(row, name, "must not contain lone surrogates")
        return bool(found)

    def _has_spreadsheet_errors(self, row: TableRow, cells: Mapping[str, Any]) -> bool:
        """Report error values of a spreadsheet, and return `True` if there are any.

        Such a value would be paid for as a prompt.
        """
        failed = [name for name, cell in cells.items() if is_spreadsheet_error(cell)]
        for name in failed if self._has_header else ():
            text = f"{cells[name]} is an error of the spreadsheet; correct its formula"
            self._problem(row, name, f"{text}, or write ' before a text that begins with = or -")
        return bool(failed) and self._has_header

    def _is_file_taken(self, row: TableRow, key: str) -> bool:
        """Report a key whose video has the file name of another one, and return `True` then.

        Some file systems ignore the case of letters.
        """
        name = safe_stem(key).casefold()
        other = self._files.setdefault(name, key)
        if other != key:
            line = self.by_key[other].line
            text = (
                f"{key!r} and {other!r} of line {line} have the same file name; change one of them"
            )
            self._problem(row, "key", text)
        return other != key

    def _key(self, row: TableRow, given: Any, asks: str) -> str | None:
        if given is None:
            key = f"row-{asks}"
        else:
            try:
                key = checked_key(_as_text(given))
            except InvalidRequestError as error:
                self._problem(row, "key", error.fields["key"])
                return None
        if (other := self.by_key.get(key)) is None:
            return key
        if given is None:
            text = f"is the same as line {other.line}; give each of them a key to run both"
            self.problems.append(Problem(row.line, 0, f"this row {text}"))
        else:
            self._problem(row, "key", f"{key!r} is the key of line {other.line}, too")
        return None

    def _reference(self, row: TableRow, cells: Mapping[str, Any]) -> str | None:
        given = _as_text(cells.get("extends"))
        if given is None or isinstance(given, str):
            return given
        self._problem(row, "extends", f"{given!r} is neither the key of a row nor the id of a job")
        return None

    def _fields(self, row: TableRow, cells: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, cell in cells.items():
            if name in ("key", "extends", "metadata"):
                continue
            if not name:
                self._column(row, name, "is not a name of a column, but the column has cells")
            elif name not in FIELDS:
                self._column(row, name, f"is not a known column; known: {', '.join(COLUMNS)}")
            elif name in _BOOLEANS and isinstance(cell, str):
                fields[name] = truth(cell)
                if fields[name] is None:
                    text = f"{cell!r} is neither true nor false; write TRUE or FALSE"
                    self._problem(row, name, text)
            elif name == "aspect_ratio" and isinstance(cell, str):
                fields[name] = ratio(cell)
            elif name == "extra" and isinstance(cell, str):
                fields[name] = self._json_object(row, name, cell)
            elif name in _IMAGES:
                fields[name] = self._image(row, name, cell)
            else:
                fields[name] = cell
        return fields

    def _request(
        self, row: TableRow, fields: dict[str, Any], *, is_extension: bool
    ) -> GenerateRequest | ExtendRequest | None:
        has_prompt = "prompt" in fields
        if not has_prompt:
            if self._has_header and "prompt" not in row.cells:
                self._column(row, "prompt", "is not a column of this file, and every row needs one")
            else:
                self._problem(row, "prompt", "is required; write one, or delete the row")
            fields["prompt"] = "none"  # the other fields are checked all the same
        if is_extension and fields.pop("loop", None):
            self._problem(row, "loop", "an extension cannot loop; leave it empty")
        kind = ExtendRequest if is_extension else GenerateRequest
        try:
            request = kind.from_mapping(fields)
        except InvalidRequestError as error:
            for name, problem in error.fields.items():
                self._problem(row, name, problem)
            return None
        return request if has_prompt else None

    def _metadata(self, row: TableRow, cell: Any) -> Mapping[str, Any] | None:
        """Return the metadata of a row, checked as those of a job are."""
        if isinstance(cell, str):
            cell = self._json_object(row, "metadata", cell)
        if cell is None:
            return None
        try:
            return frozen_metadata(cell) or None
        except InvalidRequestError as error:
            for problem in error.fields.values():
                self._problem(row, "metadata", problem)
            return None

    def _json_object(self, row: TableRow, name: str, cell: str) -> Any:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            self._problem(row, name, f"is not a JSON object: {error}")
            return {}

    def _image(self, row: TableRow, name: str, cell: Any) -> Any:
        if is_file(cell) or is_pillow_image(cell):
            text = "must be a path, a URL, a data URI or bytes, which are the same in a later run"
            self._problem(row, name, text)
        if not isinstance(cell, str | os.PathLike):
            return cell
        cell = os.fspath(cell).strip()
        if is_url(cell) or is_data_uri(cell):
            return cell
        path = self._folder / cell
        if path not in self._images:
            self._images[path] = _problem_of_image(path)
        if (problem := self._images[path]) is not None:
            self._problem(row, name, f"{cell!r} {problem}")
        return path

    def _problem(self, row: TableRow, name: str, text: str) -> None:
        self.problems.append(Problem(row.line, row.column(name), text, name))

    def _column(self, row: TableRow, name: str, text: str) -> None:
        """Report a problem of a column once. Without a header, each row has its own names."""
        if not self._has_header:
            self._problem(row, name, text.replace("column", "field"))
        elif name not in self._reported_columns:
            self._reported_columns.add(name)
            self.problems.append(Problem(row.header, row.column(name), f"{name!r} {text}"))


def _as_text(cell: Any) -> Any:
    """Return a key or reference as text. A spreadsheet may have turned it into a number."""
    is_number = isinstance(cell, int) and not isinstance(cell, bool)
    return str(cell) if is_number else cell.strip() if isinstance(cell, str) else cell


def _as_json(cell: Any) -> str:
    return json.dumps(cell, ensure_ascii=False, default=str)


def _digest(
    request: GenerateRequest | ExtendRequest, cells: Mapping[str, Any], reference: str | None
) -> str:
    """Compute a digest that is equal for rows with equal requests.

    Images count by the paths in the manifest, so that its folder may be moved. `notify_hook` does
    not count, because it does not change the video.
    """
    asked = {name: value for name, value in dict(request).items() if value is not None}
    asked.pop("notify_hook", None)
    asked.update({name: _stable(cells[name]) for name in _IMAGES & cells.keys()})
    text = json.dumps([asked, reference], sort_keys=True, default=str).replace("\\r\\n", "\\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stable(image: Any) -> str:
    """Return a text for an image that is the same in each run: its path, URL or SHA-256."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    return image.sha256 if isinstance(image, Image) else str(image)


def _problem_of_image(path: Path) -> str | None:
    """Return the problem of an image file, as far as its first bytes show one."""
    try:
        with path.open("rb") as file:
            found = media_type(file.read(HEAD_SIZE))
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if found is None or not found.startswith("image/"):
        return "is not an image"
    if size > IMAGE_LIMIT:
        return f"must have at most {IMAGE_LIMIT / 2**20:.0f} MiB, has {size / 2**20:.1f} MiB"
    return None
