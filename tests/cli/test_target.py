"""Targets of downloads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer

from luma_async import ConfigurationError
from luma_async.cli.options import FILES, parse_what
from luma_async.cli.target import DownloadTarget
from luma_async.media.job_files import KINDS
from tests.disks import run, small_disk


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
        ("file/cat.mp4", "file is not a folder"),
        ("file/new/cat.mp4", "file is not a folder"),
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


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["cat.mp4.part", "cat.mp4.part.json"])
def test_a_part_file_that_cannot_be_written_is_found_before_anything_is_paid_for(
    name: str, overwrite: bool, tmp_path: Path
) -> None:
    """A folder has the name that the file or its note has while it is incomplete."""
    (tmp_path / name).mkdir()
    target = DownloadTarget(place=str(tmp_path / "cat.mp4"), overwrite=overwrite)

    with pytest.raises(ConfigurationError, match=f"{name} is not a regular file; nothing was"):
        target.check()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_device_is_found_before_anything_is_paid_for(tmp_path: Path) -> None:
    """`--overwrite` replaces files only. A named pipe stands for `/dev/null` here."""
    os.mkfifo(tmp_path / "null")
    target = DownloadTarget(place=str(tmp_path / "null"), overwrite=True)

    with pytest.raises(ConfigurationError, match="null is not a file; nothing was submitted"):
        target.check()


@pytest.mark.parametrize("exists", [False, True])
def test_a_read_only_disk_is_found_before_anything_is_paid_for(
    exists: bool, tmp_path: Path
) -> None:
    """Nobody may write there, not even root."""
    with small_disk(tmp_path / "disk", kilobytes=600) as disk:
        run("mount", "-o", "remount,ro", str(disk))
        folder = disk if exists else disk / "new"

        for place in (f"{folder}/", f"{folder}/cat.mp4"):
            with pytest.raises(ConfigurationError, match="disk is not writable; nothing was"):
                DownloadTarget(place=place).check()


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
