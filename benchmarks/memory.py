"""Memory of this process: current and peak."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.platform != "win32":
    import resource


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return _status("VmRSS") or _peak_of_usage()


def peak_resident() -> int:
    """Return the peak of the resident memory of this process in bytes.

    `/proc` is preferred, because `getrusage` includes the process that this one was forked from.
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
    if sys.platform == "win32":
        raise OSError("Windows has no figures of the memory of a process in Python")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
