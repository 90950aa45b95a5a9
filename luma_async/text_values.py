"""Text values: unwrapped from other types, checked as URLs, and shortened for messages."""

from __future__ import annotations

import re
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AnyUrl, SecretBytes, SecretStr
from yarl import URL

SecretLike: TypeAlias = str | bytes | SecretStr | SecretBytes
"""Secret, as a plain text or in a type of pydantic."""

URLLike: TypeAlias = str | bytes | URL | AnyUrl | SecretStr
"""URL, as a text or in a type of yarl or pydantic (such as `HttpUrl`)."""

_MAX_SHOWN = 80
"""Maximum characters of a link or of another value in a message."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def unwrapped(value: Any) -> Any:
    """Return the text of a secret or of a URL. Other values are returned unchanged.

    Most types are recognised by their methods, because the URL types of pydantic have no common
    public base. The password of an SQLAlchemy URL is kept.
    """
    if callable(getattr(value, "get_secret_value", None)):
        return unwrapped(value.get_secret_value())
    if callable(getattr(value, "render_as_string", None)):
        return value.render_as_string(hide_password=False)
    is_url = isinstance(value, URL) or callable(getattr(value, "unicode_string", None))
    return str(value) if is_url else value


def unwrapped_text(value: Any) -> str | None:
    """Return the text of a value, also if it is bytes; `None` for other types."""
    found = unwrapped(value)
    if isinstance(found, bytes | bytearray):
        return found.decode("utf-8", "replace")
    return found if isinstance(found, str) else None


def is_web_url(text: str) -> bool:
    """Return `True` if a text is a valid URL of the form `http(s)://host/...`.

    >>> is_web_url("https://host/cat.png"), is_web_url("cat.png"), is_web_url("file:///cat.png")
    (True, False, False)
    """
    try:
        text.encode()  # raises UnicodeEncodeError for a lone surrogate
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(well_formed) and not any(map(str.isspace, text))


def shown_link(text: str) -> str:
    """Return a link for messages, without secrets: user, query and fragment are removed.

    >>> shown_link("ftp://user:password@host/cat.mp4?signature=secret")
    'ftp://host/cat.mp4'
    """
    plain = re.split(r"[?#]", text.strip(), maxsplit=1)[0]
    plain = re.sub(r"//[^/]*@", "//", plain)
    return plain if len(plain) <= _MAX_SHOWN else f"{plain[:_MAX_SHOWN]}..."


def shown_value(value: object) -> str:
    """Return a value for messages, shortened: it may be an image of megabytes.

    >>> shown_value("cat"), shown_value(bytes(2**20))
    ("'cat'", '<1048576 bytes>')
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    # Only a part of a long text is quoted, because it may be a data URI.
    is_long = isinstance(value, str) and len(value) > _MAX_SHOWN
    shown = repr(value[:_MAX_SHOWN] if is_long and isinstance(value, str) else value)
    return f"{shown[:_MAX_SHOWN]}..." if is_long or len(shown) > _MAX_SHOWN else shown


def bounded(text: str, length: int) -> str:
    """Return a text of a server or a person with at most `length` characters.

    >>> bounded("a cat dances", 8)
    'a cat...'
    """
    return text if len(text) <= length else f"{text[: length - 3]}..."


def has_lone_surrogate(text: str) -> bool:
    r"""Return `True` if a text contains half a character, and so cannot be encoded.

    >>> has_lone_surrogate("\ud83d"), has_lone_surrogate("\N{CAT}")
    (True, False)
    """
    return not text.isascii() and _SURROGATE.search(text) is not None
