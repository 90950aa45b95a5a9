"""Python programs in processes of their own, without the time in which libraries are loaded.

A server has loaded them once, and forks a process for each program. None of this library is among
them: such a program still imports it, as it would elsewhere. Where a test is not about that, a
second server, which has loaded this library as well, saves most of the time that is left.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import unittest
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = [
    "aiohttp.web",
    "aiosqlite",
    "anyio._backends._asyncio",
    "anyio.streams.memory",
    "anyio.streams.tls",
    "backoff",
    "getpass",
    "html",
    "jinja2",
    "platformdirs",
    "pydantic.dataclasses",
    "pydantic.functional_serializers",
    "pydantic.json_schema",
    "pydantic.networks",
    "pydantic.plugin._loader",
    "pydantic.type_adapter",
    "rich.live",
    "rich.progress",
    "rich.table",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.ext.asyncio",
    "statistics",
    "typer",
    "zoneinfo",
]
"""Modules, among them those that the others load when they are used."""

PROJECT = [
    "luma_async.batch",
    "luma_async.cli.app",
    "luma_async.cli.batch_run",
    "luma_async.cli.follower",
    "luma_async.cli.single_job",
    "luma_async.client",
    "luma_async.journal.sql.store",
    "luma_async.journal.sql_journal",
]
"""Modules of this library, which import nearly all of it but the simulator."""

PYTHON = [sys.executable, "-W", "error"]
"""The beginning of each command. `-m` and a module follow, `-c` and a text, or a path."""

_MAX_ORDER = 2**20
"""Bytes. Most of an order is the environment."""

_lock = threading.Lock()


class ForkedProgram(subprocess.Popen[str]):
    """A program as `subprocess` starts it, but its parent is the server, which reports its end.

    It gets the streams, the folder and the environment that it is given, except for variables that
    an interpreter reads when it starts. The signals that end a program have their usual effect, or
    are `ignored`. `libraries` are those that only few programs need: the server loads them when
    the first of these starts. With `loaded`, this library is loaded as well.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        ignored: Sequence[int] = (),
        libraries: Sequence[str] = (),
        loaded: bool = False,
        **how: Any,
    ) -> None:
        assert list(command[: len(PYTHON)]) == PYTHON
        if sys.platform != "linux":
            raise unittest.SkipTest("programs of tests are forked by a server, which needs Linux")
        self._ignored = list(ignored)
        self._libraries = [*libraries, *(PROJECT if loaded else [])]
        self._is_loaded = loaded
        super().__init__(command, text=True, **how)

    def _execute_child(self, command: list[str], *how: Any) -> None:
        folder, environment = how[4:6]
        pipes = how[9:15]
        streams = [
            number if stream == -1 else stream  # its own where nothing else was asked for
            for number, stream in enumerate([pipes[0], pipes[3], pipes[5]])
        ]
        order = [
            command[len(PYTHON) :],
            str(Path(folder or ".").absolute()),
            dict(environment or os.environ),
            self._ignored,
            self._libraries,
        ]
        self._end, end = os.pipe()
        with _lock:
            server = _servers()[self._is_loaded]
            socket.send_fds(server, [json.dumps(order).encode()], [*streams, end])
            self.pid = int(server.recv(64))
        os.close(end)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None:
            self._try_wait(os.WNOHANG)
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        timeout = 0 if flags & os.WNOHANG else None
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            status = os.read(self._end, 64)
            os.close(self._end)
            assert status, "the server of forked programs has ended"
            self.returncode = int(status)
        return (0, 0)  # the caller looks again for the return code


@cache
def _servers() -> list[socket.socket]:
    """Start both servers, which end when this process does."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
    theirs = [there.fileno() for _, there in pairs]
    process = subprocess.Popen(
        [sys.executable, "-P", *PYTHON[1:], __file__, *map(str, theirs)],
        pass_fds=theirs,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    for _, there in pairs:
        there.close()
    ours = [here for here, _ in pairs]

    def end() -> None:
        for here in ours:
            here.close()
        process.wait()

    atexit.register(end)
    return ours


def _forked(orders: socket.socket, others: socket.socket) -> socket.socket:
    """Fork the server that loads this library as well. Return what either takes its orders from."""
    gc.freeze()
    mine, not_mine = (orders, others) if os.fork() else (others, orders)
    not_mine.close()
    return mine


def _load(libraries: list[str]) -> None:
    """Load modules. Where one of others warns while it is loaded, no test is about that."""
    for name in libraries:
        with warnings.catch_warnings():
            if not name.startswith("luma_async"):
                warnings.simplefilter("ignore")
            importlib.import_module(name)


def _next_program(orders: socket.socket) -> list[Any]:
    """Fork a process for each order, and return in it. End with the process that sends orders."""
    ends: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([orders.fileno(), *ends], [], [])[0]:
            if ready in ends:
                child, end = ends.pop(ready)
                _, status = os.waitpid(child, 0)
                os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(ready)
                os.close(end)
                continue
            message, fds, _, _ = socket.recv_fds(orders, _MAX_ORDER, 4)
            if not message:
                os._exit(0)
            program: list[Any]
            *program, libraries = json.loads(message)
            _load(libraries)
            gc.freeze()  # a program that ends would look for garbage among the libraries
            child = os.fork()
            if not child:
                for number, fd in enumerate(fds[:3]):
                    os.dup2(fd, number)
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                orders.detach()
                return program
            for fd in fds[:3]:
                os.close(fd)
            ends[os.pidfd_open(child)] = child, fds[3]
            orders.send(str(child).encode())


def _run(
    arguments: list[str], folder: str, environment: dict[str, str], ignored: list[int]
) -> None:
    """Run a program as if this process had been started for it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else usual)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _output(1, "strict")
    sys.stderr = _output(2, "backslashreplace")
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    sys.argv = arguments
    if arguments[0] == "-m":
        sys.path.insert(0, folder)
        sys.argv, module = [arguments[0], *arguments[2:]], arguments[1]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.path.insert(0, "")
        sys.argv, text = [arguments[0], *arguments[2:]], arguments[1]
        exec(text, {"__name__": "__main__"})  # noqa: S102  what `-c` does
    else:
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


def _output(number: int, errors: str) -> Any:
    """Return a stream whose lines are written one by one on a terminal and in `stderr`."""
    stream = open(number, "w", encoding="utf-8", errors=errors, newline="\n", closefd=False)  # noqa: SIM115
    stream.reconfigure(line_buffering=number == 2 or stream.isatty())
    return stream


if __name__ == "__main__":
    for _name in LIBRARIES:
        importlib.import_module(_name)
    _run(*_next_program(_forked(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))))
