"""Parser for PostgreSQL URLs as in libpq: `postgresql://user:password@host:5432/name?...`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from luma_async.errors import ConfigurationError

PARAMETERS: Mapping[str, str | None] = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "fallback_application_name": None,
    "gssdelegation": "PGGSSDELEGATION",
    "gssencmode": "PGGSSENCMODE",
    "gsslib": "PGGSSLIB",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "keepalives": None,
    "keepalives_count": None,
    "keepalives_idle": None,
    "keepalives_interval": None,
    "krbsrvname": "PGKRBSRVNAME",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "password": "PGPASSWORD",
    "port": "PGPORT",
    "replication": None,
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "requiressl": "PGREQUIRESSL",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslpassword": None,
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "tcp_user_timeout": None,
    "user": "PGUSER",
}
"""The parameters of libpq 18, each with the environment variable that sets it."""

SECRETS = ("password", "sslpassword")

_HOST = re.compile(r"/.*|[\w.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?")
_PORT = re.compile(r"[0-9]{1,5}")
_NETWORK_PLACE = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_NAME = re.compile(r"[a-z_]{1,40}")

_UNREADABLE = (
    "The journal's URL cannot be read. It must look like postgresql://user:password@host:5432/name;"
    " within user and password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as"
    " %25 (percent-encoding; urllib.parse.quote(password, safe='') does it)."
)


def parse(url: str) -> dict[str, str]:
    """Return the parameters in a URL, without those that are empty.

    If a URL cannot be parsed, the error shows no part of it, because a password may be anywhere in
    it.

    Raises:
        ConfigurationError: the URL cannot be parsed, or has a parameter that libpq does not know.

    """
    authority, database, query = _split(url)
    login, _, network = authority.rpartition("@")
    user, _, password = login.partition(":")
    hosts, ports = _hosts(network)
    found = {
        "user": _decoded(user),
        "password": _decoded(password),
        "host": ",".join(hosts),
        "port": ",".join(ports) if any(ports) else "",
        "dbname": _decoded(database),
    }
    for piece in filter(None, query.split("&")):
        name, value = _parameter(piece, is_secret="@" in query)
        found[name] = value  # as in libpq, the last one counts
    check_hosts(found)
    return {name: value for name, value in found.items() if value}


def without_password(url: str) -> str:
    """Return a valid URL for display, with its secrets masked."""
    authority, database, query = _split(url)
    login, at, network = authority.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"postgresql://{user}{colon and ':***'}{at}{network}"
    shown += f"/{database}" if database else ""
    pieces = [
        f"{piece.partition('=')[0]}=***" if piece.partition("=")[0] in SECRETS else piece
        for piece in filter(None, query.split("&"))
    ]
    return f"{shown}?{'&'.join(pieces)}" if pieces else shown


def unreadable() -> ConfigurationError:
    """Return the error for a URL that cannot be parsed, without any part of the URL."""
    return ConfigurationError(_UNREADABLE)


def _split(url: str) -> tuple[str, str, str]:
    """Return the authority, the name of the database, and the query of a URL."""
    front, _, query = url.partition("://")[2].partition("?")
    authority, _, database = front.partition("/")
    if authority.count("@") > 1 or "@" in database:
        raise unreadable()  # a password with @ or / in it
    return authority, database, query


def _hosts(network: str) -> tuple[list[str], list[str]]:
    hosts, ports = [], []
    for place in network.split(","):
        found = _NETWORK_PLACE.fullmatch(place)
        if found is None:
            raise unreadable()
        hosts.append(_decoded(found["host"].strip("[]")))
        ports.append(_decoded(found["port"] or ""))
    return hosts, ports


def _parameter(piece: str, *, is_secret: bool) -> tuple[str, str]:
    name, equals, value = piece.partition("=")
    if name == "ssl":  # the form of JDBC and asyncpg
        return "sslmode", "require" if value == "true" else _decoded(value)
    if name in PARAMETERS:
        if not equals:
            raise unreadable()
        return name, _decoded(value)
    if is_secret or not _NAME.fullmatch(name):
        raise unreadable()  # this may be part of a password with ? in it
    raise ConfigurationError(
        f"The journal's URL has a parameter that PostgreSQL does not know: {name}. Leave it out, "
        "or configure it on the server; settings of a session are options=-c%20name%3Dvalue."
    )


def check_hosts(found: Mapping[str, str]) -> None:
    """Check the hosts and ports, and that there are as many ports as hosts, or one port, or none.

    Raises:
        ConfigurationError: a host or port is not valid, or their numbers differ.

    """
    hosts, ports = found.get("host", "").split(","), found.get("port", "").split(",")
    if not all(not host or _HOST.fullmatch(host) for host in hosts):
        raise unreadable()
    if not all(not port or (_PORT.fullmatch(port) and 0 < int(port) < 2**16) for port in ports):
        raise unreadable()
    if len(ports) not in (1, len(hosts)):
        raise ConfigurationError(
            f"The journal's URL has {len(hosts)} hosts and {len(ports)} ports. Give one port for "
            "all hosts, or one for each."
        )


def _decoded(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise unreadable()
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise unreadable() from None
