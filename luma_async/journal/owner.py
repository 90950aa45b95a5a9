"""Owner: the process that may have a submission on its way."""

from __future__ import annotations

import asyncio
import os
import platform
import time
import uuid
from functools import cache
from pathlib import Path
from weakref import WeakValueDictionary

_SHARED_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")

_here: WeakValueDictionary[str, asyncio.AbstractEventLoop] = WeakValueDictionary()
"""The owners of this process, each with its event loop."""


@cache
def this_host() -> str:
    """Return what tells where a process id of ours means a process of ours.

    The machine since it was started, and the container: ids count from 1 again in each.
    """
    try:
        return f"{_SHARED_BOOT.read_text('ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def start_of(pid: int) -> str | None:
    """Return what tells a process from a later one with the same id; `None` if nothing does."""
    fields = _stat(pid)
    return fields[19] if fields else None  # in ticks since the machine was started


def _stat(pid: int) -> list[str]:
    """Return what Linux tells of a process, from its state on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()


def enter(owner: str) -> None:
    """Note that an owner lives in this process, as long as its event loop does."""
    _here[owner] = asyncio.get_running_loop()


def leave(owner: str) -> None:
    """Note that an owner of this process is gone."""
    _here.pop(owner, None)


def is_gone(owner: str, host: str, pid: int, start: str | None) -> bool | None:
    """Return whether the process of an owner is gone; `None` if only its heartbeat can tell."""
    if os.name != "posix" or host != this_host():
        return None
    if pid == os.getpid():
        loop = _here.get(owner)
        return loop is None or loop.is_closed()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is somebody else's, and alive
    fields = _stat(pid)
    if not fields:
        return False
    is_another = start is not None and fields[19] != start
    return is_another or fields[0] in ("Z", "X")


def running_time() -> float:
    """Return the seconds of a clock that nobody sets, and that counts while a machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
