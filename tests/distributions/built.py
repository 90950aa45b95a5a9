"""Distributions: the files of a release, built once for all tests of them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

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
    with (shared / "distributions.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not release.exists():
            build = [sys.executable, "-m", "build", "--no-isolation", str(ROOT), "--outdir"]
            subprocess.run([*build, checkout, "--wheel"], check=True, capture_output=True)
            subprocess.run([*build, release], check=True, capture_output=True)
    [sdist], [wheel] = release.glob("*.tar.gz"), release.glob("*.whl")
    [wheel_of_checkout] = checkout.glob("*.whl")
    return Distributions(sdist, wheel, wheel_of_checkout)
