"""What is a URL of the web."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_web_url(text: str) -> bool:
    """Whether a text is `http(s)://host/...`, with nothing in it that no URL has.

    >>> is_web_url("https://host/cat.png"), is_web_url("cat.png"), is_web_url("file:///cat.png")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(well_formed) and not any(map(str.isspace, text))
