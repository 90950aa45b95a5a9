"""API key and base URL: checked before anything is sent."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from luma_async.errors import ConfigurationError
from luma_async.text_values import SecretLike, URLLike, is_web_url, shown_link, unwrapped_text


class Secret(str):
    """Text that hides itself in `repr()`, and so in tracebacks with local variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    @classmethod
    def of(cls, value: SecretLike) -> Self:
        """Return the text of a secret.

        Raises:
            ConfigurationError: the value is not a text, and contains none.

        """
        text = unwrapped_text(value)
        if text is None:
            raise ConfigurationError(
                "api_key must be a text, bytes, SecretStr or SecretBytes, "
                f"got {type(value).__name__}."
            )
        return cls(text)


def checked_api_key(api_key: SecretLike) -> Secret:
    """Return the API key without white space around it, such as the line end of a file.

    Raises:
        ConfigurationError: the API key is empty, or not valid in a header. The error does not
            contain it.

    """
    key = Secret(Secret.of(api_key).strip())
    if not key:
        raise ConfigurationError("The API key is empty. Set LUMA_API_KEY, or pass api_key.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(
            "The API key contains characters that an API key cannot have. "
            "Was something else pasted into it?"
        )
    return key


def checked_base_url(base_url: URLLike) -> str:
    """Return the base URL without a slash at its end, so that paths can be appended.

    Raises:
        ConfigurationError: the URL is not an http(s) URL, or has more than a host and a prefix.

    """
    text = unwrapped_text(base_url)
    if text is None:
        raise ConfigurationError(
            f"base_url must be a text, or a URL of yarl or pydantic, got {type(base_url).__name__}."
        )
    url = text.strip()
    parts = urlsplit(url) if is_web_url(url) else None
    if parts is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"base_url must look like https://host[/prefix], got {_redacted(url)!r}. "
            "It must not have a user, a query or a fragment."
        )
    return url.rstrip("/")


def _redacted(url: str) -> str:
    """Return a URL for an error message: without a user, a query, or an API key set by mistake."""
    without_user = re.sub(r"^[^/]*@", "***@", shown_link(url))
    return re.sub(r"[\w-]{24,}", "***", without_user)
