"""PostgreSQL URLs mean what they mean to libpq, or the error names what cannot be had."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import ConfigurationError, JournalError, SQLJournal
from luma_async.journal.sql.database_url import masked, parse_database_url
from luma_async.journal.sql.postgres import PostgresDatabase
from luma_async.journal.sql.postgres_url import parse
from tests.clients import until
from tests.journal.certificates import Certificates, make_certificates
from tests.journal.postgres import Server, running_postgres
from tests.journal.test_owners import new_entry
from tests.loops import skip

HBA = """
local   all      all                     trust
hostssl all      shower  127.0.0.1/32    cert
hostssl all      sealed  127.0.0.1/32    trust
host    all      nobody  127.0.0.1/32    reject
host    all      sealed  127.0.0.1/32    reject
host    all      locked  127.0.0.1/32    scram-sha-256
host    all      all     127.0.0.1/32    trust
"""

ROLES = """
CREATE ROLE locked LOGIN PASSWORD 'one@two#three/four?five:six%25 %';
CREATE ROLE shower LOGIN;
CREATE ROLE sealed LOGIN;
CREATE ROLE nobody LOGIN;
CREATE ROLE crowded LOGIN CONNECTION LIMIT 0;
CREATE ROLE guest LOGIN;
CREATE DATABASE still;
ALTER DATABASE still SET default_transaction_read_only TO on;
"""
PASSWORD = quote("one@two#three/four?five:six%25 %", safe="")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[Server]:
    """Run a server with TLS and with users who log in in different ways."""
    files = {name: certificates[name] for name in ("server.pem", "server.key", "ca.pem")}
    with running_postgres(
        hba=HBA,
        files=files,
        ssl="on",
        ssl_cert_file="server.pem",
        ssl_key_file="server.key",
        ssl_ca_file="ca.pem",
    ) as running:
        asyncio.run(_make_roles(running))
        yield running


async def _make_roles(server: Server) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    for statement in filter(str.strip, ROLES.split(";\n")):
        await connection.execute(statement)
    await connection.close()


async def connected(url: str) -> Any:
    """Return a connection of the driver's."""
    place = parse_database_url(url)
    assert isinstance(place, PostgresDatabase)
    place.prepare()
    return await place.connect()


async def asked(url: str, query: str) -> Any:
    """Return what a server answers to one question."""
    connection = await connected(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def failure(url: str) -> str:
    """Return the error of opening a journal there."""
    before = open_sockets()
    with pytest.raises((ConfigurationError, JournalError)) as caught:
        await SQLJournal(url).open()
    assert caught.value.__cause__ is None
    await until(lambda: open_sockets() <= before)  # TLS says goodbye, which may take a while
    return str(caught.value)


def open_sockets() -> set[str]:
    """Return what tells the sockets of this process apart."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            found.add(str(file.readlink()))
    return {name for name in found if name.startswith("socket:")}


IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.mark.parametrize(
    ("parameters", "is_encrypted"),
    [
        ("", True),  # prefer
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=prefer", True),
        ("sslmode=require", True),
        ("ssl=true", True),
        ("sslmode=verify-ca&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={ca}", True),
        ("sslmode=verify-full&sslrootcert={ca}&sslcrl={crl}", True),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3", True),
        ("sslmode=prefer&channel_binding=prefer&gssencmode=prefer&sslsni=1", True),
        ("sslmode=disable&gssencmode=disable&channel_binding=disable", False),
    ],
)
async def test_each_sslmode_encrypts_as_it_says(
    server: Server, certificates: Certificates, parameters: str, is_encrypted: bool
) -> None:
    """The server is asked whether it was so."""
    query = parameters.format(ca=certificates.path("ca.pem"), crl=certificates.path("revoked.pem"))

    url = f"postgresql://luma@localhost:{server.port}/postgres?{query}"

    assert await asked(url, IS_ENCRYPTED) is is_encrypted


@pytest.mark.parametrize(
    ("host", "parameters", "why"),
    [
        ("localhost", "sslmode=verify-ca&sslrootcert={other}", "certificate is not trusted"),
        ("localhost", "sslmode=require&sslrootcert={other}", "certificate is not trusted"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={ca}", "host name in the certificate"),
        ("localhost", "sslmode=verify-full&sslrootcert=system", "certificate is not trusted"),
        ("localhost", "sslmode=verify-full&sslrootcert=missing.pem", r"sslrootcert .*missing\.pem"),
        ("localhost", "sslmode=require&sslcert=gone.pem", r"sslcert .*gone\.pem .*not found"),
        ("localhost", "sslmode=require&sslcert={ca}&sslkey={key}", "cannot be loaded"),
        ("localhost", "sslmode=require&sslcrl={folder}", "sslcrl .*cannot be read"),
    ],
)
async def test_a_server_that_is_not_the_right_one(
    server: Server, certificates: Certificates, host: str, parameters: str, why: str
) -> None:
    """It is not connected to, and the error says which parameter to look at."""
    query = parameters.format(
        ca=certificates.path("ca.pem"),
        other=certificates.path("other.pem"),
        key=certificates.path("user.key"),
        folder=certificates.folder,
    )

    error = await failure(f"postgresql://luma@{host}:{server.port}/postgres?{query}")

    _assert_matches(error, why)


async def test_a_user_may_log_in_with_a_certificate(
    server: Server, certificates: Certificates
) -> None:
    """And only with one."""
    url = f"postgresql://shower@localhost:{server.port}/postgres?sslmode=require"
    shown_one = f"sslcert={certificates.path('user.pem')}&sslkey={certificates.path('user.key')}"

    assert await asked(f"{url}&{shown_one}", "SELECT current_user") == "shower"
    _assert_matches(await failure(url), "does not allow this user")


async def test_certificates_by_a_relative_path_are_found_after_a_change_of_folder(
    server: Server,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with the path of a SQLite file."""
    monkeypatch.chdir(certificates.folder)
    query = "sslmode=verify-full&sslrootcert=ca.pem"
    journal = SQLJournal(f"postgresql://luma@localhost:{server.port}/postgres?{query}")

    monkeypatch.chdir(tmp_path)

    async with journal:
        assert await journal.find("cat") is None


@pytest.mark.parametrize(
    ("login", "parameters", "query", "answer"),
    [
        ("luma@{at}", "application_name=bot", "SHOW application_name", "bot"),
        ("luma@{at}", "fallback_application_name=bot", "SHOW application_name", "bot"),
        ("luma@{at}", "options=-c%20work_mem%3D5MB", "SHOW work_mem", "5MB"),
        ("luma@{at}", "options=-cwork_mem=5MB%20--lc_messages=C", "SHOW work_mem", "5MB"),
        ("luma@{at}", "connect_timeout=60", "SELECT 1", 1),
        ("luma@{at}", "connect_timeout=0&client_encoding=UTF8", "SELECT 1", 1),
        ("luma@{at}", "target_session_attrs=read-write", "SELECT 1", 1),
        ("luma@{at}", "target_session_attrs=prefer-standby", "SELECT 1", 1),
        ("{at}", "user=luma", "SELECT current_user", "luma"),
        ("me@{at}", "user=luma", "SELECT current_user", "luma"),
        ("{at}", "user=luma&dbname=still", "SELECT current_database()", "still"),
        ("luma@/postgres", "host={folder}&port={port}", "SELECT current_user", "luma"),
        ("luma@{quoted}:{port}/postgres", "", "SELECT current_user", "luma"),
        ("", "host=127.0.0.1&port={port}&user=luma&dbname=still", "SELECT current_user", "luma"),
        ("luma@127.0.0.1:{dead},127.0.0.1:{port}/postgres", "", "SELECT 1", 1),
        ("luma@/postgres", "host=127.0.0.1,127.0.0.1&port={dead},{port}", "SELECT 1", 1),
        ("luma@127.0.0.1,127.0.0.1/postgres", "port={port}", "SELECT 1", 1),
        ("luma@{at}", "load_balance_hosts=random", "SELECT 1", 1),
        ("locked:{password}@{at}", "", "SELECT current_user", "locked"),
        ("locked@{at}", "password={password}", "SELECT current_user", "locked"),
        ("locked@{at}", "passfile={passfile}", "SELECT current_user", "locked"),
        ("/", "service=jobs&servicefile={services}", "SELECT current_user", "locked"),
        ("luma@{at}", "service=jobs&servicefile={services}", "SELECT current_user", "luma"),
    ],
)
async def test_parameters_mean_what_they_mean_to_libpq(
    server: Server,
    tmp_path: Path,
    dead_port: int,
    *,
    login: str,
    parameters: str,
    query: str,
    answer: object,
) -> None:
    """The server is asked what it got."""
    passfile, services = tmp_path / "pass", tmp_path / "services"
    passfile.write_text("*:*:*:luma:other\n*:*:*:locked:simple\n")
    passfile.chmod(0o600)
    await _set_password(server, "simple" if "passfile" in parameters else None)
    services.write_text(
        f"# ours\n[other]\nuser=nobody\n\n[jobs]\nhost=127.0.0.1\nport={server.port}\n"
        "user=locked\ndbname=postgres\npassword=one@two#three/four?five:six%25 %\n"
    )
    words = {
        "at": f"127.0.0.1:{server.port}/postgres",
        "port": server.port,
        "dead": dead_port,
        "folder": server.folder,
        "quoted": quote(str(server.folder), safe=""),
        "password": PASSWORD,
        "passfile": passfile,
        "services": services,
    }

    url = f"postgresql://{login.format(**words)}?{parameters.format(**words)}"

    assert await asked(url, query) == answer


async def _set_password(server: Server, password: str | None) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    text = password or "one@two#three/four?five:six%25 %"
    await connection.execute(f"ALTER ROLE locked PASSWORD '{text}'")
    await connection.close()


async def test_the_environment_says_what_the_url_leaves_open(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libpq has it, and the URL wins."""
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(server.port))
    monkeypatch.setenv("PGUSER", "nobody")
    monkeypatch.setenv("PGAPPNAME", "bot")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=5MB")

    assert await asked("postgresql://luma@/postgres", "SHOW application_name") == "bot"
    assert await asked("postgresql://luma@/postgres", "SHOW work_mem") == "5MB"


async def test_the_system_looks_whether_the_server_is_still_there(server: Server) -> None:
    """As often as the URL says."""
    often = "keepalives_idle=31&keepalives_interval=7&keepalives_count=4&tcp_user_timeout=9000"
    connections = [
        await connected(f"{server.url('postgres')}?{parameters}")
        for parameters in (often, "keepalives=0")
    ]
    one, other = (each._transport.get_extra_info("socket") for each in connections)

    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_KEEPIDLE"):
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 31
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 9000
    for connection in connections:
        await connection.close()


async def test_the_next_host_is_tried_after_the_time_for_one(server: Server) -> None:
    """A host that does not answer costs `connect_timeout`, and no more."""
    silent = Silent()
    host = await asyncio.get_running_loop().create_server(lambda: silent, "127.0.0.1", 0)
    async with host:
        hosts = f"127.0.0.1:{host.sockets[0].getsockname()[1]},127.0.0.1:{server.port}"
        url = f"postgresql://luma@{hosts}/postgres?connect_timeout=600&sslmode=disable"

        asking = asyncio.create_task(asked(url, "SELECT 1"))
        await silent.was_asked.wait()
        assert not asking.done()
        skip(600)

        async with asyncio.timeout(60):
            assert await asking == 1


class Silent(asyncio.Protocol):
    """A host that takes what it is sent, and answers nothing."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.was_asked.set()


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("locked:wrong-hunter2@{at}", r"rejected the user or password\. Check the URL"),
        ("locked@{at}", r"rejected the user or password\. Check the URL"),
        ("nobody@{at}", r"does not allow this user .*pg_hba\.conf"),
        ("sealed@{at}?sslmode=disable", r"does not allow this user .*sslmode.*pg_hba\.conf"),
        ("stranger@{at}", "does not allow this user .*role .stranger. does not exist"),
        (
            "luma@127.0.0.1:{port}/missing",
            r"no database of this name\. Create it, or check the URL",
        ),
        ("crowded@{at}", r"no free connection\. Close some"),
        ("luma@127.0.0.1:{port}/still", r"is read-only: a standby.*Use one that accepts writes"),
        ("guest@{at}?options=-csearch_path=public", r"lacks a permission.*GRANT CREATE ON SCHEMA"),
        (
            "luma@{at}?target_session_attrs=standby",
            "no host in the URL matches target_session_attrs",
        ),
        ("luma@127.0.0.1:{dead}/postgres", r"cannot be reached\. Start it, or check the URL"),
        ("luma@nowhere.invalid/postgres", r"server is not known\. Check the host in the URL"),
        ("luma@/postgres?host=/nowhere", r"cannot be reached\. Start it, or check the URL"),
    ],
)
async def test_what_a_server_refuses_is_told_with_what_to_do(
    server: Server, dead_port: int, rest: str, why: str
) -> None:
    """And without the password."""
    at = f"127.0.0.1:{server.port}/postgres"

    error = await failure("postgresql://" + rest.format(at=at, port=server.port, dead=dead_port))

    _assert_matches(error, why)
    assert "hunter2" not in error


async def test_a_server_without_tls(postgres_place: str) -> None:
    """The error says that there is none."""
    _assert_matches(await failure(f"{postgres_place}?sslmode=require"), "server has no TLS")


async def test_a_standby_server(tmp_path: Path) -> None:
    """It takes no writes, and the error says so."""
    with running_postgres(files={"standby.signal": b""}) as server:
        error = await failure(server.url("postgres"))

    _assert_matches(error, r"is read-only: a standby server.*target_session_attrs=read-write")


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ("channel_binding=require", r"channel_binding .*Leave it out; sslmode=verify-full"),
        ("gssencmode=require", "gssencmode .*encrypt with sslmode"),
        ("hostaddr=127.0.0.1", "hostaddr .*Give the address as host"),
        ("requirepeer=postgres", "requirepeer .*Leave it out"),
        ("require_auth=scram-sha-256", r"require_auth .*pg_hba\.conf"),
        ("requiressl=1", "requiressl .*write sslmode=require"),
        ("sslcrldir=/crls", "sslcrldir .*Use one file, as sslcrl"),
        ("sslsni=0", "sslsni .*Leave it out"),
        ("client_encoding=LATIN1", "client_encoding .*UTF-8"),
        ("replication=database", "replication .*Leave it out"),
        ("sslmode=hunter2", "sslmode .*must be one of disable, allow, prefer, require, verify-ca"),
        ("target_session_attrs=hunter2", "target_session_attrs .*must be one of any, read-write"),
        ("connect_timeout=hunter2", "connect_timeout .*must be a whole number"),
        ("keepalives_idle=1s", "keepalives_idle .*must be a whole number"),
        ("sslnegotiation=direct", "sslnegotiation=direct .*needs sslmode=require"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system .*needs sslmode=verify-full"),
        ("ssl_min_protocol_version=SSLv3", "ssl_min_protocol_version .*must be one of TLSv1"),
        ("pgbouncer=true", "does not know: pgbouncer"),
        ("sslmod=require", r"does not know: sslmod\. Leave it out"),
        ("service=jobs&servicefile=/nowhere", "service that was not found .looked in /nowhere"),
        ("port=1,2", "1 hosts and 2 ports"),
    ],
)
def test_a_parameter_that_cannot_be_had_is_named(parameters: str, why: str) -> None:
    """When the journal is made, with what to do instead; its value is not shown."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        SQLJournal(f"postgresql://me:s3cret@host/jobs?{parameters}")

    assert "s3cret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "u:hunter2@pass1word#x@host/jobs",
        "u:hunter2@pass1word@host/jobs",
        "u:hunter2/pass1word@host/jobs",
        "u:hunter2?pass1word@host/jobs",
        "u:hunter2?pass1word=x@host/jobs",
        "u:12/pass1word@host/jobs",
        "u:12?pass1word=x@host/jobs",
        "u:12?hunter=x@host/jobs",
        "u:hunter2%pass1word@host/jobs",
        "u:hunter2%ffpass1word@host/jobs",
        "u:hunter2%00pass1word@host/jobs",
        "u:hunter2[pass1word",
        "u:hunter2pass1word",
        "u:hunter2@host:pass1word/jobs",
        "u@host:99999/jobs",
        "u:hunter2@ho st/jobs",
        "u:hunter2@host/jobs?password",
        "u:hunter2@host/jobs?pass1word",
    ],
)
def test_a_url_that_cannot_be_read(rest: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error explains percent-encoding, and shows nothing of it, for anything may be secret."""
    url = f"postgresql://{rest}"

    with pytest.raises(ConfigurationError, match=r"write @ as %40, .*percent-encoding") as caught:
        SQLJournal(url)

    for told in (repr(caught.value), repr(caught.value.__cause__), caplog.text, masked(url)):
        assert "hunter" not in told
        assert "pass1word" not in told


SPECIAL = st.text(st.sampled_from("@#/?:%&=[] ,;+\\'\"é"), max_size=2)


@given(before=SPECIAL, between=SPECIAL, after=SPECIAL, query=st.sampled_from(["", "?sslmode=no"]))
def test_no_part_of_a_password_is_ever_shown(
    before: str, between: str, after: str, query: str
) -> None:
    """Whatever characters are in it, and whatever else is wrong with the URL."""
    url = f"postgresql://me:{before}hunter2{between}pass1word{after}@127.0.0.1:1/jobs{query}"
    told = [masked(url)]
    try:
        journal = SQLJournal(url)
    except ConfigurationError as error:
        told.append(repr(error))
    else:
        told += [repr(journal), repr(vars(journal)), repr(vars(journal._place))]

    assert not [text for text in told if "hunter2" in text or "pass1word" in text]


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_percent_encoding_is_undone(password: str) -> None:
    """Any password can be written so."""
    try:
        encoded = quote(password, safe="")
    except UnicodeEncodeError:
        return

    assert parse(f"postgresql://me:{encoded}@host/jobs")["password"] == password


async def test_a_password_is_in_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Nor in what the event loop says in its debug mode."""
    caplog.set_level("DEBUG")
    await _set_password(server, None)
    url = f"postgresql://locked:{PASSWORD}@127.0.0.1:{server.port}/postgres"

    with pytest.raises(JournalError, match="lacks a permission"):
        await SQLJournal(url).claim(new_entry("cat"))

    for part in ("one@two", "three", "four", PASSWORD):
        assert part not in caplog.text


def _assert_matches(error: str, pattern: str) -> None:
    with pytest.raises(JournalError, match=pattern):
        raise JournalError(error)


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Return a port where nothing listens, and nothing can begin to meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
