"""The gallery's file: reproducible, and replaced atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luma_async.batch.gallery import render, write
from tests.batch.gallery.pages import ALL, COMMAND


def test_the_page_is_reproducible() -> None:
    """Equal results make equal pages."""
    pages = {render(iter(ALL), title="Films", command=COMMAND) for _ in range(2)}

    assert len(pages) == 1


def test_the_file_is_replaced_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an error the old page stays, and no temporary file is left."""
    path = write(tmp_path / "new", ALL[:1], title="Old", command=COMMAND)
    old = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("luma_async.batch.gallery.os.replace", full)
        with pytest.raises(OSError, match="No space"):
            write(path.parent, ALL, title="New", command=COMMAND)
    after_failure = path.read_bytes()
    write(path.parent, ALL, title="New", command=COMMAND)

    assert path == tmp_path / "new" / "gallery.html"
    assert after_failure == old
    assert b'<h1 dir="auto">New</h1>' in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]
