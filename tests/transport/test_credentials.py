"""Settings come in the types that settings libraries hand out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout
from pydantic import AnyHttpUrl, AnyUrl, HttpUrl, PostgresDsn, SecretBytes, SecretStr
from sqlalchemy.engine import make_url
from yarl import URL

from luma_async import ConfigurationError, GenerateRequest, LumaClient
from luma_async.media import image_from
from luma_async.simulator import Simulator
from luma_async.text_values import unwrapped
from luma_async.transport.credentials import checked_api_key, checked_base_url
from tests.clients import KEY

PLACE = "https://api.example/v1"


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"{KEY}\n",
        KEY.encode(),
        bytearray(KEY.encode()),
        SecretStr(KEY),
        SecretBytes(KEY.encode()),
    ],
    ids=lambda key: type(key).__name__,
)
async def test_a_key_is_sent_whatever_keeps_it(key: Any) -> None:
    """As `SecretStr`, as bytes, as a text with a line end: the gateway gets the key itself."""
    async with Simulator(api_key=KEY) as sim, LumaClient(key, base_url=sim.url) as luma:
        assert (await luma.generate("a cat")).id


@pytest.mark.parametrize(
    "key", [7, ["sk-a"], {"key": "sk-a"}, object()], ids=["int", "list", "dict", "object"]
)
def test_an_api_key_of_a_wrong_type_is_rejected(key: Any) -> None:
    """The text says what is allowed, and shows nothing of what was given."""
    with pytest.raises(ConfigurationError, match=rf"api_key must be .*got {type(key).__name__}"):
        LumaClient(key, base_url=PLACE)


@pytest.mark.parametrize("key", [b"sk-\xff-key", SecretBytes(b"\xff\xfe"), "sk-\N{SNOWMAN}"])
def test_a_key_that_no_header_carries_is_refused(key: Any) -> None:
    """Bytes that are no text, and characters beyond ASCII."""
    with pytest.raises(ConfigurationError, match="characters that an API key cannot have"):
        checked_api_key(key)


@pytest.mark.parametrize(
    "url",
    [
        PLACE,
        f"{PLACE}/ ",
        PLACE.encode(),
        URL(PLACE),
        HttpUrl(PLACE),
        AnyHttpUrl(PLACE),
        AnyUrl(PLACE),
        SecretStr(PLACE),
    ],
    ids=lambda url: type(url).__name__,
)
def test_a_base_url_is_read_in_any_type(url: Any) -> None:
    """Those of yarl and pydantic, which writes a slash after a bare host."""
    assert checked_base_url(url) == PLACE
    assert LumaClient(KEY, base_url=url).base_url == PLACE


def test_a_bare_host_has_no_slash() -> None:
    """Pydantic writes one, and calls would go to `//luma/generations`."""
    assert checked_base_url(HttpUrl("https://api.example")) == "https://api.example"


@pytest.mark.parametrize("url", [7, ["https://api.example"], Path("https://api.example")])
def test_what_is_no_url_is_refused_by_its_type(url: Any) -> None:
    """Instead of an `AttributeError` from within."""
    with pytest.raises(ConfigurationError, match=rf"base_url must be .*{type(url).__name__}"):
        LumaClient(KEY, base_url=url)


@pytest.mark.parametrize("name", ["timeout", "min_download_speed"])
def test_what_is_no_number_is_refused_by_name(name: str) -> None:
    """Such as the timeout of aiohttp, and not by a `TypeError` from within."""
    settings: dict[str, Any] = {name: ClientTimeout(5)}
    with pytest.raises(ConfigurationError, match=name):
        LumaClient(KEY, base_url=PLACE, **settings)


@pytest.mark.parametrize("name", ["timeout", "max_requests", "max_tries", "batch_size"])
def test_a_number_in_a_text_is_refused_by_name(name: str) -> None:
    """As environment variables have it."""
    settings: dict[str, Any] = {name: "30"}
    with pytest.raises(ConfigurationError, match=f"{name} must be a number, got '30'"):
        LumaClient(KEY, base_url=PLACE, **settings)


@pytest.mark.parametrize("url", [URL(PLACE), HttpUrl(PLACE), SecretStr(PLACE), PLACE])
async def test_a_request_takes_urls_in_any_type(url: Any) -> None:
    """The images and the hook of a request."""
    request = GenerateRequest("a cat", image=url, image_end=url, notify_hook=url)

    assert (request.image, request.image_end, request.notify_hook) == (PLACE,) * 3
    assert await image_from(url) == PLACE


@pytest.mark.parametrize("kind", [str, Path, os.fsencode, lambda place: SecretStr(str(place))])
async def test_a_journal_is_named_in_any_type(kind: Any, tmp_path: Path) -> None:
    """A secret, too, for a database URL has a password."""
    place = tmp_path / "jobs.db"

    async with LumaClient(KEY, base_url=PLACE, journal=kind(place)):
        pass

    assert place.exists()


def test_a_password_is_kept_in_a_database_url() -> None:
    """The text of SQLAlchemy's URL would be `user:***@host`."""
    url = "postgresql://user:secret@host/name"

    assert unwrapped(make_url(url)) == unwrapped(PostgresDsn(url)) == unwrapped(URL(url)) == url


def test_what_is_no_journal_is_refused_by_its_type() -> None:
    """Before the first job meets it."""
    journal: Any = 7
    with pytest.raises(ConfigurationError, match=r"journal must be .*got int"):
        LumaClient(KEY, base_url=PLACE, journal=journal)
