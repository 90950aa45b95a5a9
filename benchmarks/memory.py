"""How much memory this process has, and has had."""

from __future__ import annotations

import resource
from pathlib import Path


def resident() -> int:
    """Return the memory that this process has now, in bytes."""
    return _status("VmRSS") or _peak_of_usage()


def peak_resident() -> int:
    """Return the most memory that this process has had, in bytes.

    Where the system says so by itself; `getrusage` counts what the process was forked from, too.
    """
    return _status("VmHWM") or _peak_of_usage()


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    kibibytes = next(line for line in lines if line.startswith(name))
    return int(kibibytes.split()[1]) * 1024


def _peak_of_usage() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
