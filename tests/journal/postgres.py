"""A PostgreSQL server that is thrown away."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running server is."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        return f"postgresql://luma:not-secret@127.0.0.1:{self.port}/{database}"


def binary(name: str) -> str:
    """Return a program of PostgreSQL's; Debian keeps them out of the way."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(places[-1]) if places else shutil.which(name)
    if found is None:
        missing = f"{name} is missing: install PostgreSQL, as .ci/run does"
        if "CI" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextmanager
def running_postgres() -> Iterator[Server]:
    """Run a server in a new folder; not as root, which it refuses."""
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    initdb, postgres = binary("initdb"), binary("postgres")
    folder = Path(tempfile.mkdtemp(prefix="luma-postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    try:
        subprocess.run(
            [initdb, "--no-sync", "--auth=trust", "--username=luma", f"--pgdata={data}"],
            user=user,
            env=environment,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        with subprocess.Popen(
            [postgres, "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"],
            user=user,
            env=environment,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                _wait_for(port, process)
                yield Server(port, process)
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("PostgreSQL did not start")
