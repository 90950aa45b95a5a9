"""Proxies of the environment: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.

aiohttp's own `trust_env` reads `.netrc` as well, for each request and from the disk, and refuses a
request that has a login in there beside its API key. So the proxy is looked up here, and aiohttp
is told of it.
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

    Nothing on this machine is reached through a proxy, as in browsers.
    """
    host = url.host or ""
    proxies = getproxies()
    said = (proxies.get(url.scheme) or proxies.get("all") or "").strip()
    if not said or _is_this_machine(host) or proxy_bypass(f"{host}:{url.port}"):
        return None
    try:
        proxy = URL(said if "://" in said else f"http://{said}")
        is_usable = proxy.scheme in ("http", "https") and proxy.host is not None
    except ValueError:
        is_usable = False
    if not is_usable:
        _say_not_used(url.scheme, said)
        return None
    return proxy


@lru_cache(maxsize=16)
def _say_not_used(scheme: str, _said: str) -> None:
    """Say it once of a proxy, for every file may be asked for through it."""
    logger.warning(
        "The proxy of the environment for %s:// URLs is not an HTTP proxy. It is not used; "
        "a session of your own can use it.",
        scheme,
    )


def _is_this_machine(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
