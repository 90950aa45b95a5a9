"""PostgreSQL database of a journal that several machines share, and its connections."""

from __future__ import annotations

import getpass
import os
import random
import re
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from luma_async.errors import ConfigurationError
from luma_async.journal.sql import postgres_url
from luma_async.journal.sql.postgres_service import service_parameters
from luma_async.journal.sql.postgres_url import SECRETS

ANSWER_TIMEOUT = 10.0
"""Seconds that a PostgreSQL server may take to answer."""

_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        *("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    ),
    "load_balance_hosts": ("disable", "random"),
    "gsslib": ("gssapi", "sspi"),
    "keepalives": ("0", "1"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
}
_NUMBERS = (
    *("connect_timeout", "tcp_user_timeout"),
    *("keepalives_idle", "keepalives_interval", "keepalives_count"),
)
_NUMBER = re.compile(r"-?[0-9]{1,9}")

_PARTLY_SUPPORTED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "channel_binding": (
        ("disable", "prefer"),
        (
            "the driver, asyncpg, does not support channel binding. Leave it out; "
            "sslmode=verify-full with sslrootcert=system, or with a file of the certificate "
            "authority, verifies the server as well"
        ),
    ),
    "gssencmode": (
        ("disable", "prefer"),
        (
            "the driver, asyncpg, does not support encryption by GSSAPI. Leave it out, and encrypt "
            "with sslmode"
        ),
    ),
    "gssdelegation": (("0",), "the driver, asyncpg, does not support delegation. Leave it out"),
    "sslcertmode": (("allow",), "leave it out; the certificate in sslcert is sent if there is one"),
    "sslcompression": (("0",), "the driver, asyncpg, does not support compression. Leave it out"),
    "sslsni": (("1",), "the driver, asyncpg, always sends the host name. Leave it out"),
    "requiressl": (("0",), "write sslmode=require"),
    "client_encoding": (("utf8", "utf-8", "auto"), "a journal uses UTF-8. Leave it out"),
    "replication": (("false", "off", "no", "0"), "a journal is not a replica. Leave it out"),
    "min_protocol_version": (("3.0",), "the driver, asyncpg, uses version 3.0. Leave it out"),
    "max_protocol_version": (
        ("3.0", "latest"),
        "the driver, asyncpg, uses version 3.0. Leave it out",
    ),
    "hostaddr": ((), "is not supported by asyncpg, the driver. Give the address as host"),
    "requirepeer": ((), "is not supported by asyncpg, the driver. Leave it out"),
    "require_auth": (
        (),
        (
            "is not supported by asyncpg, the driver. Leave it out; pg_hba.conf on the server "
            "decides how users log in"
        ),
    ),
    "sslcrldir": ((), "is not supported by asyncpg, the driver. Use one file, as sslcrl"),
}
"""Parameters that the driver supports with some values only, or not at all: these values, and
advice for the others."""

_CERTIFICATES = ("sslcert", "sslkey", "sslrootcert", "sslcrl")
_FILES = (*_CERTIFICATES, "passfile")
_SYSTEM = "system"

_SOCKET_OPTIONS = {
    "keepalives_idle": ("IPPROTO_TCP", "TCP_KEEPIDLE"),
    "keepalives_interval": ("IPPROTO_TCP", "TCP_KEEPINTVL"),
    "keepalives_count": ("IPPROTO_TCP", "TCP_KEEPCNT"),
    "tcp_user_timeout": ("IPPROTO_TCP", "TCP_USER_TIMEOUT"),
}


class PostgresDatabase:
    """Database at a URL, with the parameters, environment variables and service files of libpq.

    All of these are read once, when the object is created.

    Raises:
        ConfigurationError: the URL is not valid, or requires something that is not supported.

    """

    dialect: ClassVar[Literal["postgresql"]] = "postgresql"

    def __init__(self, url: str) -> None:
        settings = _settings(postgres_url.parse(url))
        secrets = {name: _Secret(settings[name]) for name in SECRETS if name in settings}
        self._settings = {**settings, **secrets}
        self.shown = postgres_url.without_password(url)
        _check(self._settings)
        for name in _FILES:
            if name in self._settings and self._settings[name] != _SYSTEM:
                self._settings[name] = _absolute_path(name, self._settings[name])
        self._is_encrypted = self._settings.get("sslmode") != "disable"
        self._arguments: dict[str, Any] = {}

    def prepare(self) -> None:
        """Read the files that are needed to connect.

        Raises:
            ConfigurationError: a file of certificates cannot be read.

        """
        self._arguments = self._driver_arguments()

    def mark_opened(self) -> None:
        """Do nothing: a server manages its databases itself."""

    def check(self) -> None:
        """Do nothing: a server manages its databases itself."""

    async def connect(self) -> Any:
        """Return a new connection of the driver to the first host that accepts one."""
        import asyncpg  # noqa: PLC0415  the extra may be missing

        wanted = self._settings.get("target_session_attrs", "any")
        passes = ("standby", "any") if wanted == "prefer-standby" else (wanted,)
        failure: Exception | None = None
        for attributes, (host, port) in product(passes, self._hosts()):
            try:
                connection = await asyncpg.connect(
                    host=host, port=port, target_session_attrs=attributes, **self._arguments
                )
            except (
                OSError,
                asyncpg.CannotConnectNowError,
                asyncpg.TargetServerAttributeNotMatched,
            ) as error:
                failure = error  # as in libpq, the next host is tried
            else:
                self._keep_alive(connection)
                return connection
        assert failure is not None  # noqa: S101  there is at least one host
        raise failure

    def _hosts(self) -> list[tuple[str | None, int | None]]:
        hosts = self._settings.get("host", "").split(",")
        ports = self._settings.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        found = [
            (host or None, int(port) if port else None)
            for host, port in zip(hosts, ports, strict=True)
        ]
        if self._settings.get("load_balance_hosts") == "random":
            random.shuffle(found)
        return found

    def _driver_arguments(self) -> dict[str, Any]:
        named = self._settings
        user = named.get("user") or _system_user()
        seconds = int(named.get("connect_timeout", "0"))
        application = named.get("application_name") or named.get("fallback_application_name")
        sent = {"application_name": application, "options": named.get("options")}
        password = named.get("password")
        direct = named.get("sslnegotiation") == "direct"
        arguments = {
            "user": user,
            # A function, because tracebacks with local variables would show a string.
            "password": None if password is None else partial(str, password),
            "database": named.get("dbname") or user,
            "passfile": named.get("passfile"),
            "krbsrvname": named.get("krbsrvname"),
            "gsslib": named.get("gsslib"),
            "direct_tls": direct or None,
            "server_settings": {name: value for name, value in sent.items() if value},
            "timeout": seconds if seconds > 0 else ANSWER_TIMEOUT,
            "command_timeout": ANSWER_TIMEOUT,
            # A pooler in transaction mode gives each transaction another session of the server,
            # and statements prepared in an earlier session do not exist there.
            "statement_cache_size": 0,
            **self._encryption(),
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def _encryption(self) -> dict[str, Any]:
        named = self._settings
        mode = named.get("sslmode")
        if not self._is_encrypted:
            return {"ssl": "disable"}
        is_checked = mode in ("require", "verify-ca", "verify-full")
        for name in _CERTIFICATES if is_checked else ("sslcert", "sslkey"):
            if name in named and named[name] != _SYSTEM:
                _check_readable(name, named[name])
        try:
            if named.get("sslrootcert") == _SYSTEM:
                return {"ssl": _system_context(named)}
            if any(name in named for name in _CERTIFICATES):
                _check_certificates(named)
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(f"{name}={named[name]}" for name in _CERTIFICATES if name in named)
            why = getattr(error, "reason", None) or error
            raise ConfigurationError(
                f"The certificates in the journal's URL ({files}) cannot be loaded: {why}. Use "
                "files in PEM format, and the key that belongs to the certificate."
            ) from None
        # The driver accepts these only in a URL.
        in_url = (*_CERTIFICATES, "ssl_min_protocol_version", "ssl_max_protocol_version")
        query = {name: named[name] for name in (*in_url, "sslpassword") if name in named}
        return {"ssl": mode, "dsn": f"postgresql:///?{urlencode(query)}" if query else None}

    def _keep_alive(self, connection: Any) -> None:
        """Enable TCP keepalive, so that the system detects a server that is gone."""
        sock: socket.socket = connection._transport.get_extra_info("socket")  # noqa: SLF001
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        if self._settings.get("keepalives", "1") == "1":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, (level, option) in _SOCKET_OPTIONS.items():
            seconds = int(self._settings.get(name, "0"))
            if seconds > 0 and hasattr(socket, option):  # not available on every system
                sock.setsockopt(getattr(socket, level), getattr(socket, option), seconds)


class _Secret(str):
    """A string with a `repr` that does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _settings(named: Mapping[str, str]) -> dict[str, str]:
    """Return parameters together with those from the service file and the environment."""
    around = {
        name: os.environ[variable]
        for name, variable in postgres_url.PARAMETERS.items()
        if variable is not None and os.environ.get(variable)
    }
    service = named.get("service") or around.get("service")
    if service is None:
        return {**around, **named}
    file = named.get("servicefile") or around.get("servicefile")
    return {**around, **service_parameters(service, file), **named}


def _check(settings: Mapping[str, str]) -> None:
    """Check that each parameter is supported.

    Errors do not show the values, because a mistake in a URL may put a password there.
    """
    postgres_url.check_hosts(settings)
    for name, value in settings.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise _invalid(name, f"must be one of {', '.join(_CHOICES[name])}")
        if name in _NUMBERS and not _NUMBER.fullmatch(value):
            raise _invalid(name, "must be a whole number")
        possible, advice = _PARTLY_SUPPORTED.get(name, (None, ""))
        if possible is not None and value.lower() not in possible:
            raise _invalid(
                name, f"has a value that is not supported: {advice}" if possible else advice
            )
    mode = settings.get("sslmode")
    if settings.get("sslnegotiation") == "direct" and mode not in _CHOICES["sslmode"][3:]:
        raise _invalid("sslnegotiation=direct", "needs sslmode=require, verify-ca or verify-full")
    if settings.get("sslrootcert") == _SYSTEM and mode not in (None, "verify-full"):
        raise _invalid("sslrootcert=system", "needs sslmode=verify-full")


def _invalid(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"The parameter {name} of the journal's PostgreSQL URL {why}.")


def _absolute_path(name: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError):
        raise _invalid(name, "names a file in a folder that does not exist") from None


def _check_readable(name: str, path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        why = "file not found" if isinstance(error, FileNotFoundError) else error.strerror
        raise _invalid(name, f"names a file that cannot be read: {path} ({why})") from None


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a user id without a name, as in some containers
        raise ConfigurationError(
            "The journal's PostgreSQL URL has no user, and the current user of the system has no "
            "name. Write postgresql://user:password@host/name."
        ) from None


def _check_certificates(named: Mapping[str, str]) -> ssl.SSLContext:
    """Load certificates as the driver will, because its own errors do not name the problem."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _with_certificates(context, named)


def _system_context(named: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificate authorities of the system."""
    context = ssl.create_default_context()
    if named.get("sslnegotiation") == "direct" and ssl.HAS_ALPN:
        context.set_alpn_protocols(["postgresql"])
    for name, setting in (
        ("ssl_min_protocol_version", "minimum_version"),
        ("ssl_max_protocol_version", "maximum_version"),
    ):
        if name in named:
            setattr(context, setting, ssl.TLSVersion[named[name].replace(".", "_")])
    return _with_certificates(context, named)


def _with_certificates(context: ssl.SSLContext, named: Mapping[str, str]) -> ssl.SSLContext:
    if "sslcert" in named:
        context.load_cert_chain(
            named["sslcert"], named.get("sslkey"), lambda: named.get("sslpassword", "")
        )
    for name in ("sslrootcert", "sslcrl"):
        if name in named and named[name] != _SYSTEM:
            context.load_verify_locations(cafile=named[name])
    if "sslcrl" in named:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context
