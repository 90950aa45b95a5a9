"""The environment's proxies are used where it is trusted, for the gateway and for files."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from yarl import URL

from luma_async import LumaClient
from luma_async.cli.connection import Connection
from luma_async.settings import API_KEY, Settings
from luma_async.transport.proxies import _warn_unusable, environment_proxy
from tests.clients import KEY
from tests.media.hosts import MP4
from tests.transport.proxies import running_proxy


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    _warn_unusable.cache_clear()


async def test_calls_and_downloads_take_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its login. `.netrc` is not read: a login in there cannot stand beside the API key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with running_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:secret@"))
        async with LumaClient(KEY, base_url="http://api.test", trust_env=True) as luma:
            path = await luma.download("j", tmp_path / "v.mp4", watermark_free=False)

    assert path.read_bytes() == MP4
    assert proxy.asked == ["http://api.test/luma/generations/j", "http://cdn.test/v.mp4?sig=1"]
    assert proxy.logins == ["Basic bWU6c2VjcmV0"] * 2
    assert [each.get("Authorization") for each in proxy.headers] == [f"Bearer {KEY}", None]


async def test_the_command_line_trusts_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As other programs of a terminal do."""
    async with running_proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        connection = Connection("http://api.test", settings=Settings({API_KEY: KEY}))
        async with connection.client() as luma:
            await luma.download("j", tmp_path / "v.mp4", watermark_free=False)

    assert [URL(each).host for each in proxy.asked] == ["api.test", "cdn.test"]


def test_without_trust_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library does not change its ways because of a variable, unless it is told to."""
    monkeypatch.setattr("luma_async.media.requester.environment_proxy", pytest.fail)
    luma = LumaClient(KEY, base_url="http://api.test")

    assert not luma._downloader._requester._trust_env
    assert not luma._transport.sessions._trust_env


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.test", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://api.test", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://api.test", None),
        ({"ALL_PROXY": "http://p:1"}, "http://api.test", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "api.test"}, "http://api.test", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "api.test:8443"}, "https://api.test:8443", None),
        (
            {"ALL_PROXY": "http://p:1", "NO_PROXY": "api.test:8443"},
            "https://api.test",
            "http://p:1",
        ),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://api.test", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "api.test:80"}, "http://api.test", None),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "api.test:81"}, "http://api.test", "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "2001:db8::5"}, "http://[2001:db8::5]", None),
        ({"ALL_PROXY": "http://p:1"}, "http://localhost:8765", None),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.1:8765", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:8765", None),
        ({"ALL_PROXY": "http://p:1"}, "http://192.168.0.1", "http://p:1"),
        ({"HTTPS_PROXY": "  "}, "https://api.test", None),
        ({}, "https://api.test", None),
    ],
)
def test_the_proxy_of_a_url_is_the_environments(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its scheme, else for all; never for this machine, where the simulator is."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert environment_proxy(URL(url)) == (proxy and URL(proxy))


@pytest.mark.parametrize("said", ["socks5://me:secret@p:1", "http://", "http://p:port"])
def test_a_proxy_of_another_kind_is_named_and_not_used(
    said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once, however many files are asked for, and without the login."""
    monkeypatch.setenv("HTTPS_PROXY", said)
    with caplog.at_level(logging.WARNING, logger="luma_async"):
        for _ in range(3):
            assert environment_proxy(URL("https://api.test")) is None

    [line] = caplog.messages
    assert "is not an HTTP proxy" in line
    assert "secret" not in line
