"""A project of somebody else installs the wheel, and tests itself with the fixtures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.distributions.built import Distributions
from tests.platforms import needs_posix

PROJECT = Path(__file__).parent / "foreign_project"
FILES = {
    "project.toml": "pyproject.toml",
    "fixtures.py": "conftest.py",
    "tests_of_bot.py": "test_bot.py",
}
"""Files of the project, and their names in it. This suite would collect them under these names."""

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

RUNS = {
    "asyncio": ["-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function"],
    "anyio": ["-p", "no:asyncio"],
}
"""Options for pytest, by the mark of async tests: only one of the two plugins is loaded."""


@pytest.fixture
def project(tmp_path: Path, distributions: Distributions) -> Path:
    """Return a project with a virtual environment, in which the built wheel is installed.

    Its dependencies are those of this suite, so that they need not be installed again.
    """
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin/python"
    install = ["--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*PIP, *install, str(distributions.wheel)], check=True, timeout=60)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    for name, there in FILES.items():
        shutil.copy(PROJECT / name, tmp_path / there)
    return tmp_path


@needs_posix
@pytest.mark.no_cover
def test_a_project_uses_the_fixtures_of_the_wheel(project: Path) -> None:
    """Under pytest-asyncio and under the plugin of anyio, with warnings as errors.

    In one of the runs, the project names the plugin although pytest loads it by itself.
    """
    runs = [
        subprocess.Popen(
            [project / "venv/bin/python", "-W", "error", "-m", "pytest", *options, "-q", "-rA"],
            cwd=project,
            env={
                **os.environ,
                "MARK": mark,
                "PLUGINS": "luma_async.testing" if mark == "anyio" else "",
                "VIRTUAL_ENV": str(project / "venv"),
                "LUMA_API_KEY": "sk-of-the-developer",
                "LUMA_JOURNAL": "/nowhere/jobs.db",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for mark, options in RUNS.items()
    ]
    for run, passed in zip(runs, (11, 9), strict=True):
        told, _ = run.communicate(timeout=120)
        assert run.returncode == 0, told
        assert re.search(rf"^{passed} passed, 1 xfailed in", told, re.MULTILINE), told
    assert not (project / "asyncio.log").exists()
