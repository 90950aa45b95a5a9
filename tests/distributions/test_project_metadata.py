"""The metadata of a release has the facts that PyPI shows, and that pip reads."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hatchling.builders.sdist import SdistBuilder

from luma_async import LumaClient, __version__
from tests.changelog import ADDRESS, version_of_project
from tests.cli.commands import Shell
from tests.distributions.built import Distributions, contents
from tests.docs import ROOT
from tests.media.hosts import host

_TARGET = re.compile(
    r"\]\(([^)\s]+)\)|\b(?:src|href)=[\"']([^\"']+)|^\[[^\]]+\]: (\S+)", re.MULTILINE
)


@pytest.fixture(scope="module")
def builder() -> SdistBuilder:
    return SdistBuilder(str(ROOT))


@pytest.fixture
def metadata(distributions: Distributions) -> Message:
    """Return the metadata of the wheel."""
    return Parser().parsestr(contents(distributions.wheel)["METADATA"].decode())


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def targets_of(text: str) -> list[str]:
    return [next(filter(None, found)) for found in _TARGET.findall(text)]


def test_the_page_on_pypi_has_no_relative_link(builder: SdistBuilder) -> None:
    """Files are linked to as they were at the release, and images come from the repository."""
    raw = ADDRESS.replace("github.com", "raw.githubusercontent.com")
    expected = []
    for target in targets_of((ROOT / "README.md").read_text("utf-8")):
        if target.startswith(("https://", "#")):
            expected.append(target)
            continue
        assert (ROOT / target.partition("#")[0]).exists(), target
        start = raw if target.endswith((".png", ".svg")) else f"{ADDRESS}/blob"
        expected.append(f"{start}/v{__version__}/{target}")

    assert builder.metadata.core.readme_content_type == "text/markdown"
    assert expected
    assert targets_of(builder.metadata.core.readme) == expected


def test_the_page_on_pypi_says_what_the_readme_says(builder: SdistBuilder) -> None:
    """Nothing but the addresses differs."""
    readme = (ROOT / "README.md").read_text("utf-8")

    def without_targets(text: str) -> str:
        return re.sub(r"\]\([^)]*\)", "]()", text)

    assert without_targets(builder.metadata.core.readme) == without_targets(readme)


def test_the_version_is_the_same_everywhere(builder: SdistBuilder, tmp_path: Path) -> None:
    """It stands in `luma_async/version.py`, and everything else reads it there."""
    assert version_of_project() == __version__
    assert builder.metadata.version == __version__
    assert Shell(tmp_path).run("--version").stdout == f"luma-async {__version__}\n"
    assert importlib.metadata.version("luma-async") == __version__, "install the project again"


async def test_a_server_sees_the_version() -> None:
    """The User-Agent of a request has it."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["User-Agent"])
        return web.json_response({}, status=404)

    async with host(answer) as url, LumaClient("k", base_url=f"{url}/prefix", max_tries=1) as luma:
        with pytest.raises(Exception, match="404"):
            await luma.get("4665a07c-0000-4000-8000-000000000000")

    assert seen
    assert {agent.split()[0] for agent in seen} == {f"luma-async/{__version__}"}


def test_the_project_has_addresses(builder: SdistBuilder) -> None:
    """PyPI lists them beside the page."""
    urls = builder.metadata.core.urls

    assert list(urls) == ["Documentation", "Source", "Changelog", "Issues", "Security"]
    assert all(url.startswith((ADDRESS, "https://luma-async.github.io/")) for url in urls.values())


def test_the_license_names_its_holders() -> None:
    """The same authors as in the metadata, and the year of the first release."""
    text = (ROOT / "LICENSE").read_text("utf-8")

    assert text.startswith("MIT License\n\nCopyright (c) 2026 The luma-async authors\n")


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
    assert metadata["Version"] == __version__
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
