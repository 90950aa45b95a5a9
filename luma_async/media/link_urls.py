"""Link URLs: parse links as browsers do, without changing their signatures. Pure: no I/O."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from yarl import URL

_BLANKS_AROUND = "".join(map(chr, range(0x21)))
_BLANKS_WITHIN = re.compile(r"[\t\r\n]")
_NOT_IN_URLS = re.compile(r"[^\x21-\x7e]+")


def link_url(text: str, base: URL) -> URL | None:
    r"""Return the URL of a link on the page at `base`, `None` if it is not a valid http(s) URL.

    Blanks around a link and line breaks within it are dropped, other blanks and characters beyond
    ASCII are quoted (https://url.spec.whatwg.org/#concept-basic-url-parser). Everything else stays
    unchanged, because normalised quoting may break a signature.

    >>> link_url(" //cdn/a cat.mp4?sig=a%2Bb\n", URL("https://host/luma/generations/j"))
    URL('https://cdn/a%20cat.mp4?sig=a%2Bb')
    """
    text = _BLANKS_WITHIN.sub("", text.strip(_BLANKS_AROUND))
    try:
        parts = urlsplit(text)
        if text and not parts.scheme:
            parts = urlsplit(urljoin(str(base), text))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            return None
        if " " in parts.netloc:
            return None
        origin = URL(f"{parts.scheme}://{parts.netloc}")
        if not origin.raw_host or origin.port is None:
            return None
        query = f"?{_quoted(parts.query)}" if parts.query else ""
        rest = f"{_quoted(parts.path) or '/'}{query}"
        return URL(f"{str(origin).rstrip('/')}{rest}", encoded=True)
    except ValueError:  # an invalid port or host
        return None


def _quoted(text: str) -> str:
    return _NOT_IN_URLS.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    data = found[0].encode("utf-8", "surrogateescape")  # aiohttp decodes headers so
    return "".join(f"%{byte:02X}" for byte in data)
