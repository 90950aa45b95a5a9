"""Text values: unwrapped from other types, and checked as URLs and for lone surrogates."""

from __future__ import annotations

import re
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AnyUrl, SecretBytes, SecretStr
from yarl import URL

SecretLike: TypeAlias = str | bytes | SecretStr | SecretBytes
"""A secret, plain or as pydantic hides it."""

URLLike: TypeAlias = str | bytes | URL | AnyUrl | SecretStr
"""A URL as a text, or as yarl and pydantic (`HttpUrl` and the like) have it."""

_LONGEST_SHOWN = 80
_HALF = re.compile("[\ud800-\udfff]")


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


def is_web_url(text: str) -> bool:
    """Whether a text is `http(s)://host/...`, with nothing in it that no URL has.

    >>> is_web_url("https://host/cat.png"), is_web_url("cat.png"), is_web_url("file:///cat.png")
    (True, False, False)
    """
    try:
        text.encode()  # half a character has no place in a URL
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(well_formed) and not any(map(str.isspace, text))


def shown_link(text: str) -> str:
    """Return a link for messages, without its query, as what it is signed with is a secret.

    >>> shown_link("ftp://user:password@host/cat.mp4?signature=secret")
    'ftp://host/cat.mp4'
    """
    plain = re.split(r"[?#]", text.strip(), maxsplit=1)[0]
    plain = re.sub(r"//[^/]*@", "//", plain)
    return plain if len(plain) <= _LONGEST_SHOWN else f"{plain[:_LONGEST_SHOWN]}..."


def has_lone_surrogate(text: str) -> bool:
    r"""Return whether a text cannot be encoded.

    >>> has_lone_surrogate("\ud83d"), has_lone_surrogate("\N{CAT}")
    (True, False)
    """
    return not text.isascii() and _HALF.search(text) is not None
