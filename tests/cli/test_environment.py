"""The file `.env`, and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luma_async import ConfigurationError, GatewayDialect, LumaClient
from luma_async.cli.connection import Connection
from luma_async.cli.download_limits import DownloadLimits
from luma_async.settings import (
    ALLOW_PRIVATE_MEDIA,
    MAX_DOWNLOAD_BYTES,
    MIN_DOWNLOAD_SPEED,
    Settings,
    parse,
)
from tests.cli.commands import Shell


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


@pytest.mark.parametrize(
    "line",
    [
        "LUMA_API_KEY: sk-1",
        "LUMA_API_KEY sk-1",
        "  export LUMA_API_KEY\tsk-1",
        "LUMA_API_KEY:=sk-1",
        'LUMA_API_KEY"=sk-1"',
    ],
)
def test_a_setting_without_an_equals_sign_is_told_with_the_form(line: str) -> None:
    """Otherwise a lost base URL would send the API key to another server."""
    found, problem = parse(f"LUMA_JOURNAL=jobs.db\n{line}\n")

    assert found == {"LUMA_JOURNAL": "jobs.db"}
    assert problem == "line 2 of .env must have the form LUMA_API_KEY=value"


@pytest.mark.parametrize(
    "line",
    [
        "# LUMA_API_KEY: sk-1",
        "LUMA_API_KEY_OF_OTHERS: sk-1",
        "MY_LUMA_API_KEY: sk-1",
        "export LUMA_API_KEY",
        "LUMA_API_KEY  # in the environment",
        "the LUMA_API_KEY is in the vault",
    ],
)
def test_other_lines_are_ignored(line: str) -> None:
    """They belong to other programs, or set nothing in a shell either."""
    assert parse(line) == ({}, None)


def test_a_lost_base_url_sends_the_api_key_nowhere(tmp_path: Path) -> None:
    """A command stops at a line of `.env` that cannot be read, before it chooses a server."""
    (tmp_path / ".env").write_text("LUMA_API_KEY=sk-1\nLUMA_BASE_URL: http://127.0.0.1:9\n")

    done = Shell(tmp_path).run("get", "some-id")

    assert done.returncode == 2
    assert "line 2 of .env must have the form LUMA_BASE_URL=value" in done.stderr


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty value in the environment does not count."""
    (tmp_path / ".env").write_text(
        "LUMA_API_KEY=sk-file\nLUMA_BASE_URL=https://file\nLUMA_JOURNAL=file.db\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMA_API_KEY", "sk-environment")
    monkeypatch.setenv("LUMA_BASE_URL", " ")
    monkeypatch.delenv("LUMA_JOURNAL", raising=False)

    settings = Settings.load()

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

    assert Settings.load().get("LUMA_API_KEY") == "sk-1"


def test_a_folder_of_that_name_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some keep a virtual environment in it."""
    (tmp_path / ".env").mkdir()
    monkeypatch.chdir(tmp_path)

    assert Settings.load().problem is None


@pytest.mark.parametrize(
    ("options", "environment", "codes"),
    [
        ((), None, {"no_channel", "1001", "quota"}),
        ((), "busy  full", {"busy", "full"}),
        (("busy", " no channel "), "full", {"busy", "no channel"}),
        ((), " , ", set()),
    ],
    ids=["a file", "the environment", "options", "nothing"],
)
def test_rejection_codes_come_from_where_other_settings_do(
    options: tuple[str, ...],
    environment: str | None,
    codes: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Options, else the environment, else `.env`; with commas or blanks between them."""
    (tmp_path / ".env").write_text(
        "LUMA_API_KEY=sk-1\nLUMA_REJECTION_CODES=no_channel, 1001\tquota\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUMA_REJECTION_CODES", raising=False)
    if environment is not None:
        monkeypatch.setenv("LUMA_REJECTION_CODES", environment)

    client = Connection("https://a.example", rejection_codes=options).client()

    dialect = client._dialect
    assert isinstance(dialect, GatewayDialect)
    assert dialect._rejection_codes == codes


def test_rejection_codes_go_with_commands_that_submit() -> None:
    """Those of the options, as a base URL does; others do not know the option."""
    connection = Connection("https://a.example", rejection_codes=("no channel", "busy"))

    assert connection.command_that_submits("batch", "rows.csv") == (
        "luma-async batch rows.csv --base-url=https://a.example "
        "'--rejection-code=no channel' --rejection-code=busy"
    )
    assert "--rejection-code" not in connection.command("watch", "some-id")


@pytest.mark.parametrize("command", ["generate", "extend", "batch"])
def test_commands_that_submit_take_rejection_codes(command: str, tmp_path: Path) -> None:
    """And say where else they come from."""
    done = Shell(tmp_path).run(command, "--help")

    text = " ".join(done.stdout.replace("│", " ").split())
    assert "--rejection-code" in text
    assert "Error code that this server returns only if it rejected the job." in text
    assert "LUMA_REJECTION_CODES" in text


@pytest.mark.parametrize(
    ("options", "settings", "arguments"),
    [
        ({}, {}, {}),
        (
            {},
            {MAX_DOWNLOAD_BYTES: "5000", MIN_DOWNLOAD_SPEED: "0", ALLOW_PRIVATE_MEDIA: "Yes"},
            {"max_download_bytes": 5000, "min_download_speed": 0.0, "allow_private_media": True},
        ),
        (
            {"max_bytes": 0, "min_speed": 10.0, "allow_private": True},
            {MAX_DOWNLOAD_BYTES: "5000", MIN_DOWNLOAD_SPEED: "x", ALLOW_PRIVATE_MEDIA: "no"},
            {"max_download_bytes": None, "min_download_speed": 10.0, "allow_private_media": True},
        ),
    ],
    ids=["nothing", "settings", "options"],
)
def test_bounds_of_downloads_come_from_where_other_settings_do(
    options: dict[str, Any], settings: dict[str, str], arguments: dict[str, Any]
) -> None:
    """Options take priority over the environment and `.env`; 0 means no limit."""
    limits = DownloadLimits(**options)

    assert limits.arguments(Settings(settings)) == arguments
    LumaClient("k", base_url="http://h", **arguments)


@pytest.mark.parametrize("name", [MAX_DOWNLOAD_BYTES, MIN_DOWNLOAD_SPEED, ALLOW_PRIVATE_MEDIA])
def test_a_bound_that_is_none_is_said(name: str) -> None:
    """By the name of the setting."""
    with pytest.raises(ConfigurationError, match=f"{name} must be .*'plenty'"):
        DownloadLimits().arguments(Settings({name: "plenty"}))


def test_bounds_of_downloads_go_with_commands_that_download() -> None:
    """The printed commands have the limits, too."""
    limits = DownloadLimits(max_bytes=5, min_speed=1.5, allow_private=True)
    connection = Connection("https://a.example", downloads=limits)

    assert connection.command_that_downloads("download", "j") == (
        "luma-async download j --max-download-bytes=5 --min-download-speed=1.5 "
        "--allow-private-media --base-url=https://a.example"
    )
