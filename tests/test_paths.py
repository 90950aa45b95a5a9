"""Paths as users write them, in each version of Python."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from luma_async import paths


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    """A link counts as what it leads to."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "to nothing").symlink_to("nothing")
    names = ["", "file", "link", "to nothing", "nothing", "file/nothing"]
    found = [Path(tmp_path, name) for name in names]

    assert [paths.is_file_path(path) for path in found] == [False, True, True, False, False, False]
    assert [paths.is_folder(path) for path in found] == [True, False, False, False, False, False]
    assert [paths.exists(path) for path in found] == [True, True, True, False, False, False]


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + "/cat.mp4", "loop"])
def test_a_path_that_nothing_can_have(name: str, tmp_path: Path) -> None:
    """It is that of no file. Whoever wants to write there gets an error."""
    (tmp_path / "loop").symlink_to("loop")
    path = os.fspath(tmp_path / name)

    assert not paths.is_file_path(path)
    with pytest.raises(OSError, match=r"too long|Too many levels"):
        paths.exists(path)
    with pytest.raises(OSError, match=r"too long|Too many levels"):
        paths.is_folder(path)
