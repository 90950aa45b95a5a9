"""The files of a release have all that they need, nothing else, and metadata for their page."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

import luma_async
from tests.distributions.built import Distributions
from tests.docs import ROOT

PACKAGE = ROOT / "luma_async"

FILES_OF_SDIST = {
    *("luma_async", "tests", "benchmarks", "examples", "docs"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
}


@pytest.fixture
def metadata(distributions: Distributions) -> Message:
    """Return the metadata of the wheel."""
    return Parser().parsestr(contents(distributions.wheel)["METADATA"].decode())


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by path. Those of its metadata have no folder."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            re.sub(r"^[^/]*\.dist-info/", "", name): archive.read(name)
            for name in archive.namelist()
        }


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


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


def test_the_page_of_a_release_can_be_shown(distributions: Distributions) -> None:
    """The registry takes the metadata, and can show the README; warnings are errors."""
    files = [str(distributions.sdist), str(distributions.wheel)]
    twine = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files]

    done = subprocess.run(twine, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_the_metadata_says_what_it_is(metadata: Message) -> None:
    """The name, the version, the Pythons, the license and its text, the README."""
    readme = ROOT / "README.md"

    assert metadata["Name"] == "luma-async"
    assert metadata["Version"] == luma_async.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Summary"] == project()["description"]
    assert readme.read_text("utf-8").splitlines()[0] in metadata.get_payload()


def test_the_metadata_has_every_extra(metadata: Message) -> None:
    """And `all` installs what any of them does."""
    extras = project()["optional-dependencies"]

    assert set(metadata.get_all("Provides-Extra") or ()) == set(extras)
    assert asked_for(metadata, "all") == {
        name for extra in extras for name in asked_for(metadata, extra)
    }


def test_the_documented_extras_are_those_of_the_metadata(metadata: Message) -> None:
    """A page with a name that pip does not know would install nothing, with a warning."""
    text = "".join(
        path.read_text("utf-8")
        for folder in ("docs", "examples", "luma_async")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".md", ".py"}
    )
    named = {
        extra.strip()
        for found in re.findall(r"luma-async\[([a-z, ]+)\]", text)
        for extra in found.split(",")
    }

    assert named <= set(metadata.get_all("Provides-Extra") or ())
    assert {"cli", "demo", "journal", "mcp", "otel", "remote"} <= named


def asked_for(metadata: Message, extra: str) -> set[str]:
    """Return the names of the packages that an extra installs."""
    return {
        re.split(r"[^\w.-]", line)[0]
        for line in metadata.get_all("Requires-Dist") or ()
        if f"extra == '{extra}'" in line
    }
