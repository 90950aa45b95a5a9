"""URLs of the web: what is one, and how much of it may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LONGEST_SHOWN = 80


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
