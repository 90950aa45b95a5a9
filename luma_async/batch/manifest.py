"""Manifests: read a file of jobs, and check all of it before anything is paid for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from luma_async.batch.checked_rows import CheckedRows
from luma_async.batch.encodings import decoded
from luma_async.batch.excel_table import read_excel
from luma_async.batch.problems import Problem, TableError, manifest_error
from luma_async.batch.rows import Row
from luma_async.batch.tables import Reader, TableRow, read_csv, read_json_lines, read_tsv
from luma_async.batch.yaml_table import read_yaml

_EXCEL = (".xlsx", ".xlsm")
_READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file of jobs, all of them valid; each extension names a row of the file or a task."""

    path: Path
    rows: tuple[Row, ...]


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and check a file of jobs: `.csv`, `.xlsx`, `.jsonl` or `.yaml`. This call blocks.

    >>> manifest = read_manifest("prompts.csv")        # doctest: +SKIP

    The columns are the fields of a `GenerateRequest`, `key` and `extends`. `key` is the job key of
    a row; if it is empty, a digest of the row is its key, so that the key stays the same if the
    row is moved. `extends` is the key of the row, or the id of the job, that the row extends
    (`id:...` if the id is not a UUID). Paths of images are relative to the file.

    Raises:
        ManifestError: the file cannot be read, or has problems; the error has all of them.
        ModuleNotFoundError: YAML needs PyYAML: `pip install 'luma-async[batch]'`; `.xlsx` needs
            openpyxl: `pip install 'luma-async[xlsx]'`.

    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (*_READERS, *_EXCEL):
        known = ", ".join((*_READERS, *_EXCEL))
        raise manifest_error(path, [Problem(0, 0, f"the name must end with one of: {known}")])
    rows = CheckedRows(path.parent, has_header=kind in (".csv", ".tsv", *_EXCEL))
    try:
        for table_row in _table_rows(kind, path.read_bytes(), str(path)):
            rows.add(table_row)
    except TableError as error:
        rows.problems.append(error.problem)
    except OSError as error:
        raise manifest_error(path, [Problem(0, 0, f"cannot be read: {error.strerror}")]) from None
    except RecursionError:
        rows.problems.append(Problem(0, 0, "a value is nested too deeply"))
    else:
        rows.resolve_references()
    if rows.problems:
        raise manifest_error(path, rows.problems)
    return Manifest(path, tuple(rows.by_key.values()))


def _table_rows(kind: str, data: bytes, name: str) -> Iterator[TableRow | Problem]:
    if kind in _EXCEL:
        return read_excel(data, name)
    return _READERS[kind](decoded(data, name))
