"""The files of a release have all that they need, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder

from tests.distributions.built import Distributions, contents
from tests.docs import ROOT

PACKAGE = ROOT / "luma_async"

ALWAYS_PACKED = {".gitignore", "LICENSE", "pyproject.toml"}
"""Files that a source distribution of hatchling has in any case."""

FILES_OF_SDIST = {
    *("luma_async", "tests", "benchmarks", "examples", "docs"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
}


def test_the_wheel_has_the_package_and_nothing_else(distributions: Distributions) -> None:
    """All modules, the marker of types, the files of the gallery; no tests, no stray files."""
    package = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    other = {
        path for path in package if not path.endswith((".py", "/py.typed", "/gallery.html", ".js"))
    }

    found = contents(distributions.wheel)

    assert other == set()
    assert {"luma_async/py.typed", "luma_async/batch/gallery.html"} < set(package)
    assert found.keys() - package.keys() == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    assert {path: found[path] for path in package} == package


def test_the_sdist_builds_the_same_wheel(distributions: Distributions) -> None:
    """A package of a distribution, made from the archive, is the one that pip installs."""
    assert distributions.wheel.name == distributions.wheel_of_checkout.name
    assert contents(distributions.wheel) == contents(distributions.wheel_of_checkout)


def test_the_sdist_has_the_files_of_the_project(distributions: Distributions) -> None:
    """Its tests and pages are there, and no file that is made by working on them."""
    with tarfile.open(distributions.sdist) as archive:
        paths = [Path(name).parts[1:] for name in archive.getnames()]
    made = {".venv", ".git", ".hypothesis", "__pycache__", "_build", "dist", "results"}

    assert {parts[0] for parts in paths} > FILES_OF_SDIST
    assert [parts for parts in paths if made & set(parts)] == []


def test_the_source_distribution_has_the_files_of_the_repository() -> None:
    """A packager can run its tests and checks. What git does not know is not in it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a repository")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    files: Any = SdistBuilder(str(ROOT)).recurse_included_files()
    packed = {Path(file.path).relative_to(ROOT).as_posix() for file in files}

    assert packed <= known
    assert known - packed == ALWAYS_PACKED
