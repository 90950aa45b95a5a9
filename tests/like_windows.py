"""A pytest plugin that runs the project nearly as on Windows, on a system that is not Windows.

`pytest -p tests.like_windows` hides modules and names of the standard library that Windows lacks,
from the modules of this project only: Python and the packages of others stay as they are. So the
plugin finds an import, a name or a branch that Windows would not get through. It does not find what
Windows does in another way under the same name, such as with paths or with files that are open.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import select
import signal
import socket
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULES = frozenset(
    ["curses", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"]
)

NAMES: dict[str, set[str]] = {
    "os": {
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "WNOHANG", "chown"),
        *("fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getpgid"),
        *("getpgrp", "getuid", "killpg", "lchown", "mkfifo", "mknod", "nice", "openpty"),
        *("posix_spawn", "pread", "pwrite", "register_at_fork", "sched_getaffinity"),
        *("sched_setaffinity", "setgid", "setpgid", "setsid", "setuid", "statvfs", "sysconf"),
        *("uname", "wait", "wait3", "wait4", "waitid"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
        *("SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGUSR1", "SIGUSR2", "SIGWINCH", "alarm", "pause"),
        *("pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigpending", "sigwait"),
    },
    "socket": {"AF_UNIX", "SOCK_SEQPACKET", "recv_fds", "send_fds"},
    "select": {"epoll", "poll"},
    "sys": set(),
}

_OWN = Path(__file__).parents[1]
_FOLDERS = tuple(
    f"{_OWN / name}{os.sep}" for name in ("benchmarks", "examples", "luma_async", "tests")
)


def _without(module: types.ModuleType, names: set[str], **others: Any) -> types.ModuleType:
    """Return a copy of a module without some names."""
    copy = types.ModuleType(module.__name__)
    vars(copy).update({name: part for name, part in vars(module).items() if name not in names})
    vars(copy).update(others)
    return copy


def _locking(descriptor: int, mode: int, _count: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)


_HERE = {
    "os": _without(os, NAMES["os"], name="nt"),
    "select": _without(select, NAMES["select"]),
    "signal": _without(signal, NAMES["signal"]),
    "socket": _without(socket, NAMES["socket"]),
}

_import = builtins.__import__


class _Sys(types.ModuleType):
    """The module `sys` on another platform. All else is the same, also if it changes."""

    platform = "win32"

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(sys, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(sys, name)


_HERE["sys"] = _Sys("sys")


def _import_of_windows(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> types.ModuleType:
    if level == 0 and globals and str(globals.get("__file__")).startswith(_FOLDERS):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _HERE:
            return _HERE[name]
    return _import(name, globals, locals, fromlist or (), level)


sys.modules["msvcrt"] = _without(
    types.ModuleType("msvcrt"), set(), locking=_locking, LK_UNLCK=0, LK_NBLCK=2
)
builtins.__import__ = _import_of_windows
