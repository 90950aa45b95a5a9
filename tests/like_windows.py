"""A pytest plugin that runs the project nearly as on Windows, on a system that is not Windows.

`pytest -p tests.like_windows` hides modules and names of the standard library that Windows lacks,
from the modules of this project only: Python and the packages of others stay as they are. A file
that this process has open cannot be removed or renamed. So the plugin finds an import, a name or a
branch that Windows would not get through. It does not find what Windows does in another way under
the same name, such as with paths, signals and sockets.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import fcntl
import functools
import os
import select
import signal
import socket
import sys
import types
from collections.abc import Callable, Mapping, Sequence
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
}

_OWN = Path(__file__).parents[1]
_FOLDERS = tuple(
    f"{_OWN / name}{os.sep}" for name in ("benchmarks", "examples", "luma_async", "tests")
)


class _Partial:
    """A module without some names. All else is as in the module, also if it is changed there."""

    def __init__(self, module: types.ModuleType, **others: Any) -> None:
        vars(self).update(others, __name__=module.__name__, _module=module, _patched={})

    def __getattr__(self, name: str) -> Any:
        module = vars(self)["_module"]
        if name in NAMES.get(module.__name__, ()):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(module, name)

    def __setattr__(self, name: str, value: object) -> None:
        module, patched = vars(self)["_module"], vars(self)["_patched"]
        patched.setdefault(name, getattr(module, name))
        setattr(module, name, value)

    def __delattr__(self, name: str) -> None:
        """Restore what a test has replaced: to it, the replacement is in this module only."""
        setattr(vars(self)["_module"], name, vars(self)["_patched"].pop(name))


def _locking(descriptor: int, mode: int, _count: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)


_HERE = {
    "os": _Partial(os, name="nt"),
    "select": _Partial(select),
    "signal": _Partial(signal),
    "socket": _Partial(socket),
    "sys": _Partial(sys, platform="win32"),
}

_import = builtins.__import__


def _import_of_windows(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    if level == 0 and globals and str(globals.get("__file__")).startswith(_FOLDERS):
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _HERE:
            return _HERE[name]
    return _import(name, globals, locals, fromlist or (), level)


_FILES = Path("/proc/self/fd")


def _open_files() -> set[str]:
    found = set()
    for link in _FILES.iterdir() if _FILES.exists() else ():
        with contextlib.suppress(OSError):  # the folder itself was closed
            found.add(os.readlink(link))  # noqa: PTH115  Path would drop "(deleted)"
    return found


def _only_if_closed(function: Callable[..., None]) -> Callable[..., None]:
    """Return a function of `os` that removes or renames files, but none that is open."""

    @functools.wraps(function)
    def checked(*paths: Any, **options: Any) -> None:
        if not any(isinstance(path, int) for path in [*paths, *options.values()]):
            names = {Path(os.fsdecode(path)) for path in paths}
            if {str(name.parent.resolve() / name.name) for name in names} & _open_files():
                raise PermissionError(errno.EACCES, "The file is open", *map(os.fsdecode, paths))
        function(*paths, **options)

    return checked


for _name in ("remove", "rename", "replace", "unlink"):
    setattr(os, _name, _only_if_closed(getattr(os, _name)))

_msvcrt: Any = types.ModuleType("msvcrt")
_msvcrt.locking, _msvcrt.LK_UNLCK, _msvcrt.LK_NBLCK = _locking, 0, 2
sys.modules["msvcrt"] = _msvcrt
builtins.__import__ = _import_of_windows
