"""CPU time of other processes, and of a PostgreSQL server with all of its processes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.journal.postgres import Server

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_UTIME, _CUTIME = 11, 13
"""Places of figures in `/proc/PID/stat` after the name of the program: the time of the process, and
that of its children that have ended. Each is followed by the time spent in the system."""


def cpu_time(pid: int) -> float:
    """Return the CPU seconds of a process, without its children."""
    return _seconds(pid, _UTIME)


def cpu_time_of_postgres(server: Server) -> float:
    """Return the CPU seconds of a PostgreSQL server, with the processes of closed connections."""
    running = 0.0
    for pid in server.processes():
        with suppress(FileNotFoundError):  # it has ended, and counts below
            running += cpu_time(pid)
    return running + _seconds(server.process.pid, _CUTIME)


def _seconds(pid: int, place: int) -> float:
    figures = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(figures[place]) + int(figures[place + 1])) * _TICK
