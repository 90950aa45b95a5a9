"""The choice of the dialect by a client: told in the log, from `.env`, and on the command line."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from luma_async import AgentsDialect, ConfigurationError, LumaClient
from luma_async.cli.connection import Connection
from luma_async.settings import NAMES, Settings
from luma_async.simulator import Fixed, Simulator
from tests.clients import KEY

AGENTS_KEY = "luma-api-0000000000000000"


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about the dialect."""
    return [text for text in caplog.messages if text.startswith("Using the ")]


async def test_the_dialect_is_told_once_when_the_client_is_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the server and the reason, and not when the client is created, before logging is."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim:
        luma = LumaClient(AGENTS_KEY, base_url=f"{sim.url}/v1")
        assert told(caplog) == []
        async with luma:
            await luma.open()
            await luma.generate("a cat dances")

    (line,) = told(caplog)
    assert line == (
        f"Using the agents dialect for {sim.url}, because API keys of Luma's Agents API begin with "
        "luma-api-. The argument `dialect` sets another."
    )


async def test_the_dialect_is_told_at_the_first_call_of_a_client_that_is_not_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Opening it is not required."""
    caplog.set_level(logging.INFO, "luma_async")
    async with Simulator(durations=Fixed(0.0), short_side=64) as sim:
        luma = LumaClient(KEY, base_url=sim.url)
        for number in range(2):
            await luma.generate(f"a cat, number {number}")
        await luma.aclose()

    (line,) = told(caplog)
    assert line.startswith(f"Using the gateway dialect for {sim.url}, because neither its URL nor")


@pytest.mark.parametrize(
    "dialect", ["gateway", "agents", AgentsDialect()], ids=["gateway", "agents", "object"]
)
async def test_a_dialect_that_was_given_is_not_told(
    dialect: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller knows it."""
    caplog.set_level(logging.INFO, "luma_async")
    async with LumaClient(KEY, base_url="http://127.0.0.1:9", dialect=dialect):
        pass

    assert told(caplog) == []


@pytest.mark.parametrize(
    ("file", "server", "dialect"),
    [
        ("LUMA_AGENTS_API_KEY=k\n", "https://agents.lumalabs.ai", "agents"),
        ("LUMAAI_API_KEY=k\n", "https://api.lumalabs.ai", "dream-machine"),
        (
            "LUMA_AGENTS_API_KEY=k\nLUMA_BASE_URL=https://agents.lumalabs.ai/v1\n",
            "https://agents.lumalabs.ai",
            "agents",
        ),
        ("LUMA_API_KEY=k\nLUMA_DIALECT=agents\n", "https://agents.lumalabs.ai", "agents"),
        (
            "LUMA_API_KEY=k\nLUMA_DIALECT=agents\nLUMA_BASE_URL=https://proxy/luma/v1\n",
            "https://proxy/luma",
            "agents",
        ),
        (f"LUMA_API_KEY={AGENTS_KEY}\n", "https://agents.lumalabs.ai", "agents"),
        ("LUMA_API_KEY=k\nLUMA_REJECTION_CODES=busy\n", "https://api.gpt.ge", "gateway"),
    ],
)
def test_a_file_chooses_the_same_for_programs_and_the_command_line(
    file: str,
    server: str,
    dialect: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`from_env()` and every command read `.env`; an argument or option takes precedence."""
    _only_file(file, tmp_path, monkeypatch)

    for luma in (LumaClient.from_env(), Connection().client()):
        assert (luma.base_url, luma._dialect.name) == (server, dialect)
    other = LumaClient.from_env(api_key="k", dialect="dream-machine", base_url="https://gw")
    assert other._dialect.name == "dream-machine"
    assert Connection(base_url="https://gw", dialect="agents").server == "https://gw"


def test_the_command_line_keeps_official_api_keys_from_other_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As programs do; the commands that it prints name the dialect that was given."""
    _only_file("LUMA_AGENTS_API_KEY=secret-of-luma\n", tmp_path, monkeypatch)
    connection = Connection(base_url="http://127.0.0.1:9", dialect="agents")

    def from_env() -> LumaClient:
        return LumaClient.from_env(base_url="http://127.0.0.1:9", dialect="agents")

    for make in (connection.client, from_env):
        with pytest.raises(ConfigurationError, match="LUMA_AGENTS_API_KEY is set") as caught:
            make()
        assert "127.0.0.1:9" in str(caught.value)
        assert "secret-of-luma" not in str(caught.value)
    assert "--dialect=agents" in connection.command("get", "job-1")


def test_settings_hide_their_values() -> None:
    """Services for error reports collect local variables."""
    assert "secret" not in repr(Settings({"LUMA_AGENTS_API_KEY": "secret"}))


def _only_file(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `.env` of a folder as the only place with settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    (folder / ".env").write_text(text)
