"""Excel workbooks: read as tables, with limits for hostile ones."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ExtendRequest, GenerateRequest, ManifestError
from luma_async.batch import Manifest, read_manifest
from luma_async.batch.columns import trimmed
from luma_async.batch.excel_table import read_excel
from luma_async.batch.problems import Problem, TableError
from luma_async.batch.tables import TableRow


def workbook(*rows: Sequence[Any], sheets: Sequence[str] = (), hidden: Sequence[str] = ()) -> bytes:
    """Return a workbook whose first sheet has these rows, with further sheets behind it."""
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(list(row))
    for title in (*sheets, *hidden):
        book.create_sheet(title)
    for title in hidden:
        book.move_sheet(title, -len(book.sheetnames))
        book[title].sheet_state = "hidden"
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def with_part(book: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a workbook one part of which is changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old:
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new:
            for part in old.namelist():
                data = old.read(part)
                new.writestr(part, change(data) if part == name else data)
    return content.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def manifest(folder: Path, content: bytes, name: str = "rows.xlsx") -> Manifest:
    path = folder / name
    path.write_bytes(content)
    return read_manifest(path)


def problems(folder: Path, content: bytes) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        manifest(folder, content)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_a_workbook_is_read_like_a_csv_file(tmp_path: Path) -> None:
    """Cells may have any type; rows have the numbers that a spreadsheet shows."""
    content = workbook(
        ["Key", "Prompt", "Aspect Ratio", "Loop", "Extends", "Extra"],
        [1, " a cat, dancing ", dt.time(16, 9), True],
        [],
        ["two", 1984, None, None, 1.0, '{"seed": 7}'],
        ["three", dt.datetime(2024, 5, 1), "09:16:00", "FALSCH"],  # noqa: DTZ001
    )

    rows = manifest(tmp_path, content).rows

    assert [(row.key, row.line, row.parent) for row in rows] == [
        ("1", 2, None),
        ("two", 4, "1"),
        ("three", 5, None),
    ]
    assert [row.request for row in rows] == [
        GenerateRequest("a cat, dancing", aspect_ratio="16:9", loop=True),
        ExtendRequest("1984", extra={"seed": 7}),
        GenerateRequest("2024-05-01", aspect_ratio="9:16", loop=False),
    ]


def test_problems_have_rows_and_columns(tmp_path: Path) -> None:
    """Rows and columns are counted as in a spreadsheet."""
    found = problems(tmp_path, workbook([], ["prompt", "loop"], [], ["a cat", "perhaps"]))

    assert found == [
        "rows.xlsx:4:2: loop: 'perhaps' is neither true nor false; write TRUE or FALSE"
    ]


def test_a_formula_is_read_as_its_result(tmp_path: Path) -> None:
    """The result is the one that the spreadsheet saved; it may be an empty text."""
    content = workbook(["prompt", "loop"], ["=A9", "=A9"])
    results = {
        b'<c r="A2"><f>A9</f><v />': b'<c r="A2" t="str"><f>A9</f><v>a cat</v>',
        b'<c r="B2"><f>A9</f><v />': b'<c r="B2" t="str"><f>A9</f><v></v>',
    }

    def calculated(sheet: bytes) -> bytes:
        sheet = sheet.replace(b"<v></v>", b"<v />").replace(b"<v/>", b"<v />")
        for formula, result in results.items():
            assert formula in sheet
            sheet = sheet.replace(formula, result)
        return sheet

    [row] = manifest(tmp_path, with_part(content, SHEET, calculated)).rows

    assert row.request == GenerateRequest("a cat")


def test_a_formula_that_was_never_calculated_is_a_problem(tmp_path: Path) -> None:
    """A program wrote it; read as an empty cell, it would be lost."""
    [problem] = problems(tmp_path, workbook(["prompt", "model"], ["a cat", "=A1&A2"]))

    assert problem.startswith(
        "rows.xlsx:2:2: this formula was never calculated; open the file in a "
    )


@pytest.mark.parametrize("hidden", [[], ["Notes"]])
def test_of_several_sheets_a_warning_names_the_one_that_is_read(
    hidden: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first visible sheet is read."""
    content = workbook(["prompt"], ["a cat"], sheets=["Ideas"], hidden=hidden)

    [row] = manifest(tmp_path, content).rows

    assert row.request.prompt == "a cat"
    [line] = caplog.messages
    assert "has 2 sheets; only the first is read, 'Sheet'" in line


def test_a_single_sheet_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no choice to report."""
    manifest(tmp_path, workbook(["prompt"], ["a cat"]))

    assert caplog.messages == []


def test_a_workbook_with_macros_is_read(tmp_path: Path) -> None:
    """Macros are not run."""
    assert manifest(tmp_path, workbook(["prompt"], ["a cat"]), "rows.xlsm").rows


def in_sheet(xml: str) -> bytes:
    def change(_: bytes) -> bytes:
        space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
        return f'<worksheet xmlns="{space}">{xml}</worksheet>'.encode()

    return with_part(workbook(["prompt"]), SHEET, change)


HEAD = '<row r="1"><c r="A1" t="inlineStr"><is><t>prompt</t></is></c></row>'
CAT = '<c r="A{0}" t="inlineStr"><is><t>a cat</t></is></c>'

BOMBS = {
    "unpacks to much": (
        with_part(workbook(["prompt"]), SHEET, lambda data: data + b" " * (33 * 2**20)),
        "the file unpacks to more than 32 MiB; save it as 'CSV UTF-8'",
    ),
    "entities": (
        with_part(workbook(["prompt"]), SHEET, lambda data: b"<!DOCTYPE x>" + data),
        "the file has a DOCTYPE, and no workbook has one",
    ),
    "a row far away": (
        in_sheet(f'<sheetData>{HEAD}<row r="999999999999">{CAT.format(9)}</row></sheetData>'),
        "the sheet has more rows than Excel allows",
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_workbook_that_unpacks_to_too_much_is_rejected(kind: str, tmp_path: Path) -> None:
    """Memory and time stay bounded."""
    content, problem = BOMBS[kind]

    assert len(content) < 100_000
    assert any(problem in line for line in problems(tmp_path, content))


@pytest.mark.parametrize("size", ["A1:A1", "A1:XFD1048576"])
def test_a_workbook_may_state_a_wrong_size(size: str, tmp_path: Path) -> None:
    """All cells that are in the file are read, and no others."""
    content = in_sheet(
        f'<dimension ref="{size}"/><sheetData>{HEAD}'
        f'<row r="2">{CAT.format(2)}<c r="XFD2"><v>1</v></c></row></sheetData>'
    )

    [row] = manifest(tmp_path, content).rows

    assert row.request == GenerateRequest("a cat")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"prompt\na cat\n", "this is not an Excel workbook; open it in a spreadsheet and save"),
        (
            b"\xd0\xcf\x11\xe0" + bytes(600),
            "the file is protected by a password, or is an old .xls; ",
        ),
        (b"PK\x03\x04" + bytes(600), "this Excel workbook is damaged (BadZipFile); open it in"),
        (b"", "this is not an Excel workbook; open it"),
        (workbook(), "the file is empty; its first line names the columns"),
    ],
)
def test_a_file_that_is_not_a_workbook_is_a_problem(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    """The text says how to correct it."""
    [found] = problems(tmp_path, content)

    assert found.startswith(f"rows.xlsx: {problem}")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(ModuleNotFoundError, match=r'pip install "luma-async\[xlsx\]"'):
        manifest(tmp_path, b"PK")


cells = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="_\ufffe\uffff"
    ),
    max_size=12,
).filter(lambda text: not text.startswith("="))


@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_texts_of_a_workbook_are_read(rows: list[tuple[str, str]]) -> None:
    """Texts of any kind are read, without the blanks around them."""
    content = workbook(["one", "two"], *rows)

    found = [record for record in read_excel(content, "rows.xlsx") if isinstance(record, TableRow)]

    wanted = [(trimmed(one), trimmed(two)) for one, two in rows]
    assert [(record.cells.get("one", ""), record.cells.get("two", "")) for record in found] == [
        row for row in wanted if any(row)
    ]


GOOD = workbook(["prompt", "loop"], ["a cat", True], ["a dog", "=A2"])
with zipfile.ZipFile(io.BytesIO(GOOD)) as _archive:
    PARTS = _archive.namelist()


@given(st.sampled_from(PARTS), st.data())
def test_a_damaged_workbook_is_read_or_rejected(part: str, data: st.DataObject) -> None:
    """Damage in any part of it causes no other exception."""

    def damaged(content: bytes) -> bytes:
        at = data.draw(st.integers(0, len(content)))
        return content[:at] + data.draw(st.binary(max_size=8)) + content[at + 1 :]

    try:
        for record in read_excel(with_part(GOOD, part, damaged), "rows.xlsx"):
            assert isinstance(record, TableRow | Problem)
    except TableError:
        pass


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4))
def test_a_workbook_with_damaged_bytes_is_read_or_rejected(at: int, other: bytes) -> None:
    """Damage in the archive itself causes no other exception."""
    try:
        for record in read_excel(GOOD[:at] + other + GOOD[at + len(other) :], "rows.xlsx"):
            assert isinstance(record, TableRow | Problem)
    except TableError:
        pass
