"""A manifest: a file of jobs, read and checked as a whole before anything is paid for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luma_async.batch.columns import (
    COLUMNS,
    FIELDS,
    is_spreadsheet_error,
    ratio,
    truth,
)
from luma_async.batch.encodings import decoded
from luma_async.batch.excel_table import read_excel
from luma_async.batch.problems import Problem, TableError, manifest_error
from luma_async.batch.rows import TASK_MARK, Row, circles, task_id
from luma_async.batch.tables import (
    Read,
    Record,
    read_csv,
    read_json_lines,
    read_tsv,
)
from luma_async.batch.yaml_table import read_yaml
from luma_async.errors import InvalidRequestError
from luma_async.image_sources import is_data_uri, is_url
from luma_async.journal.fingerprint import checked_key
from luma_async.media.file_types import HEAD_SIZE, media_type
from luma_async.media.filenames import safe_stem
from luma_async.media.image_reader import IMAGE_LIMIT
from luma_async.requests import ExtendRequest, GenerateRequest

_EXCEL = (".xlsx", ".xlsm")
_READERS: dict[str, Read] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
_HALF = re.compile("[\ud800-\udfff]")
_BOOLEANS = {"loop", "expand_prompt"}
_IMAGES = {"image", "image_end"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file of jobs that can be run: every row is valid, and continues what there is."""

    path: Path
    rows: tuple[Row, ...]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and check a file of jobs: `.csv`, `.xlsx`, `.jsonl` or `.yaml`. Blocks.

    >>> manifest = read_manifest("prompts.csv")        # doctest: +SKIP

    Columns are the fields of a `GenerateRequest`, and two more. `key` names a row; one that has
    none is named by a digest of what it says, so that it stays the same wherever it stands.
    `extends` is the key of another row whose video it continues, or the id of a task (`id:...` if
    it does not look like one). Paths of images are relative to the file.

    Raises:
        ManifestError: it cannot be read, or rows are wrong; all problems are in it.
        ModuleNotFoundError: YAML needs PyYAML: `pip install 'luma-async[batch]'`; `.xlsx` needs
            openpyxl: `pip install 'luma-async[xlsx]'`.

    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (*_READERS, *_EXCEL):
        known = ", ".join((*_READERS, *_EXCEL))
        raise manifest_error(path, [Problem(0, 0, f"its kind is told by its name; known: {known}")])
    checked = _Checked(path.parent, has_header=kind in (".csv", ".tsv", *_EXCEL))
    try:
        for record in _records(kind, path.read_bytes(), str(path)):
            checked.add(record)
    except TableError as error:
        checked.problems.append(error.problem)
    except OSError as error:
        raise manifest_error(path, [Problem(0, 0, f"cannot be read: {error.strerror}")]) from None
    except RecursionError:
        checked.problems.append(Problem(0, 0, "a value in it is nested too deeply"))
    else:
        checked.finish()
    if checked.problems:
        raise manifest_error(path, checked.problems)
    return Manifest(path, tuple(checked.rows.values()))


def _records(kind: str, data: bytes, name: str) -> Iterator[Record | Problem]:
    if kind in _EXCEL:
        return read_excel(data, name)
    return _READERS[kind](decoded(data, name))


class _Checked:
    """The rows so far, and all that is wrong with them."""

    def __init__(self, folder: Path, *, has_header: bool) -> None:
        self.rows: dict[str, Row] = {}
        self.problems: list[Problem] = []
        self._folder = folder
        self._has_header = has_header
        self._told_columns: set[str] = set()
        self._files: dict[str, str] = {}
        self._extends: dict[str, tuple[str, int, int]] = {}
        self._images: dict[Path, str | None] = {}

    def add(self, record: Record | Problem) -> None:
        """Take in one row, or what was found instead of one."""
        if isinstance(record, Problem):
            self.problems.append(record)
            return
        cells = {name: cell for name, cell in record.cells.items() if cell not in (None, "")}
        if self._has_halves(record, cells) or self._has_errors(record, cells):
            return
        reference = self._reference(record, cells)
        fields = self._fields(record, cells)
        request = self._request(record, fields, is_extension=reference is not None)
        asks = _digest(request, cells, reference) if request is not None else ""
        key = self._key(record, cells.get("key"), asks)
        if key is None or request is None or self._is_file_taken(record, key):
            return
        self.rows[key] = Row(key=key, line=record.line, request=request, asks=asks)
        if reference is not None:
            self._extends[key] = (reference, record.line, record.column("extends"))

    def finish(self) -> None:
        """Tie the rows together, once all of them are known."""
        if not self.rows and not self.problems:
            self.problems.append(Problem(0, 0, "there is no row in it"))
        parents: dict[str, str | None] = dict.fromkeys(self.rows)
        for key, (reference, line, column) in self._extends.items():
            if reference in self.rows:
                parents[key] = reference
                self.rows[key] = replace(self.rows[key], parent=reference)
            elif (id := task_id(reference)) is not None:
                self.rows[key] = replace(self.rows[key], source_id=id)
            elif not self.problems:  # the row that is meant may be one that is wrong
                text = (
                    f"no row has the key {reference!r}; "
                    f"the id of a task is written {TASK_MARK}{reference}"
                )
                self.problems.append(Problem(line, column, text, "extends"))
        places = {key: (line, column) for key, (_, line, column) in self._extends.items()}
        self.problems.extend(circles(parents, places))

    def _has_halves(self, record: Record, cells: Mapping[str, Any]) -> bool:
        """Whether there are halves of characters, which JSON can write and nothing can send."""
        halved = [name for name, cell in cells.items() if _HALF.search(_told(cell))]
        for name in halved:
            self._problem(record, name, "holds half of a character (a lone surrogate)")
        return bool(halved)

    def _has_errors(self, record: Record, cells: Mapping[str, Any]) -> bool:
        """Whether there are errors of a spreadsheet, which would be paid for as prompts."""
        failed = [name for name, cell in cells.items() if is_spreadsheet_error(cell)]
        for name in failed if self._has_header else ():
            text = f"{cells[name]} is an error of the spreadsheet; mend its formula"
            self._problem(record, name, f"{text}, or write ' before a text that begins with = or -")
        return bool(failed) and self._has_header

    def _is_file_taken(self, record: Record, key: str) -> bool:
        """Whether the video of another row has the same name, on some systems at least."""
        name = safe_stem(key).casefold()
        other = self._files.setdefault(name, key)
        if other != key:
            line = self.rows[other].line
            text = f"{key!r} and {other!r} of line {line} name the same file; change one of them"
            self._problem(record, "key", text)
        return other != key

    def _key(self, record: Record, given: Any, asks: str) -> str | None:
        if given is None:
            key = f"row-{asks}"
        else:
            try:
                key = checked_key(_text_of(given))
            except InvalidRequestError as error:
                self._problem(record, "key", error.fields["key"])
                return None
        if (other := self.rows.get(key)) is None:
            return key
        if given is None:
            text = f"says the same as line {other.line}; a key for each makes them two"
            self.problems.append(Problem(record.line, 0, f"this row {text}"))
        else:
            self._problem(record, "key", f"{key!r} is that of line {other.line}, too")
        return None

    def _reference(self, record: Record, cells: Mapping[str, Any]) -> str | None:
        given = _text_of(cells.get("extends"))
        if given is None or isinstance(given, str):
            return given
        self._problem(record, "extends", f"{given!r} is no key of a row and no id of a task")
        return None

    def _fields(self, record: Record, cells: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, cell in cells.items():
            if name in ("key", "extends"):
                continue
            if not name:
                self._column(record, name, "is the name of no column, and cells stand in it")
            elif name not in FIELDS:
                self._column(record, name, f"is no column; known: {', '.join(COLUMNS)}")
            elif name in _BOOLEANS and isinstance(cell, str):
                fields[name] = truth(cell)
                if fields[name] is None:
                    text = f"{cell!r} is neither true nor false; write TRUE or FALSE"
                    self._problem(record, name, text)
            elif name == "aspect_ratio" and isinstance(cell, str):
                fields[name] = ratio(cell)
            elif name == "extra" and isinstance(cell, str):
                fields[name] = self._extra(record, cell)
            elif name in _IMAGES and isinstance(cell, str):
                fields[name] = self._image(record, name, cell.strip())
            else:
                fields[name] = cell
        return fields

    def _request(
        self, record: Record, fields: dict[str, Any], *, is_extension: bool
    ) -> GenerateRequest | ExtendRequest | None:
        has_prompt = "prompt" in fields
        if not has_prompt:
            if self._has_header and "prompt" not in record.cells:
                self._column(record, "prompt", "is no column of this file, and every row needs one")
            else:
                self._problem(record, "prompt", "is required; write one, or delete the row")
            fields["prompt"] = "none"  # the rest is looked at all the same
        if is_extension and fields.pop("loop", None):
            self._problem(record, "loop", "an extension cannot loop; leave it empty")
        kind = ExtendRequest if is_extension else GenerateRequest
        try:
            request = kind.from_mapping(fields)
        except InvalidRequestError as error:
            for name, problem in error.fields.items():
                self._problem(record, name, problem)
            return None
        return request if has_prompt else None

    def _extra(self, record: Record, cell: str) -> Any:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError) as error:
            self._problem(record, "extra", f"is no JSON object: {error}")
            return {}

    def _image(self, record: Record, name: str, cell: str) -> str | Path:
        if is_url(cell) or is_data_uri(cell):
            return cell
        path = self._folder / cell
        if path not in self._images:
            self._images[path] = _problem_of_image(path)
        if (problem := self._images[path]) is not None:
            self._problem(record, name, f"{cell!r} {problem}")
        return path

    def _problem(self, record: Record, name: str, text: str) -> None:
        self.problems.append(Problem(record.line, record.column(name), text, name))

    def _column(self, record: Record, name: str, text: str) -> None:
        """Say it once of a column; where every row names its own, of each row."""
        if not self._has_header:
            self._problem(record, name, text.replace("column", "field"))
        elif name not in self._told_columns:
            self._told_columns.add(name)
            self.problems.append(Problem(record.header, record.column(name), f"{name!r} {text}"))


def _text_of(cell: Any) -> Any:
    """Return what names something as text; a spreadsheet may have made a number of it."""
    is_number = isinstance(cell, int) and not isinstance(cell, bool)
    return str(cell) if is_number else cell.strip() if isinstance(cell, str) else cell


def _told(cell: Any) -> str:
    return json.dumps(cell, ensure_ascii=False, default=str)


def _digest(
    request: GenerateRequest | ExtendRequest, cells: Mapping[str, Any], reference: str | None
) -> str:
    """Return what is the same for rows that ask for the same, however they are written.

    An image is what the file says of it, so that the folder may move; where news of the job go is
    no part of it.
    """
    asked = {name: value for name, value in dict(request).items() if value is not None}
    asked.pop("notify_hook", None)
    asked.update({name: cells[name] for name in _IMAGES & cells.keys()})
    text = json.dumps([asked, reference], sort_keys=True, default=str).replace("\\r\\n", "\\n")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _problem_of_image(path: Path) -> str | None:
    """Return why a file is no image, as far as its beginning tells."""
    try:
        with path.open("rb") as file:
            found = media_type(file.read(HEAD_SIZE))
            size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if found is None or not found.startswith("image/"):
        return "is no image"
    if size > IMAGE_LIMIT:
        return f"has {size / 2**20:.1f} MiB, and an image may have {IMAGE_LIMIT / 2**20:.0f} MiB"
    return None
