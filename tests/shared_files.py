"""Files that are made once in a run, for the tests of all its workers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from luma_async.file_lock import lock, unlock


def shared_files(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder with files that `make` has put there.

    The first worker that needs the files makes them, and the others wait. If `make` fails, the next
    worker tries.
    """
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder, done = place / name, place / f"{name}.done"
    with (place / f"{name}.lock").open("w") as file:
        while True:
            try:
                lock(file)
            except OSError:
                time.sleep(0.1)
            else:
                break
        try:
            if not done.exists():
                folder.mkdir(exist_ok=True)
                make(folder)
                done.touch()
        finally:
            unlock(file)
    return folder
