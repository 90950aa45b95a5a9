"""Excel tables: read the first sheet of an `.xlsx` workbook."""

from __future__ import annotations

import datetime as dt
import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from luma_async.batch.columns import trimmed
from luma_async.batch.problems import Problem, TableError
from luma_async.batch.tables import TableRow, table_rows

logger = logging.getLogger("luma_async.batch")

_MAX_UNPACKED = 32 * 2**20
"""Maximum number of bytes in the tables and texts of a workbook. A ZIP bomb has more."""

_MAX_ROWS = 2**20
"""Number of rows that Excel allows in a sheet."""

_MAX_COLUMNS = 200
"""Number of columns that are read. Rows of the 16,384 that Excel allows would take minutes."""

_SAVE_AGAIN = "open it in a spreadsheet and save it as 'Excel workbook (.xlsx)' or 'CSV UTF-8'"
_ZIP, _COMPOUND_FILE = b"PK", b"\xd0\xcf\x11\xe0"
_ENTITIES = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_NO_RESULT = re.compile(
    rb"""
    <(?:\w+:)?c\b (?![^<>]*\bt="str") [^<>]*> \s*            # a cell, whose text is not empty,
    <(?:\w+:)?f\b (?: [^<>]*/> | [^<>]*>[^<]*</(?:\w+:)?f> ) \s*     # with a formula
    (?: <(?:\w+:)?v\s*/> | <(?:\w+:)?v>\s*</(?:\w+:)?v> )? \s*      # and no value
    </(?:\w+:)?c>
    """,
    re.VERBOSE,
)
"""A cell with a formula that has no stored result: no spreadsheet has calculated it."""

_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
"""Escape of a character that XML does not allow."""


def read_excel(data: bytes, name: str) -> Iterator[TableRow | Problem]:
    """Read the first visible sheet; its first row names the columns.

    Cells are read as text, and formulas as the results that were saved with them. If there are
    several sheets, a warning with the `name` of the file names the one that is read.

    Raises:
        TableError: the file is not a workbook, or has no rows.
        ModuleNotFoundError: openpyxl is not installed.

    """
    try:
        import openpyxl  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'An Excel file needs openpyxl: pip install "luma-async[xlsx]"', name=error.name
        ) from None
    if data.startswith(_COMPOUND_FILE):
        raise TableError(
            0, 0, f"the file is protected by a password, or is an old .xls; {_SAVE_AGAIN}"
        )
    if not data.startswith(_ZIP):
        raise TableError(0, 0, f"this is not an Excel workbook; {_SAVE_AGAIN}")
    # openpyxl warns of styles and validation rules, which do not matter here. This is not
    # catch_warnings(), because that is not safe while other threads run.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
    try:
        yield from table_rows(_rows(openpyxl, data, name))
    except (TableError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001  openpyxl raises any for damaged files
        problem = f"this Excel workbook is damaged ({type(error).__name__}); {_SAVE_AGAIN}"
        raise TableError(0, 0, problem) from None


def _rows(openpyxl: Any, data: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    has_results = _check_parts(data)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    sheet = _sheet(book, name)
    formulas: Iterator[Any] = repeat(())
    if not has_results:
        written = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
        formulas = _cells(written[sheet.title])
    empty: tuple[Any, ...] | None = None
    for row, (cells, asked) in enumerate(zip(_cells(sheet), formulas, strict=False), 1):
        if row > _MAX_ROWS:
            raise TableError(row, 0, f"the sheet has more rows than Excel allows; {_SAVE_AGAIN}")
        if cells is empty:  # openpyxl gives one tuple for all rows that are not in the file
            continue
        if cells.count(None) == len(cells):
            empty = cells if has_results else None
        for column, (cell, formula) in enumerate(zip(cells, asked, strict=False), 1):
            if cell is None and formula is not None:
                problem = "this formula was never calculated; open the file in a spreadsheet and "
                raise TableError(row, column, problem + "save it, or write values")
        texts = [_text(cell) for cell in cells]
        while texts and not texts[-1]:
            texts.pop()
        yield row, texts


def _sheet(book: Any, name: str) -> Any:
    """Return the first visible sheet."""
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not sheets:
        raise TableError(0, 0, f"the workbook has no visible sheet; {_SAVE_AGAIN}")
    if len(sheets) > 1:
        logger.warning(
            "%s has %d sheets; only the first is read, %r. Save each as a file of its own.",
            name,
            len(sheets),
            sheets[0].title,
        )
    return sheets[0]


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # the size that the file states may be wrong
    found: Iterator[tuple[Any, ...]] = sheet.iter_rows(max_col=_MAX_COLUMNS, values_only=True)
    return found


def _check_parts(data: bytes) -> bool:
    """Check the unpacked parts of a workbook. Return `True` if all formulas have results.

    Raises:
        TableError: the parts are too large, or have a DOCTYPE.

    """
    has_results = True
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [part for part in archive.infolist() if not part.filename.startswith("xl/media/")]
        # The stated sizes can be relied on: zipfile stops reading there.
        if sum(part.file_size for part in parts) > _MAX_UNPACKED:
            limit = f"{_MAX_UNPACKED / 2**20:.0f} MiB"
            raise TableError(0, 0, f"the file unpacks to more than {limit}; save it as 'CSV UTF-8'")
        for part in parts:
            content = archive.read(part)
            if _ENTITIES.search(content) is not None:
                raise TableError(
                    0, 0, f"the file has a DOCTYPE, and no workbook has one; {_SAVE_AGAIN}"
                )
            if part.filename.startswith("xl/worksheets/"):
                has_results = has_results and _NO_RESULT.search(content) is None
    return has_results


def _text(cell: Any) -> str:
    """Return the text of a cell as a spreadsheet shows it, if that is known."""
    match cell:
        case None:
            return ""
        case str():
            return trimmed(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), cell))
        case bool():
            return str(cell).upper()
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
    return _text_of_time(cell)


def _text_of_time(cell: Any) -> str:
    match cell:
        case dt.datetime():
            is_day = cell.time() == dt.time()
            return cell.date().isoformat() if is_day else cell.isoformat(" ")
        case dt.time():
            return cell.isoformat("auto" if cell.second or cell.microsecond else "minutes")
        case dt.timedelta():
            minutes, seconds = divmod(round(cell.total_seconds()), 60)
            hours, minutes = divmod(minutes, 60)
            return f"{hours}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
    return trimmed(str(cell))
