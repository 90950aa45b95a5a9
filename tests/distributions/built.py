"""Distributions: the files of a release, built once for all tests of them."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs import ROOT
from tests.shared_files import shared_files


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
    """Build the files with the packages of this environment."""
    folder = shared_files(tmp_path_factory, "distributions", _build)
    [sdist], [wheel] = folder.glob("release/*.tar.gz"), folder.glob("release/*.whl")
    [wheel_of_checkout] = folder.glob("checkout/*.whl")
    return Distributions(sdist, wheel, wheel_of_checkout)


def _build(folder: Path) -> None:
    build = [sys.executable, "-m", "build", "--no-isolation", str(ROOT), "--outdir"]
    subprocess.run([*build, folder / "checkout", "--wheel"], check=True, capture_output=True)
    subprocess.run([*build, folder / "release"], check=True, capture_output=True)


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by path. Those of its metadata have no folder."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            re.sub(r"^[^/]*\.dist-info/", "", name): archive.read(name)
            for name in archive.namelist()
        }
