"""The distributions have the facts that PyPI shows, and the files that a packager needs."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hatchling.builders.sdist import SdistBuilder

from luma_async import LumaClient, __version__
from tests.changelog import ADDRESS, version_of_project
from tests.cli.commands import Shell
from tests.docs import ROOT
from tests.media.hosts import host

_TARGET = re.compile(
    r"\]\(([^)\s]+)\)|\b(?:src|href)=[\"']([^\"']+)|^\[[^\]]+\]: (\S+)", re.MULTILINE
)


ALWAYS_PACKED = {".gitignore", "LICENSE", "README.md", "pyproject.toml"}
"""Files that a source distribution of hatchling has in any case."""


@pytest.fixture(scope="module")
def builder() -> SdistBuilder:
    return SdistBuilder(str(ROOT))


def test_the_page_on_pypi_has_no_relative_link(builder: SdistBuilder) -> None:
    """Files are linked to as they were at the release, and images come from the repository."""
    page = builder.metadata.core.readme
    targets = [next(filter(None, found)) for found in _TARGET.findall(page)]
    of_repository = [target for target in targets if "/luma-async/luma-async/" in target]

    assert builder.metadata.core.readme_content_type == "text/markdown"
    assert targets
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    raw = ADDRESS.replace("github.com", "raw.githubusercontent.com")
    for target in of_repository:
        start = raw if target.endswith((".png", ".svg")) else f"{ADDRESS}/blob"
        path = target.removeprefix(f"{start}/v{__version__}/").partition("#")[0]
        assert (ROOT / path).exists(), target


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


def test_the_source_distribution_has_the_files_of_the_repository(builder: SdistBuilder) -> None:
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
    files: Any = builder.recurse_included_files()
    packed = {Path(file.path).relative_to(ROOT).as_posix() for file in files}

    assert packed <= known
    assert known - packed == ALWAYS_PACKED


def test_the_project_has_addresses(builder: SdistBuilder) -> None:
    """PyPI lists them beside the page."""
    urls = builder.metadata.core.urls

    assert list(urls) == ["Documentation", "Source", "Changelog", "Issues", "Security"]
    assert all(url.startswith((ADDRESS, "https://luma-async.github.io/")) for url in urls.values())


def test_the_license_names_its_holders() -> None:
    """The same authors as in the metadata, and the year of the first release."""
    text = (ROOT / "LICENSE").read_text("utf-8")

    assert text.startswith("MIT License\n\nCopyright (c) 2026 The luma-async authors\n")
