"""The README and the pages in `docs/` name files, commands, options and errors that exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import luma_async
from luma_async.cli.app import app
from luma_async.settings import NAMES as SETTINGS
from tests.docs import PAGES, ROOT, blocks, name_of
from tests.other_clients.moving_pages import MOVING_PAGES

WORDS = 550
"""Words that two minutes are enough for."""

_LINK = re.compile(r"!?\[(?:[^\]]|\][^(])*?\]\(([^)\s]+)\)")
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_ERROR = re.compile(r"\b[A-Z]\w+Error\b")
_SETTING = re.compile(r"\bLUMA_[A-Z_]+\b")
_BUILT_IN = {"CancelledError", "ValueError", "ImportError", "TimeoutError"}
_OTHER_ERRORS = {"ValidationError", "MissingExtraError"}
"""Errors of pydantic, and of a module that is not public."""

_COMPLETION = {"--install-completion", "--show-completion"}

MOVING = {page.path: page for page in MOVING_PAGES}
"""Pages that name errors and settings of other clients as well, by their paths."""

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]

pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def test_the_readme_takes_two_minutes() -> None:
    """Words are counted as `wc -w` counts them, code and links among them."""
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= WORDS


def test_the_first_example_of_the_readme_has_six_lines() -> None:
    """Imports included; one call makes a video, and saves it."""
    first, *_ = blocks(ROOT / "README.md", "python")
    lines = first.splitlines()
    assert len(lines) <= 6
    assert any("luma.run(" in line and "download=" in line for line in lines)


@pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """A relative link leads to a file of the project, and to a heading that is in it."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in _headings(target)):
            broken.append(link)
    assert broken == []


def test_the_index_has_every_page() -> None:
    """No page is reached by its name only. The index of the reference lists its pages."""
    for index in (ROOT / "docs/index.md", ROOT / "docs/api/index.md"):
        every = {page.name for page in PAGES if page.parent == index.parent} - {"index.md"}
        links = set(_LINK.findall(index.read_text("utf-8")))
        links |= {link.removeprefix("../").lower() for link in links if link.startswith("../")}
        assert every - links == set(), index
    assert "api/index.md" in _LINK.findall((ROOT / "docs/index.md").read_text("utf-8"))


@pages
def test_shell_commands_exist(page: Path) -> None:
    """Programs, commands of `luma-async`, their options, extras, targets and settings."""
    wrong = [
        f"{line}: {problem}"
        for block in blocks(page, "sh")
        for line in block.splitlines()
        for problem in _problems_of(line)
    ]
    assert wrong == []


@pages
def test_options_errors_and_settings_exist(page: Path) -> None:
    """Each one that is named in a sentence or in code."""
    text = page.read_text("utf-8")
    options = {option for command in COMMANDS.values() for option in _options(command)}
    settings = {*SETTINGS, "LUMA_SIMULATOR_KEY"}
    errors = {*luma_async.__all__, *_OTHER_ERRORS}
    if page in MOVING:
        settings |= MOVING[page].there.settings
        errors |= MOVING[page].error_names
    assert set(_OPTION.findall(text)) <= options | _COMPLETION | {"--help", "--version", "--group"}
    assert set(_ERROR.findall(text)) <= errors | _BUILT_IN
    assert set(_SETTING.findall(text)) <= settings


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("luma-async genarate 'a cat'", "no such command"),
        ("luma-async settle --al", "no such option: --al"),
        ("make tests", "no such target"),
        ('pip install "luma-async[client]"', "no such extra"),
        ('pip install "luma-async[simulator]" pytest-async', "not tried here"),
        ("export LUMA_KEY=sk-1", "no such setting"),
        ("python -m benchmarks costs", "no such benchmark"),
        ("python examples/no_video.py", "no such file"),
        ("luma_async get 1", "not a known program"),
    ],
)
def test_a_wrong_shell_command_is_found(line: str, problem: str) -> None:
    """The check of shell blocks can fail."""
    assert any(problem in found for found in _problems_of(line))


def _problems_of(line: str) -> Iterator[str]:
    match shlex.split(line, comments=True):
        case []:
            pass
        case ["luma-async", command, *arguments]:
            yield from _problems_of_command(command, arguments)
        case ["make", target]:
            makefile = (ROOT / "Makefile").read_text("utf-8")
            if not re.search(rf"^{target}:", makefile, re.MULTILINE):
                yield f"no such target: {target}"
        case ["pip", "install", package, *others]:
            yield from _problems_of_package(package)
            yield from (f"not tried here: {other}" for other in set(others) - _tried_packages())
        case ["export", *assignments]:
            names = {assignment.partition("=")[0] for assignment in assignments}
            yield from (f"no such setting: {name}" for name in names - set(SETTINGS))
        case ["python", "-m", "benchmarks", *names]:
            files = {name: ROOT / "benchmarks" / f"{name}.py" for name in names}
            yield from (f"no such benchmark: {n}" for n, file in files.items() if not file.exists())
        case ["python", file, *_] if file != "-m":
            if not (ROOT / file).is_file():
                yield f"no such file: {file}"
        case _:
            yield "not a known program"


def _problems_of_command(command: str, arguments: list[str]) -> Iterator[str]:
    if command in _COMPLETION:
        return
    if command not in COMMANDS:
        yield f"no such command: {command}"
        return
    for argument in arguments:
        option = argument.partition("=")[0]
        if argument.startswith("--") and option not in _options(COMMANDS[command]):
            yield f"no such option: {option}"


def _problems_of_package(package: str) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    name, _, extras = package.rstrip("]").partition("[")
    if name != project["name"]:
        yield f"not this package: {name}"
    for extra in filter(None, extras.split(",")):
        if extra not in project["optional-dependencies"]:
            yield f"no such extra: {extra}"


def _tried_packages() -> set[str]:
    """Return the names of the packages that this project's own tests are run with."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    texts = [each for each in groups["test"] if isinstance(each, str)]
    return {re.split(r"[^\w.-]", text)[0] for text in texts}


def _options(command: Any) -> set[str]:
    """Return the long options of a command, and the one that every command has."""
    found = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return {option for option in found if option.startswith("--")} | {"--help"}


def _headings(page: Path) -> set[str]:
    """Return the anchors that a page's headings have where it is shown."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
