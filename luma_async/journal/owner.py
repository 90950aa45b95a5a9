"""Owner: the process that may have a submission on its way."""

from __future__ import annotations

import os
import platform
import uuid
from functools import cache
from pathlib import Path

_SHARED_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


@cache
def this_host() -> str:
    """Return what tells where a process id of ours means a process of ours.

    The machine since it was started, and the container: ids count from 1 again in each.
    """
    try:
        return f"{_SHARED_BOOT.read_text('ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def is_gone(host: str, pid: int) -> bool:
    """Whether a process certainly lives no more; of one elsewhere, only its heartbeat tells."""
    if os.name != "posix" or host != this_host():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
