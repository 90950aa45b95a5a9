"""A test that hangs ends with its process, which tells where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HANGS = """
import asyncio
import pytest

@pytest.fixture
async def something():
    yield

async def that_never_comes():
    await asyncio.Event().wait()

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_waits(something):
    while True:
        await that_never_comes()

def test_ends():
    pass
"""


def test_a_test_that_hangs_is_named(tmp_path: Path) -> None:
    """Also with the tasks of its event loop, and the other tests go on in another process."""
    (tmp_path / "test_it.py").write_text(HANGS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 1\n")
    options = ["--numprocesses=1", "-p", "tests.hung_tests", "-p", "no:cacheprovider"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, tmp_path],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "crashed while running 'test_it.py::test_waits[asyncio]'" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "test_it.py::test_waits[asyncio] hangs." in done.stderr
    assert "in that_never_comes" in done.stderr
