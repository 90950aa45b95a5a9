"""A table in a workbook of Excel's, as `.xlsx`."""

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
from luma_async.batch.tables import Record, records

logger = logging.getLogger("luma_async.batch")

_LARGEST = 32 * 2**20
"""Bytes of all tables and texts of a workbook, unpacked."""

_LAST_ROW = 2**20
_MOST_COLUMNS = 200
"""Beyond them nothing is read; rows as wide as they can be would take a minute each million."""

_SAVE_AGAIN = "open it in a spreadsheet and save it as 'Excel workbook (.xlsx)' or 'CSV UTF-8'"
_ZIP, _OLD = b"PK", b"\xd0\xcf\x11\xe0"
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
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def read_excel(data: bytes, name: str) -> Iterator[Record | Problem]:
    """Read the first sheet that is not hidden; its first row names the columns.

    Cells are taken as texts, formulas as what they resulted in when the file was saved. Of several
    sheets it is logged which one was read, with the `name` of the file.

    Raises:
        TableError: it is no workbook, or nothing is in it.
        ModuleNotFoundError: openpyxl is missing.

    """
    try:
        import openpyxl  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A file of Excel's needs openpyxl: pip install 'luma-async[xlsx]'", name=error.name
        ) from None
    if data.startswith(_OLD):
        raise TableError(0, 0, f"it is protected by a password, or an old .xls; {_SAVE_AGAIN}")
    if not data.startswith(_ZIP):
        raise TableError(0, 0, f"this is not an Excel workbook; {_SAVE_AGAIN}")
    # It warns of styles and rules of a workbook, which are nothing to a table. Not by
    # catch_warnings(), which would change them for other threads as well.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
    try:
        yield from records(_rows(openpyxl, data, name))
    except (TableError, GeneratorExit):
        raise
    except Exception as error:  # noqa: BLE001  openpyxl has none of its own for damaged files
        problem = f"this Excel workbook is damaged ({type(error).__name__}); {_SAVE_AGAIN}"
        raise TableError(0, 0, problem) from None


def _rows(openpyxl: Any, data: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    has_results = _checked(data)
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    sheet = _sheet(book, name)
    formulas: Iterator[Any] = repeat(())
    if not has_results:
        written = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
        formulas = _cells(written[sheet.title])
    empty: tuple[Any, ...] | None = None
    for row, (cells, asked) in enumerate(zip(_cells(sheet), formulas, strict=False), 1):
        if row > _LAST_ROW:
            raise TableError(row, 0, f"it has more rows than a sheet can have; {_SAVE_AGAIN}")
        if cells is empty:  # one tuple stands for all rows that the file leaves out
            continue
        if cells.count(None) == len(cells):
            empty = cells if has_results else None
        for column, (cell, formula) in enumerate(zip(cells, asked, strict=False), 1):
            if cell is None and formula is not None:
                problem = "a formula that was never calculated stands here; open the file in a "
                raise TableError(row, column, problem + "spreadsheet and save it, or write values")
        texts = [_text(cell) for cell in cells]
        while texts and not texts[-1]:
            texts.pop()
        yield row, texts


def _sheet(book: Any, name: str) -> Any:
    """Return the sheet that is read."""
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    if not sheets:
        raise TableError(0, 0, f"the workbook has no sheet that can be seen; {_SAVE_AGAIN}")
    if len(sheets) > 1:
        logger.warning(
            "%s has %d sheets; the first is read, %r. Keep one file for each.",
            name,
            len(sheets),
            sheets[0].title,
        )
    return sheets[0]


def _cells(sheet: Any) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # what a file says of its size need not be true
    found: Iterator[tuple[Any, ...]] = sheet.iter_rows(max_col=_MOST_COLUMNS, values_only=True)
    return found


def _checked(data: bytes) -> bool:
    """Check what a workbook unpacks to, and return whether all its formulas have results.

    Raises:
        TableError: it would fill the memory.

    """
    has_results = True
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [part for part in archive.infolist() if not part.filename.startswith("xl/media/")]
        # No part unpacks to more than it says: zipfile stops there.
        if sum(part.file_size for part in parts) > _LARGEST:
            limit = f"{_LARGEST / 2**20:.0f} MiB"
            raise TableError(0, 0, f"it unpacks to more than {limit}; save it as 'CSV UTF-8'")
        for part in parts:
            content = archive.read(part)
            if _ENTITIES.search(content) is not None:
                raise TableError(0, 0, f"it has a DOCTYPE, as no workbook has; {_SAVE_AGAIN}")
            if part.filename.startswith("xl/worksheets/"):
                has_results = has_results and _NO_RESULT.search(content) is None
    return has_results


def _text(cell: Any) -> str:
    """Return the text of a cell, as its reader sees it where that is known."""
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
