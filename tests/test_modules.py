"""Modules and classes are found by their names: no two share one, and no module is a fragment."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.docs import ROOT

PACKAGE = ROOT / "luma_async"

SHORTEST = 40
"""Lines below which a module is part of a subject, and belongs to the module of that subject."""

MAY_BE_SHORT = {
    "cli/commands/credits.py": "each command has a module, named as it is typed",
    "cli/commands/image.py": "each command has a module, named as it is typed",
    "file_lock.py": "a switch between operating systems, which downloads and batches share",
}
"""Modules with fewer lines, by their path in the package, each with the reason."""

MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem not in {"__init__", "__main__", "version"}
]


def test_no_two_modules_have_one_name() -> None:
    """A traceback and an editor's tab show the name of a file without its folder."""
    assert shared((path.stem, name_of(path)) for path in MODULES) == {}


def test_no_two_public_classes_have_one_name() -> None:
    """A class that a reader searches for is in one place."""
    assert shared((name, name_of(path)) for path in MODULES for name in public_classes(path)) == {}


def test_no_module_is_a_fragment() -> None:
    """A reader opens few files for a subject; exceptions are named with a reason."""
    short = {name_of(path) for path in MODULES if lines_of(path) < SHORTEST}
    assert short == set(MAY_BE_SHORT)
    assert all(MAY_BE_SHORT.values())


def shared(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that several places have, with these places."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def public_classes(path: Path) -> list[str]:
    """Return the names of the public classes at the top of a module."""
    tree = ast.parse(path.read_text("utf-8"))
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [name for name in classes if not name.startswith("_")]


def lines_of(path: Path) -> int:
    """Return the number of lines of a module."""
    return len(path.read_text("utf-8").splitlines())


def name_of(path: Path) -> str:
    """Return the path of a module in the package."""
    return path.relative_to(PACKAGE).as_posix()
