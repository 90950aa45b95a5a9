"""Known APIs: the hosts, paths and API keys of the APIs that the dialects are made for. Pure.

The dialects say how to talk to an API. The facts here tell the APIs apart, to choose a dialect and
to explain a mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from luma_async.settings import AGENTS_API_KEY, DREAM_MACHINE_API_KEY

DialectName = Literal["agents", "dream-machine", "gateway"]
"""Name of a dialect that comes with the package."""


@dataclass(frozen=True, slots=True)
class KnownAPI:
    """API that a dialect is made for.

    Attributes:
        name: the name of its dialect.
        title: its name in messages.
        host: the host where it is offered; for gateways, that of the default one.
        path: the path with which a base URL of it may end.
        calls: the paths of its calls, with which a base URL must not end.
        keys: the form of its API keys, if it has one of its own.
        key_form: that form in words, after "API keys".
        key_variable: the environment variable from which its official client takes the API key.

    """

    name: DialectName
    title: str
    host: str
    path: str
    calls: re.Pattern[str]
    keys: re.Pattern[str] | None
    key_form: str
    key_variable: str | None


AGENTS = KnownAPI(
    name="agents",
    title="Luma's Agents API",
    host="agents.lumalabs.ai",
    path="/v1",
    calls=re.compile(r"/v1/(generations|files)(/.*)?"),
    keys=re.compile(r"luma-api-.+"),
    key_form="begin with luma-api-",
    key_variable=AGENTS_API_KEY,
)

DREAM_MACHINE = KnownAPI(
    name="dream-machine",
    title="Luma's Dream Machine API",
    host="api.lumalabs.ai",
    path="/dream-machine/v1",
    calls=re.compile(r"/dream-machine/v1/(generations|credits|ping)(/.*)?"),
    keys=re.compile(r"luma-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-.+", re.IGNORECASE),
    key_form="begin with luma- and a UUID",
    key_variable=DREAM_MACHINE_API_KEY,
)

GATEWAY = KnownAPI(
    name="gateway",
    title="the API of gateways",
    host="api.gpt.ge",
    path="",
    calls=re.compile(r"/luma/(generations|tasks|subscription|users)(/.*)?"),
    keys=None,
    key_form="have any form",
    key_variable=None,
)

KNOWN_APIS = (AGENTS, DREAM_MACHINE, GATEWAY)
LUMA_APIS = (AGENTS, DREAM_MACHINE)
"""The APIs of Luma's own hosts."""

NAMES: tuple[DialectName, ...] = tuple(api.name for api in KNOWN_APIS)


def api_of_dialect(name: str) -> KnownAPI | None:
    """Return the API of a dialect; `None` for a dialect that is not of this package."""
    return next((api for api in KNOWN_APIS if api.name == name), None)


def api_at(host: str | None) -> KnownAPI | None:
    """Return the API of Luma that has a host of its own; `None` for any other host."""
    return next((api for api in LUMA_APIS if api.host == host), None)


def api_with_url(url: str) -> KnownAPI:
    """Return the API whose calls begin with a URL: a base URL with the path of the dialect.

    >>> api_with_url("https://gateway.example/dream-machine/v1").name
    'dream-machine'
    >>> api_with_url("https://gateway.example").name
    'gateway'
    """
    parts = urlsplit(url)
    found = next((api for api in (DREAM_MACHINE, AGENTS) if parts.path.endswith(api.path)), GATEWAY)
    return api_at(parts.hostname) or found


def api_of_key(api_key: str) -> KnownAPI | None:
    """Return the API that an API key belongs to by its form; `None` if the form says nothing.

    >>> api_of_key("luma-api-1234").name
    'agents'
    >>> api_of_key("sk-1234") is None
    True
    """
    for api in LUMA_APIS:
        if api.keys is not None and api.keys.fullmatch(api_key.strip()):
            return api
    return None
