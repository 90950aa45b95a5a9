"""Manifests: read rows of jobs, and check all of them before anything is paid for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from luma_async.batch.checked_rows import CheckedRows
from luma_async.batch.encodings import decoded
from luma_async.batch.excel_table import read_excel
from luma_async.batch.problems import Problem, TableError, manifest_error
from luma_async.batch.row_images import problem_of_size
from luma_async.batch.rows import JOB_ID_PREFIX, Row
from luma_async.batch.tables import Reader, TableRow, read_csv, read_json_lines, read_tsv
from luma_async.batch.yaml_table import read_yaml
from luma_async.dialects import Dialect
from luma_async.errors import InvalidRequestError
from luma_async.media.image_reader import image_limit_of
from luma_async.requests import JobRequest
from luma_async.tasks.run_many import Job

_EXCEL = (".xlsx", ".xlsm")
_READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}
STDIN = Path("<stdin>")
"""Name of standard input in problems, as compilers write it."""

RowLike = Mapping[str, Any] | JobRequest | Job
"""A row from Python: a mapping of cells by column, a request, or a job."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows of jobs, all of them valid; each extension names another row or a job.

    Attributes:
        path: the path of the file; `None` if the rows are from Python.
        rows: the rows.

    """

    path: Path | None
    rows: tuple[Row, ...]

    @classmethod
    def of(
        cls,
        rows: Iterable[RowLike],
        *,
        folder: str | os.PathLike[str] | None = None,
        dialect: Dialect | None = None,
    ) -> Self:
        """Check rows from Python, as `read_manifest` checks those of a file. This call blocks.

        >>> manifest = Manifest.of([{"prompt": "a cat", "key": "cat"}, {"prompt": "a dog"}])
        >>> [row.request.prompt for row in manifest.rows]
        ['a cat', 'a dog']

        Args:
            rows: mappings with the columns of a manifest, requests, or jobs of the class `Job`
                whose source is an id. Images are paths, URLs, data URIs or bytes.
            folder: the folder that relative paths of images start from; the current one by default.
            dialect: the dialect whose rules the rows must obey. A `Batch` applies those of its
                client in any case, before it submits anything.

        Raises:
            InvalidRequestError: `rows` is a single row.
            ManifestError: rows have problems; the error has all of them, with the numbers of the
                rows, counted from 1.

        """
        if isinstance(rows, str | bytes | Mapping | JobRequest | Job):
            raise InvalidRequestError.of("rows", f"must be a list of rows, got {rows!r}")
        checked = CheckedRows(Path(folder or ""), has_header=False, dialect=dialect)
        for number, row in enumerate(rows, 1):
            checked.add(_table_row(number, row))
        return cls(None, _rows_of(checked, None))

    def check(self, dialect: Dialect) -> None:
        """Check that all rows obey the rules of a dialect. This call blocks.

        Raises:
            ManifestError: rows have problems; the error has all of them.

        """
        problems: list[Problem] = []
        limit = image_limit_of(dialect)
        too_large: dict[Path, str | None] = {}
        for row in self.rows:
            for place, image in row.request.images().items():
                if not isinstance(image, Path) or row.request.kind_at(place) == "video":
                    continue
                if image not in too_large:
                    too_large[image] = problem_of_size(image, limit)
                if (why := too_large[image]) is not None:
                    problems.append(Problem(row.line, 0, f"{str(image)!r} {why}", place))
            try:
                dialect.check(row.request, has_source=row.extends is not None)
            except InvalidRequestError as error:
                problems += [Problem(row.line, 0, why, name) for name, why in error.fields.items()]
        if problems:
            raise manifest_error(self.path, problems)


def read_manifest(path: str | os.PathLike[str], *, dialect: Dialect | None = None) -> Manifest:
    """Read and check a file of jobs: `.csv`, `.xlsx`, `.jsonl` or `.yaml`. This call blocks.

    >>> manifest = read_manifest("prompts.csv")        # doctest: +SKIP

    The columns are the fields of all requests, `key`, `kind`, `extends`, `source` and `metadata`.
    `key` is the job key of a row; if it is empty, a digest of the row is its key, so that the key
    stays the same if the row is moved. `kind` is the kind of request: `generate` if it is empty, or
    `extend` if the row names the row, or the id of the job, that it extends (`id:...` if the id is
    not a UUID). `extends` names that of an extension, and `source` that on which a row of any kind
    works; it may also be a file or URL. `metadata` is a JSON object. Paths are relative to the
    file. With a `dialect`, its own rules are applied, too.

    Raises:
        ManifestError: the file cannot be read, or has problems; the error has all of them.
        ModuleNotFoundError: YAML needs PyYAML: `pip install "luma-async[batch]"`; `.xlsx` needs
            openpyxl: `pip install "luma-async[xlsx]"`.

    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (*_READERS, *_EXCEL):
        known = ", ".join((*_READERS, *_EXCEL))
        raise manifest_error(path, [Problem(0, 0, f"the name must end with one of: {known}")])
    try:
        data = path.read_bytes()
    except OSError as error:
        raise manifest_error(path, [Problem(0, 0, f"cannot be read: {error.strerror}")]) from None
    return _manifest(path, kind, data, path.parent, dialect)


def manifest_of_text(
    data: bytes, *, format: str | None, dialect: Dialect | None = None
) -> Manifest:
    """Check the rows in the content of standard input. Paths are relative to the current folder.

    Raises:
        ManifestError: the content cannot be read, or has problems; the error has all of them.
        ModuleNotFoundError: YAML needs PyYAML: `pip install "luma-async[batch]"`.

    """
    return _manifest(STDIN, f".{format or format_of(data)}", data, Path(), dialect)


def format_of(data: bytes) -> str:
    """Return the format of a text: JSON lines if it begins with a brace, otherwise CSV."""
    start = data[:64].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return "jsonl" if start.startswith(b"{") else "csv"


def _manifest(
    path: Path, kind: str, data: bytes, folder: Path, dialect: Dialect | None
) -> Manifest:
    has_header = kind in (".csv", ".tsv", *_EXCEL)
    rows = CheckedRows(folder, has_header=has_header, dialect=dialect)
    try:
        for table_row in _table_rows(kind, data, str(path)):
            rows.add(table_row)
    except TableError as error:
        rows.problems.append(error.problem)
        raise manifest_error(path, rows.problems) from None
    except RecursionError:
        rows.problems.append(Problem(0, 0, "a value is nested too deeply"))
        raise manifest_error(path, rows.problems) from None
    return Manifest(path, _rows_of(rows, path))


def _table_rows(kind: str, data: bytes, name: str) -> Iterator[TableRow | Problem]:
    if kind in _EXCEL:
        return read_excel(data, name)
    return _READERS[kind](decoded(data, name))


def _rows_of(checked: CheckedRows, path: Path | None) -> tuple[Row, ...]:
    """Return the rows.

    Raises:
        ManifestError: there are problems.

    """
    checked.resolve_references()
    if checked.problems:
        raise manifest_error(path, checked.problems)
    return tuple(checked.by_key.values())


def _table_row(number: int, row: RowLike) -> TableRow | Problem:
    """Return the cells of a row from Python."""
    if isinstance(row, JobRequest):
        return TableRow(number, _cells(row))
    if isinstance(row, Job):
        id = row.source if isinstance(row.source, str | None) else row.source.id
        source = None if id is None else f"{JOB_ID_PREFIX}{id}"
        more = {"key": row.key, "source": source, "metadata": row.metadata}
        return TableRow(number, {**_cells(row.request), **more})
    if isinstance(row, Mapping):
        cells: dict[Any, Any] = dict(row)
        if odd := [name for name in cells if not isinstance(name, str)]:
            return Problem(number, 0, f"{odd[0]!r} is not a name of a field")
        return TableRow(number, cells)
    kind = type(row).__name__
    return Problem(number, 0, f"must be a mapping, a GenerateRequest or a Job, got {kind}")


def _cells(request: JobRequest) -> dict[str, Any]:
    """Return the cells of a request. An empty prompt is that of a request that needs none."""
    fields = {"kind": request.kind, **dict(request)}
    return {name: value for name, value in fields.items() if value not in (None, {}, (), "")}
