"""Checked rows: turn the rows of a table into requests, and collect all of their problems."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from luma_async.batch.columns import (
    BOOLEANS,
    COLUMNS,
    IMAGES,
    JSON_OBJECTS,
    is_spreadsheet_error,
    kind_of,
    parts,
    position,
    ratio,
    truth,
)
from luma_async.batch.problems import Problem
from luma_async.batch.row_images import RowImages, is_inline, stable
from luma_async.batch.rows import (
    JOB_ID_PREFIX,
    Row,
    job_id,
    missing_source,
    reference_cycles,
    unfit_source,
)
from luma_async.batch.tables import TableRow
from luma_async.dialects import Dialect
from luma_async.errors import InvalidRequestError
from luma_async.generation import Generation
from luma_async.journal.fingerprint import checked_key
from luma_async.media.filenames import safe_stem
from luma_async.media.image_reader import LARGEST_IMAGE, image_limit_of
from luma_async.metadata import frozen_metadata
from luma_async.request_fields import SourcePosition
from luma_async.request_kinds import FIELDS, REQUESTS
from luma_async.requests import JobRequest, Kind

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_FIELDS = frozenset(("key", "kind", "extends", "source", "metadata"))
_TAKES_VIDEO: tuple[Kind, ...] = ("edit", "reframe")


class Reference(NamedTuple):
    """The source that a row names in one of its columns, `extends` or `source`.

    `text` is the same in each run. `value` is a file or URL, if the source can be nothing else.
    """

    column: str
    text: str
    value: Any = None


class CheckedRows:
    """The checked rows of a manifest by their keys, and the problems of the others.

    With a `dialect`, its own rules are applied, too.
    """

    def __init__(self, folder: Path, *, has_header: bool, dialect: Dialect | None = None) -> None:
        self.by_key: dict[str, Row] = {}
        self.problems: list[Problem] = []
        self._dialect = dialect
        self._has_header = has_header
        self._reported_columns: set[str] = set()
        self._files: dict[str, str] = {}
        """Keys by the names of their videos."""
        self._references: dict[str, Reference] = {}
        """Sources by key."""
        self._table_rows: dict[str, TableRow] = {}
        """Rows by key, without their cells, for the places of problems."""
        limit = LARGEST_IMAGE if dialect is None else image_limit_of(dialect)
        self._images = RowImages(folder, limit)

    def add(self, row: TableRow | Problem) -> None:
        """Check one row of the table; a problem of the table is kept with the others."""
        if isinstance(row, Problem):
            self.problems.append(row)
            return
        cells = {name: cell for name, cell in row.cells.items() if cell not in (None, "")}
        if self._has_lone_surrogates(row, cells) or self._has_spreadsheet_errors(row, cells):
            return
        reference = self._reference(row, cells)
        kind = self._kind(row, cells.get("kind"), reference)
        images = {name: _parsed(name, cells[name]) for name in cells if name in IMAGES}
        fields = self._fields(row, kind, {**cells, **images})
        metadata = self._metadata(row, cells.get("metadata"))
        request = self._request(row, kind, fields)
        asks = _digest(request, images, reference) if request is not None else ""
        key = self._key(row, cells.get("key"), asks)
        if key is None or request is None or self._is_file_taken(row, key):
            return
        self.by_key[key] = Row(
            key=key, line=row.line, request=request, asks=asks, metadata=metadata
        )
        self._table_rows[key] = TableRow(row.line, {}, row.columns, row.header)
        if reference is not None:
            self._references[key] = reference

    def resolve_references(self) -> None:
        """Resolve the references to other rows, and check the rows, after all rows were added."""
        if not self.by_key and not self.problems:
            self.problems.append(Problem(0, 0, "there are no rows"))
        parents: dict[str, str | None] = dict.fromkeys(self.by_key)
        places: dict[str, tuple[int, int]] = {}
        is_whole = not self.problems  # otherwise a named row may be one with a problem
        for key, reference in self._references.items():
            row, table_row = self.by_key[key], self._table_rows[key]
            places[key] = (table_row.line, table_row.column(reference.column))
            takes_media = row.request.source_need == "optional"
            if reference.value is not None:
                self._set_media(key, reference)
            elif (parent := self.by_key.get(reference.text)) is not None:
                parents[key] = parent.key
                self.by_key[key] = replace(row, parent=parent.key)
                if (text := unfit_source(row, parent)) is not None:
                    self._problem(table_row, reference.column, text)
            elif (id := job_id(reference.text)) is not None:
                self.by_key[key] = replace(row, source_id=id)
            elif takes_media and self._images.is_there(reference.text):
                self._set_media(key, reference)
            elif is_whole:
                text = missing_source(reference.text, takes_media=takes_media)
                self._problem(table_row, reference.column, text)
        self.problems.extend(reference_cycles(parents, places))
        for key, row in self.by_key.items():
            self._check(row, self._table_rows[key])

    def _set_media(self, key: str, reference: Reference) -> None:
        """Let a row work on a file or URL."""
        row, table_row = self.by_key[key], self._table_rows[key]
        if row.request.source_need != "optional":
            text = f"{reference.text!r} is neither the key of a row nor the id of a job"
            self._problem(table_row, reference.column, text)
            return
        if row.request.images().get("media") is not None:
            self._problem(table_row, "media", "excludes the column source; leave one of them empty")
            return
        media, problem = self._images.resolved(
            reference.text if reference.value is None else reference.value,
            takes_video=row.request.kind in _TAKES_VIDEO,
        )
        try:
            request = type(row.request).of(row.request, media=media)
        except InvalidRequestError as error:
            problem = problem or error.fields.get("media")
        else:
            self.by_key[key] = replace(row, request=request)
        if problem is not None:
            self._problem(table_row, reference.column, problem)

    def _check(self, row: Row, table_row: TableRow) -> None:
        """Check that a row has the source that it needs, and apply the rules of the dialect."""
        request, reference = row.request, self._references.get(row.key)
        if request.source_need == "none" and self._dialect is None:
            return
        has_media = request.images().get("media") is not None
        if reference is None and not has_media and request.source_need != "none":
            text = f"is required: a row of the kind {request.kind} works on a job, file or URL"
            self._problem(table_row, "source", text)
            return
        if has_media and (row.parent or row.source_id):
            self._problem(table_row, "media", "excludes the column source; leave one of them empty")
        if self._dialect is None:
            return
        try:
            self._dialect.check(request, has_source=reference is not None and not has_media)
        except InvalidRequestError as error:
            for place, problem in error.fields.items():
                column = _column_of(place, request, reference)
                self._problem(table_row, column, problem, place=place)

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

    def _reference(self, row: TableRow, cells: Mapping[str, Any]) -> Reference | None:
        named = [name for name in ("extends", "source") if name in cells]
        if len(named) > 1:
            self._problem(row, "source", "excludes extends; leave one of them empty")
        for column in named:
            given = _as_text(cells[column])
            if isinstance(given, Generation):
                given = f"{JOB_ID_PREFIX}{given.id}"
            if isinstance(given, str) and not (column == "source" and is_inline(given)):
                return Reference(column, given)
            if column == "source" and is_inline(given):
                return Reference(column, str(stable(given)), given)
            text = f"{given!r} is neither the key of a row nor the id of a job"
            self._problem(row, column, text)
            return Reference(column, "")
        return None

    def _kind(self, row: TableRow, cell: Any, reference: Reference | None) -> Kind:
        """Return the kind of request of a row: that of its cell, or that for its source."""
        told: Kind = "generate" if reference is None else "extend"
        if cell is None:
            return told
        kind = kind_of(cell)
        if kind is None:
            self._problem(row, "kind", f"{cell!r} is not a kind; allowed: {', '.join(REQUESTS)}")
            return told
        if reference is not None and reference.column == "extends" and kind != "extend":
            text = f"is for extensions; name the source of a row of the kind {kind} in source"
            self._problem(row, "extends", text)
        elif reference is not None and REQUESTS[kind].source_need == "none":
            self._problem(row, reference.column, f"a row of the kind {kind} works on no other job")
        return kind

    def _fields(self, row: TableRow, kind: Kind, cells: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        has = REQUESTS[kind].model_fields
        for name, cell in cells.items():
            if name in _NO_FIELDS:
                continue
            if not name:
                self._column(row, name, "is not a name of a column, but the column has cells")
            elif name not in FIELDS:
                self._column(row, name, f"is not a known column; known: {', '.join(COLUMNS)}")
            elif name in has:
                value = self._field(row, kind, name, cell)
                if value is not None:  # otherwise its problem is reported
                    fields[name] = value
            elif cell is not False and not (name in BOOLEANS and _is_false(cell)):
                self._problem(row, name, f"a row of the kind {kind} has no {name}; leave it empty")
        return fields

    def _field(self, row: TableRow, kind: Kind, name: str, cell: Any) -> Any:  # noqa: PLR0911  one form for each line
        """Return the value of a field, as far as the cell of a spreadsheet has it."""
        if name in IMAGES:
            return self._images_in(row, kind, name, cell)
        if name == "source_position" and not isinstance(cell, SourcePosition):
            return self._read(row, name, cell, position)
        if not isinstance(cell, str):
            return cell
        if name == "concepts":
            return self._read(row, name, cell, parts)
        if name in BOOLEANS:
            if truth(cell) is None:
                text = f"{cell!r} is neither true nor false; write TRUE or FALSE"
                self._problem(row, name, text)
            return truth(cell)
        if name in JSON_OBJECTS:
            return self._json_object(row, name, cell)
        return ratio(cell) if name == "aspect_ratio" else cell

    def _read(self, row: TableRow, name: str, cell: Any, read: Callable[[Any], Any]) -> Any:
        try:
            return read(cell)
        except (ValueError, TypeError, RecursionError) as error:
            self._problem(row, name, f"cannot be read: {error}")
            return None

    def _images_in(self, row: TableRow, kind: Kind, name: str, cell: Any) -> Any:
        """Return the image, or the images, of a cell with full paths."""
        if isinstance(cell, _Unreadable):
            self._problem(row, name, cell.problem)
            return None
        if isinstance(cell, Mapping):
            return {
                frame: self._image(row, kind, name, image, f"{name}[{frame}]")
                for frame, image in cell.items()
            }
        if isinstance(cell, list | tuple):
            return [
                self._image(row, kind, name, image, f"{name}[{index}]")
                for index, image in enumerate(cell)
            ]
        return self._image(row, kind, name, cell, name)

    def _image(self, row: TableRow, kind: Kind, name: str, cell: Any, place: str) -> Any:
        is_video = name == "media" and kind in _TAKES_VIDEO
        image, problem = self._images.resolved(cell, takes_video=is_video)
        if problem is not None:
            self._problem(row, name, problem, place=place)
        return image

    def _request(self, row: TableRow, kind: Kind, fields: dict[str, Any]) -> JobRequest | None:
        cls = REQUESTS[kind]
        has_prompt = "prompt" in fields or not cls.model_fields["prompt"].is_required()
        if not has_prompt:
            if self._has_header and "prompt" not in row.cells:
                self._column(row, "prompt", "is not a column of this file, and every row needs one")
            else:
                self._problem(row, "prompt", "is required; write one, or delete the row")
            fields["prompt"] = "none"  # the other fields are checked all the same
        try:
            request = cls.from_mapping(fields)
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

    def _problem(self, row: TableRow, name: str, text: str, *, place: str | None = None) -> None:
        self.problems.append(Problem(row.line, row.column(name), text, place or name))

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


class _Unreadable(NamedTuple):
    """A cell that cannot be read as images."""

    problem: str


def _parsed(name: str, cell: Any) -> Any:
    """Return the images of a cell as it writes them: one, a list, or a mapping by frame."""
    if not isinstance(cell, str):
        return cell
    try:
        if name == "references":
            return parts(cell)
        if name != "keyframes":
            return cell
        found = json.loads(cell)
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"cannot be read: {error}"
    else:
        if isinstance(found, Mapping):
            return found
        problem = "is not an object of images by the numbers of their frames"
    if name == "keyframes":
        problem += """; write {"0": "first.png", "48": "second.png"}"""
    return _Unreadable(problem)


def _is_false(cell: Any) -> bool:
    return isinstance(cell, str) and truth(cell) is False


def _column_of(place: str, request: JobRequest, reference: Reference | None) -> str:
    """Return the column of a field in which a dialect has found a problem."""
    name = place.partition("[")[0]
    if name == request.kind:
        return "kind"
    return reference.column if name in ("source", "media") and reference is not None else name


def _digest(request: JobRequest, images: Mapping[str, Any], reference: Reference | None) -> str:
    """Compute a digest that is equal for rows with equal requests.

    Images count by the paths in the manifest, so that its folder may be moved. `notify_hook` does
    not count, because it does not change the video.
    """
    asked = {name: value for name, value in dict(request).items() if value is not None}
    asked.pop("notify_hook", None)
    asked.update({name: stable(image) for name, image in images.items() if name in asked})
    parts: list[Any] = [asked, None if reference is None else reference.text]
    if request.kind not in ("generate", "extend"):  # of those, the source tells the kind
        parts.append(request.kind)
    text = json.dumps(parts, sort_keys=True, default=_as_json_value).replace("\\r\\n", "\\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_json_value(value: Any) -> Any:
    return value.model_dump() if isinstance(value, SourcePosition) else str(value)
