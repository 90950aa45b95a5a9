"""PostgreSQL database: where a journal is that many machines share, and how it is connected to."""

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
from luma_async.journal import postgres_url
from luma_async.journal.postgres_service import service_parameters
from luma_async.journal.postgres_url import SECRETS

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

_BEYOND_THE_DRIVER: Mapping[str, tuple[tuple[str, ...], str]] = {
    "channel_binding": (
        ("disable", "prefer"),
        (
            "the driver, asyncpg, does not bind channels. Leave it out; sslmode=verify-full with "
            "sslrootcert=system, or a file of the authority's, makes sure of the server as well"
        ),
    ),
    "gssencmode": (
        ("disable", "prefer"),
        "the driver, asyncpg, does not encrypt by GSSAPI. Leave it out, and encrypt with sslmode",
    ),
    "gssdelegation": (("0",), "the driver, asyncpg, does not delegate. Leave it out"),
    "sslcertmode": (("allow",), "leave it out; a certificate is shown if sslcert names one"),
    "sslcompression": (("0",), "the driver, asyncpg, does not compress. Leave it out"),
    "sslsni": (("1",), "the driver, asyncpg, always names the host. Leave it out"),
    "requiressl": (("0",), "write sslmode=require"),
    "client_encoding": (("utf8", "utf-8", "auto"), "a journal is in UTF-8. Leave it out"),
    "replication": (("false", "off", "no", "0"), "a journal is no replica. Leave it out"),
    "min_protocol_version": (("3.0",), "the driver, asyncpg, speaks version 3.0. Leave it out"),
    "max_protocol_version": (
        ("3.0", "latest"),
        "the driver, asyncpg, speaks version 3.0. Leave it out",
    ),
    "hostaddr": ((), "cannot be had with asyncpg, the driver. Name the address as host"),
    "requirepeer": ((), "cannot be had with asyncpg, the driver. Leave it out"),
    "require_auth": (
        (),
        (
            "cannot be had with asyncpg, the driver. Leave it out; pg_hba.conf at the server says "
            "how users log in"
        ),
    ),
    "sslcrldir": ((), "cannot be had with asyncpg, the driver. Name one file, as sslcrl"),
}
"""Parameters that the driver can have in some values only, and what to do about the others."""

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
    """A database at a URL, with libpq's parameters, environment variables and service file.

    What they say is read once, when this is made.

    Raises:
        ConfigurationError: the URL cannot be read, or says something that cannot be had.

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
                self._settings[name] = _whole_path(name, self._settings[name])
        self._is_encrypted = self._settings.get("sslmode") != "disable"
        self._arguments: dict[str, Any] = {}

    def prepare(self) -> None:
        """Read what is needed to connect.

        Raises:
            ConfigurationError: a file of certificates cannot be read.

        """
        self._arguments = self._driver_arguments()

    def opened(self) -> None:
        """Do nothing: a server keeps its databases itself."""

    def check(self) -> None:
        """Do nothing: a server keeps its databases itself."""

    async def connect(self) -> Any:
        """Return a new connection of the driver's, to the first host that can be had."""
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
                failure = error  # as with libpq, the next one may do
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
        user = named.get("user") or _user_of_the_system()
        seconds = int(named.get("connect_timeout", "0"))
        application = named.get("application_name") or named.get("fallback_application_name")
        sent = {"application_name": application, "options": named.get("options")}
        password = named.get("password")
        direct = named.get("sslnegotiation") == "direct"
        arguments = {
            "user": user,
            # A function, for tracebacks with local variables show no more of it than its name.
            "password": None if password is None else partial(str, password),
            "database": named.get("dbname") or user,
            "passfile": named.get("passfile"),
            "krbsrvname": named.get("krbsrvname"),
            "gsslib": named.get("gsslib"),
            "direct_tls": direct or None,
            "server_settings": {name: value for name, value in sent.items() if value},
            "timeout": seconds if seconds > 0 else ANSWER_TIMEOUT,
            "command_timeout": ANSWER_TIMEOUT,
            # A pooler in transaction mode gives each transaction another session of the server's,
            # which knows nothing of statements that were prepared in an earlier one.
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
                _try_certificates(named)
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(f"{name}={named[name]}" for name in _CERTIFICATES if name in named)
            why = getattr(error, "reason", None) or error
            raise ConfigurationError(
                f"The certificates of the journal's URL ({files}) cannot be loaded: {why}. Name "
                "files in PEM format, and the key that belongs to the certificate."
            ) from None
        # The driver takes these in a URL only.
        in_url = (*_CERTIFICATES, "ssl_min_protocol_version", "ssl_max_protocol_version")
        query = {name: named[name] for name in (*in_url, "sslpassword") if name in named}
        return {"ssl": mode, "dsn": f"postgresql:///?{urlencode(query)}" if query else None}

    def _keep_alive(self, connection: Any) -> None:
        """Have the system look whether the server is still there."""
        way: socket.socket = connection._transport.get_extra_info("socket")  # noqa: SLF001
        if way.family not in (socket.AF_INET, socket.AF_INET6):
            return
        if self._settings.get("keepalives", "1") == "1":
            way.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, (level, option) in _SOCKET_OPTIONS.items():
            seconds = int(self._settings.get(name, "0"))
            if seconds > 0 and hasattr(socket, option):  # not every system has each
                way.setsockopt(getattr(socket, level), getattr(socket, option), seconds)


class _Secret(str):
    """A text that its `repr` does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _settings(named: Mapping[str, str]) -> dict[str, str]:
    """Return parameters with those that the service and the environment add to them."""
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
    """Look whether each parameter can be had. Their values are not shown, for slips in a URL."""
    postgres_url.check_hosts(settings)
    for name, value in settings.items():
        if name in _CHOICES and value not in _CHOICES[name]:
            raise _wrong(name, f"must be one of {', '.join(_CHOICES[name])}")
        if name in _NUMBERS and not _NUMBER.fullmatch(value):
            raise _wrong(name, "must be a whole number")
        possible, advice = _BEYOND_THE_DRIVER.get(name, (None, ""))
        if possible is not None and value.lower() not in possible:
            raise _wrong(name, f"has a value that cannot be had: {advice}" if possible else advice)
    mode = settings.get("sslmode")
    if settings.get("sslnegotiation") == "direct" and mode not in _CHOICES["sslmode"][3:]:
        raise _wrong("sslnegotiation=direct", "needs sslmode=require, verify-ca or verify-full")
    if settings.get("sslrootcert") == _SYSTEM and mode not in (None, "verify-full"):
        raise _wrong("sslrootcert=system", "needs sslmode=verify-full")


def _wrong(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"The parameter {name} of the journal's PostgreSQL URL {why}.")


def _whole_path(name: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError):
        raise _wrong(name, "names a file in a folder that is not there") from None


def _check_readable(name: str, path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        why = "file not found" if isinstance(error, FileNotFoundError) else error.strerror
        raise _wrong(name, f"names a file that cannot be read: {path} ({why})") from None


def _user_of_the_system() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user, as containers have it
        raise ConfigurationError(
            "The journal's PostgreSQL URL names no user, and the system has no name for this one. "
            "Write postgresql://user:password@host/name."
        ) from None


def _try_certificates(named: Mapping[str, str]) -> ssl.SSLContext:
    """Load certificates as the driver will, which would not say of what it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _with_certificates(context, named)


def _system_context(named: Mapping[str, str]) -> ssl.SSLContext:
    """Return a context that trusts the certificate authorities of the system."""
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
