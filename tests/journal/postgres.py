"""A PostgreSQL server that is thrown away, and a pooler before it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.platforms import missing, skip_without_servers

if sys.platform != "win32":
    import pwd

_MEMORY = Path("/dev/shm")  # noqa: S108  folders in it have names that nobody can guess
"""Folder in memory, if the system has it: a database is made there in a fifth of the time."""

_MIN_ROOM = 2 * 2**30
"""Bytes that must be free there. A server takes 200 MB, and each worker runs one or two."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running server is."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def url(self, database: str, *, role: str = "luma") -> str:
        return f"postgresql://{role}:not-secret@127.0.0.1:{self.port}/{database}"

    def processes(self) -> list[int]:
        """Return its process ids, the first one last."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [*map(int, children.read_text().split()), self.process.pid]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of it, as a host that is gone."""
        os.kill(self.process.pid, signal.SIGSTOP)
        stopped = self.processes()
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)


def binary(name: str, package: str = "PostgreSQL") -> str:
    """Return a program, which Debian may keep out of the way."""
    skip_without_servers()
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = (
        str(places[-1]) if places else shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    )
    if found is None:
        missing(f"{name} is missing: install {package}, as .ci/run does")
    return found


@contextmanager
def running_postgres(
    *,
    hba: str | None = None,
    files: Mapping[str, bytes] = MappingProxyType({}),
    **settings: str,
) -> Iterator[Server]:
    """Run a server in a new folder; not as root, which it refuses.

    `hba` says who may log in and how, and `files` are put beside it.
    """
    initdb, postgres = binary("initdb"), binary("postgres")
    with _folder("luma-postgres-") as (folder, user):
        data = folder / "data"
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        subprocess.run(
            [initdb, "--no-sync", "--auth=trust", "--username=luma", f"--pgdata={data}"],
            user=user,
            env=environment,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        for name, content in {**files, **({"pg_hba.conf": hba.encode()} if hba else {})}.items():
            file = data / name
            file.write_bytes(content)
            file.chmod(0o600)
            if user is not None:
                shutil.chown(file, user)
        # Nothing is to be kept, so nothing need reach the disk, and little of the log is.
        settings = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "64MB", **settings}
        options = [f"--{name}={value}" for name, value in settings.items()]
        port = _free_port()
        with subprocess.Popen(
            [postgres, "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", *options],
            user=user,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                _wait_until(lambda: _is_serving(data), process)
                yield Server(port, process, folder)
            finally:
                process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept


@contextmanager
def running_pgbouncer(server: Server, *, pool_mode: str = "transaction") -> Iterator[Server]:
    """Run a pooler with two connections to a server; not as root, which it refuses."""
    pgbouncer = binary("pgbouncer", "pgbouncer")
    port = _free_port()
    with _folder("luma-pgbouncer-") as (folder, user):
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"""
            [databases]
            * = host=127.0.0.1 port={server.port} user=luma
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = {pool_mode}
            default_pool_size = 2
            """.replace("            ", "")
        )
        with subprocess.Popen(
            [pgbouncer, settings],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                _wait_until(lambda: _is_listening(port), process)
                yield Server(port, process, folder)
            finally:
                process.kill()


@contextmanager
def _folder(prefix: str) -> Iterator[tuple[Path, str | None]]:
    """Make a folder, and return it with the user that a program is to run as in it."""
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _has_room(_MEMORY) else None))
    try:
        if user is not None:
            shutil.chown(folder, user)
            folder.chmod(0o755)
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    """Return whether servers fit into a folder; in a container, `/dev/shm` may be small."""
    is_open = folder.is_dir() and os.access(folder, os.W_OK)
    return is_open and shutil.disk_usage(folder).free > _MIN_ROOM


def _free_port() -> int:
    """Return a port for a server, of those that the system gives to nobody by itself."""
    while True:
        port = random.randrange(10_000, 30_000)  # below the range of outgoing connections
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _is_serving(data: Path) -> bool:
    """Return whether a server lets users in; it listens before."""
    try:
        status = (data / "postmaster.pid").read_text().splitlines()[7]
    except (OSError, IndexError):
        return False
    return status.strip() in ("ready", "standby")


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the server did not start"
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.02)
