"""Proxies of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.

The `trust_env` of aiohttp also reads `.netrc` from the disk for each request, and raises an error
if it finds a login for a request that has an API key. So the proxy is determined here, and passed
to aiohttp.
"""

from __future__ import annotations

import ipaddress
import logging
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

from yarl import URL

logger = logging.getLogger("luma_async")


def environment_proxy(url: URL) -> URL | None:
    """Return the environment's proxy for a URL, `None` for a direct connection.

    As in browsers, connections to this machine are always direct.
    """
    host = url.host or ""
    proxies = getproxies()
    value = (proxies.get(url.scheme) or proxies.get("all") or "").strip()
    if not value or is_this_machine(host) or proxy_bypass(f"{host}:{url.port}"):
        return None
    try:
        proxy = URL(value if "://" in value else f"http://{value}")
        is_usable = proxy.scheme in ("http", "https") and proxy.host is not None
    except ValueError:
        is_usable = False
    if not is_usable:
        _warn_unusable(url.scheme, value)
        return None
    return proxy


@lru_cache(maxsize=16)
def _warn_unusable(scheme: str, _value: str) -> None:
    """Log a warning once for each proxy. Without the cache, each download would repeat it."""
    logger.warning(
        "The proxy of the environment for %s:// URLs is not an HTTP proxy. It is not used; "
        "a session of your own can use it.",
        scheme,
    )


def is_this_machine(host: str) -> bool:
    """Return `True` for `localhost` and the loopback addresses."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
