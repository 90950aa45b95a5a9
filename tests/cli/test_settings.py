"""The file `.env`, and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from luma_async.cli.settings import Settings, parse


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("LUMA_API_KEY=sk-1", "sk-1"),
        ("  export  LUMA_API_KEY = sk-1  ", "sk-1"),
        ("LUMA_API_KEY='sk-1'", "sk-1"),
        ('LUMA_API_KEY="sk-1"  # of the team', "sk-1"),
        ("LUMA_API_KEY=sk-1 # of the team", "sk-1"),
        ("LUMA_API_KEY=sk#1", "sk#1"),
        ("LUMA_API_KEY='sk #1'", "sk #1"),
        (r'LUMA_API_KEY="s\"k\\1"', r's"k\1'),
        ("\ufeffLUMA_API_KEY=sk-1\r\n", "sk-1"),
        ("# LUMA_API_KEY=sk-0\n\nOTHER=x\nLUMA_API_KEY=sk-1", "sk-1"),
        ("LUMA_API_KEY=sk-0\nLUMA_API_KEY=sk-1", "sk-1"),
        ("LUMA_API_KEY=", None),
        ("LUMA_API_KEY=''", None),
        ("LUMA_API_KEY=# nothing", None),
        ("MY_LUMA_API_KEY=sk-1", None),
        ("LUMA_API_KEY", None),
    ],
)
def test_a_line_sets_what_a_shell_would(text: str, key: str | None) -> None:
    """`export`, quotes, comments, spaces and a BOM are as people write them."""
    found, problem = parse(text)

    assert (found.get("LUMA_API_KEY"), problem) == (key, None)


@pytest.mark.parametrize("value", ["'sk-1", '"sk-1', "'sk-1' sk-2"])
def test_a_line_that_cannot_be_read_is_told_without_its_content(value: str) -> None:
    """The number of the line will do."""
    found, problem = parse(f"\nLUMA_API_KEY={value}\n")

    assert found == {}
    assert problem is not None
    assert "line 2" in problem
    assert "sk-" not in problem


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it has an empty value, which is none."""
    (tmp_path / ".env").write_text(
        "LUMA_API_KEY=sk-file\nLUMA_BASE_URL=https://file\nLUMA_JOURNAL=file.db\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_API_KEY", "sk-environment")
    monkeypatch.setenv("LUMA_BASE_URL", " ")
    monkeypatch.delenv("LUMA_JOURNAL", raising=False)

    settings = Settings.here()

    assert settings.values == {
        "LUMA_API_KEY": "sk-environment",
        "LUMA_BASE_URL": "https://file",
        "LUMA_JOURNAL": "file.db",
    }


def test_a_file_of_windows_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PowerShell writes UTF-16."""
    (tmp_path / ".env").write_bytes("LUMA_API_KEY=sk-1\r\n".encode("utf-16"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUMA_API_KEY", raising=False)

    assert Settings.here().get("LUMA_API_KEY") == "sk-1"


def test_a_folder_of_that_name_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some keep a virtual environment in it."""
    (tmp_path / ".env").mkdir()
    monkeypatch.chdir(tmp_path)

    assert Settings.here().problem is None
