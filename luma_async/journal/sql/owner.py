"""Owner: the process that may have submissions under way."""

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
"""Owners in this process, each with its event loop."""


@cache
def this_host() -> str:
    """Return an identifier of this machine, as started, and of the container.

    Process ids are unique only within these: each start and each container counts from 1 again.
    """
    try:
        return f"{_SHARED_BOOT.read_text('ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def start_of(pid: int) -> str | None:
    """Return the start time of a process, in ticks since the machine was started.

    The start time tells a process from a later one with the same id. Return `None` if it is not
    known.
    """
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid: int) -> list[str]:
    """Return the fields that Linux provides about a process, from its state on."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()


def enter(owner: str) -> None:
    """Record that an owner lives in this process, for as long as its event loop does."""
    _here[owner] = asyncio.get_running_loop()


def leave(owner: str) -> None:
    """Record that an owner in this process has ended."""
    _here.pop(owner, None)


def is_gone(owner: str, host: str, pid: int, start: str | None) -> bool | None:
    """Return `True` if the process of an owner has ended; `None` if only its heartbeat can tell."""
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
        pass  # alive, and owned by another user
    fields = _stat(pid)
    if not fields:
        return False
    is_another = start is not None and fields[19] != start
    return is_another or fields[0] in ("Z", "X")


def running_time() -> float:
    """Return the seconds of a clock that is never set and includes the time in suspend."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
