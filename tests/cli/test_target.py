"""Targets of downloads."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from luma_async import ConfigurationError
from luma_async.cli.options import FILES, parse_what
from luma_async.cli.target import DownloadTarget
from luma_async.media.job_files import KINDS


@pytest.mark.parametrize(
    ("place", "is_folder"),
    [
        ("videos/", True),
        ("videos", True),
        ("there.d", True),
        ("cat.mp4", False),
        ("new/cat.mp4", False),
        ("file", False),
        (".", True),
        ("..", True),
    ],
)
def test_a_folder_is_told_from_a_file(
    place: str, is_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder exists, ends with a slash, or has a name without a suffix."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.d").mkdir()
    (tmp_path / "file").write_text("")

    assert DownloadTarget(place=place).is_folder is is_folder


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("new/folder/", None),
        ("new/cat.mp4", None),
        ("file", "file already exists"),
        ("file/videos/", "file is not a folder"),
        ("a" * 300 + ".mp4", "a.mp4 cannot be used: File name too long"),
        ("a" * 300 + "/", "a/ cannot be used: File name too long"),
    ],
)
def test_a_place_is_looked_at_before_anything_is_paid_for(
    place: str, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Existing files are errors; missing folders are created later."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")

    if problem is None:
        DownloadTarget(place=place).check()
    else:
        with pytest.raises(ConfigurationError, match=problem):
            DownloadTarget(place=place).check()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_file_holds_no_two_videos() -> None:
    """A folder is asked for."""
    with pytest.raises(ConfigurationError, match="--output cat/"):
        DownloadTarget(place="cat.mp4").check_holds_many()


@pytest.mark.parametrize(
    ("text", "what"),
    [("image", "image"), ("0", 0), ("12", 12), ("all", "all"), ("output", "output")],
)
def test_a_file_is_a_name_or_a_number(text: str, what: str | int) -> None:
    """The command line takes the names and numbers of `download(what=...)`, and `all`."""
    assert parse_what(text) == what
    assert {*FILES} == {*KINDS, "all"}


@pytest.mark.parametrize("text", ["gif", "", "-1", "1.5", "1_0", "12345678"])
def test_another_text_is_no_file(text: str) -> None:
    """The error has the allowed names."""
    with pytest.raises(typer.BadParameter, match="is not one of output, all, video"):
        parse_what(text)


def test_all_outputs_need_a_folder() -> None:
    """One file cannot hold them."""
    with pytest.raises(ConfigurationError, match="there are several outputs"):
        DownloadTarget(place="cat.png", what="all").check_holds_many("outputs")
