"""The pages in `docs/` are complete: errors, exit codes, commands, and the tests that they name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import luma_async
from luma_async import LumaError, errors
from luma_async.cli.exit_codes import ExitCode
from luma_async.transport.error_bodies import error_class
from tests.docs import PAGES, ROOT, name_of
from tests.test_docs import COMMANDS

DOCS = [page for page in PAGES if page.parent == ROOT / "docs"]
OWN = [page for page in DOCS if not page.read_text("utf-8").startswith("```{include}")]
"""Pages with a text of their own."""

ERRORS = (ROOT / "docs/errors.md").read_text("utf-8")

CLASSES: dict[str, type[LumaError]] = {
    name: value
    for name, value in ((name, getattr(luma_async, name)) for name in luma_async.__all__)
    if isinstance(value, type) and issubclass(value, LumaError)
}

TREE = (errors.__doc__ or "").split("\n\n")[1]

ABOUT_COMMANDS = {
    "batch": ("batches",),
    "mcp": ("mcp",),
    "settle": ("uncertain-jobs",),
    "simulate": ("testing",),
}
"""Pages about one command."""

ALIAS = "--watermarked"
"""Option of earlier releases for `--watermark`."""

_ATTRIBUTE = re.compile(r"^ {4}(\w+): ", re.MULTILINE)
_NAMED_TEST = re.compile(r"`(test_\w+)`|`(tests/[\w/]+\.py)`")


def section_of(name: str) -> str:
    """Return the section of an error on its page, without line breaks."""
    found = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", ERRORS, re.DOTALL | re.MULTILINE)
    return "" if found is None else " ".join(found[1].split())


def rows_below(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of the page of errors."""
    below = ERRORS.partition(f"\n## {heading}\n")[2]
    table = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def named(cell: str) -> list[type[LumaError]]:
    return [CLASSES[name] for name in re.findall(r"`(\w+Error)`", cell)]


def test_each_error_has_a_section_in_the_order_of_the_tree() -> None:
    """A new error needs a section, and a link to `errors.md#its-name` leads there."""
    sections = re.findall(r"^### (\w+)$", ERRORS, re.MULTILINE)

    assert sections == re.findall(r"\b[A-Z]\w*Error\b(?=\s{2}|$)", TREE, re.MULTILINE)
    assert set(sections) == set(CLASSES)


def test_the_page_draws_the_tree_of_the_errors() -> None:
    """As it is at the top of `errors.py`, which is compared with the classes."""
    assert f"```text\n{TREE}\n```" in ERRORS


@pytest.mark.parametrize("name", CLASSES)
def test_a_section_has_the_attributes_and_the_text_for_users(name: str) -> None:
    """All that the docstring lists, and the text of this class, if it has one of its own."""
    kind, section = CLASSES[name], section_of(name)
    listed = _ATTRIBUTE.findall((inspect.getdoc(kind) or "").partition("Attributes:")[2])
    text = vars(kind).get("for_users") if kind is not LumaError else None

    assert listed or "Attributes:" not in (kind.__doc__ or "")
    assert [each for each in listed if f"`{each}`" not in section] == []
    assert text is None or text in section


def test_each_error_says_what_became_of_the_job() -> None:
    """With the exit code of a command that ends with it; the two bases have no row."""
    rows = rows_below("What became of the job, and may I try again?")
    told = {kind for row in rows for kind in named(row[0])}

    assert told == set(CLASSES.values()) - {LumaError, luma_async.APIError}
    for error, *_, code in rows:
        for kind in named(error):
            assert int(code) == ExitCode.of([kind.__new__(kind)]), kind


def test_each_status_has_the_error_of_the_page() -> None:
    """The first error of the row is the one that the status alone leads to."""
    told = {
        int(status): named(error)[0]
        for statuses, error in rows_below("HTTP statuses")
        for status in re.findall(r"\b\d{3}\b", statuses)
    }

    assert len(told) >= 12
    assert {status: error_class(status, None) for status in told} == told


def test_the_page_of_the_command_line_has_each_command() -> None:
    """In its table, as it is typed."""
    page = (ROOT / "docs/command-line.md").read_text("utf-8")

    assert set(re.findall(r"^\| `luma-async ([a-z-]+)", page, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_is_on_a_page(command: str) -> None:
    """Of the command line, or of the subject of the command; a flag as the form without `no`."""
    pages = ("command-line", "installation", *ABOUT_COMMANDS.get(command, ()))
    text = "".join((ROOT / f"docs/{name}.md").read_text("utf-8") for name in pages)
    options = {
        option
        for each in COMMANDS[command].params
        for option in each.opts
        if option.startswith("--") and option != ALIAS
    }

    assert {
        option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)
    } == set()


@pytest.mark.parametrize("page", OWN, ids=name_of)
def test_a_page_begins_with_its_purpose(page: Path) -> None:
    """Its title is the only one, and a sentence follows it, before any list, table or code."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    title, first, *_ = text.split("\n\n")

    assert re.fullmatch(r"# \S.*", title)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert re.match(r"[A-Z`\[*]", first)
    assert re.search(r"[.:]$", first)


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_named_tests_exist(page: Path) -> None:
    """Each test that a page names is in the file that is named after it."""
    waiting: list[str] = []
    for test, file in _NAMED_TEST.findall(page.read_text("utf-8")):
        if test:
            waiting.append(test)
            continue
        source = (ROOT / file).read_text("utf-8")
        assert [each for each in waiting if f"def {each}(" not in source] == [], file
        waiting.clear()
    assert waiting == []


def test_the_page_about_performance_has_each_benchmark() -> None:
    """The names that `python -m benchmarks` takes are the rows of its second table."""
    page = (ROOT / "docs/performance.md").read_text("utf-8")
    program = (ROOT / "benchmarks/__main__.py").read_text("utf-8")
    names = re.findall(r"^(?:NAMES|LONG) = \((.*?)\)$", program, re.DOTALL | re.MULTILINE)

    table = page.partition("| name | measures |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == re.findall(r'"(\w+)"', "".join(names))
