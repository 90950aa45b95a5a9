"""Distributions: the files of a release, built once for all tests of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from luma_async.file_lock import lock
from tests.docs import ROOT


@dataclass(frozen=True)
class Distributions:
    """The built files.

    Attributes:
        sdist: the source archive.
        wheel: the wheel that was built from the archive, as for a release.
        wheel_of_checkout: the wheel that was built from the files here, as by `pip install .`.

    """

    sdist: Path
    wheel: Path
    wheel_of_checkout: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build them with the packages of this environment. All workers share the files."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    release, checkout = shared / "release", shared / "checkout"
    with (shared / "distributions.lock").open("w") as file:
        while not _is_locked(file):
            time.sleep(0.1)
        if not any(release.glob("*.whl")):
            build = [sys.executable, "-m", "build", "--no-isolation", str(ROOT), "--outdir"]
            subprocess.run([*build, checkout, "--wheel"], check=True, capture_output=True)
            subprocess.run([*build, release], check=True, capture_output=True)
    [sdist], [wheel] = release.glob("*.tar.gz"), release.glob("*.whl")
    [wheel_of_checkout] = checkout.glob("*.whl")
    return Distributions(sdist, wheel, wheel_of_checkout)


def _is_locked(file: IO[Any]) -> bool:
    """Lock a file for this process, and return `False` if another one has it."""
    try:
        lock(file)
    except OSError:
        return False
    return True


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by path. Those of its metadata have no folder."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            re.sub(r"^[^/]*\.dist-info/", "", name): archive.read(name)
            for name in archive.namelist()
        }
