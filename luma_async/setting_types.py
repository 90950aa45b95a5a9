"""Unwrapping: the texts in the types that settings libraries hand out."""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic import AnyUrl, SecretBytes, SecretStr
from yarl import URL

SecretLike: TypeAlias = str | bytes | SecretStr | SecretBytes
"""A secret, plain or as pydantic hides it."""

URLLike: TypeAlias = str | bytes | URL | AnyUrl | SecretStr
"""A URL as a text, or as yarl and pydantic (`HttpUrl` and the like) have it."""


def unwrapped(value: Any) -> Any:
    """Return the content of a secret and the text of a URL, and anything else as it is.

    Most types are told by their methods: pydantic's URLs have no public base in common, and the
    text of SQLAlchemy's URL would hide the password.
    """
    if callable(getattr(value, "get_secret_value", None)):
        return unwrapped(value.get_secret_value())
    if callable(getattr(value, "render_as_string", None)):
        return value.render_as_string(hide_password=False)
    is_url = isinstance(value, URL) or callable(getattr(value, "unicode_string", None))
    return str(value) if is_url else value


def unwrapped_text(value: Any) -> str | None:
    """Return the text in a value, which may be in bytes; `None` if there is none."""
    found = unwrapped(value)
    if isinstance(found, bytes | bytearray):
        return found.decode("utf-8", "replace")
    return found if isinstance(found, str) else None
