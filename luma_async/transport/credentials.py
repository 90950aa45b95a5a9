"""What a user sets, checked before anything is sent."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from luma_async.errors import ConfigurationError
from luma_async.text_values import SecretLike, URLLike, is_web_url, unwrapped_text


class Secret(str):
    """Text that a traceback with local variables does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    @classmethod
    def of(cls, value: SecretLike) -> Self:
        """Return the text of a secret.

        Raises:
            ConfigurationError: it is none.

        """
        text = unwrapped_text(value)
        if text is None:
            raise ConfigurationError(
                "api_key must be a text, bytes, SecretStr or SecretBytes, "
                f"not {type(value).__name__}."
            )
        return cls(text)


def checked_key(api_key: SecretLike) -> Secret:
    """Return the key without the line end that files and pastes leave on it.

    Raises:
        ConfigurationError: it is empty, or no header could carry it. The text does not show it.

    """
    key = Secret(Secret.of(api_key).strip())
    if not key:
        raise ConfigurationError("The API key is empty. Set LUMA_API_KEY, or pass api_key.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "The API key holds characters that no key has. Was something else pasted into it?"
        )
    return key


def checked_base_url(base_url: URLLike) -> str:
    """Return the URL that calls are appended to, without a slash at its end.

    Raises:
        ConfigurationError: it is no http(s) URL of a host, or holds more than host and prefix.

    """
    text = unwrapped_text(base_url)
    if text is None:
        raise ConfigurationError(
            f"base_url must be a text, or a URL of yarl or pydantic, not {type(base_url).__name__}."
        )
    url = text.strip()
    parts = urlsplit(url) if is_web_url(url) else None
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            "base_url is not usable. It looks like https://host or https://host/prefix, "
            "without a user, a query or a fragment."
        )
    return url.rstrip("/")
