"""Owners: the processes that submit or watch jobs, and the detection of dead ones."""

from __future__ import annotations

import asyncio
import math
import os
import platform
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:  # the extra may be missing
    from sqlalchemy import RowMapping

BEATS_PER_TIMEOUT = 5
"""Number of heartbeats that a process writes within the time after which it counts as dead."""

LEASE_TIMEOUT = 15.0
"""Seconds of silence after which another process may watch the jobs of this one. That is harmless
if this one is alive: then both look at them. A submission has a time of its own."""

_LEASE_BEATS = 4
"""Number of heartbeats within `LEASE_TIMEOUT`."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")

_local_owners: WeakValueDictionary[str, asyncio.AbstractEventLoop] = WeakValueDictionary()
"""Owners in this process, each with its event loop."""


def running_time() -> float:
    """Return the seconds of a clock that is never set and includes the time in suspend."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Owner:
    """Owner of the claims and leases of this process, while a journal is open.

    `claims` has the submissions that have not ended yet, and `leases` the ids of the running jobs
    that this process watches. As long as there are any, a heartbeat must be written every
    `beat_every` seconds; `idle` is set while there are none. `last_beat` is the time of the last
    heartbeat, by `running_time()`. After `timeout` seconds of silence, other processes count this
    one as dead.
    """

    def __init__(self, timeout: float) -> None:
        self.id = uuid.uuid4().hex
        self.timeout = timeout
        self.beat_every = min(timeout / BEATS_PER_TIMEOUT, LEASE_TIMEOUT / _LEASE_BEATS)
        self.claims: set[str] = set()
        self.leases: set[str] = set()
        self.idle = asyncio.Event()
        self.last_beat = -math.inf

    def enter(self) -> None:
        """Register this owner in its process, for as long as its event loop lives."""
        _local_owners[self.id] = asyncio.get_running_loop()

    def leave(self) -> None:
        """Record that this owner has ended."""
        _local_owners.pop(self.id, None)

    def add(self, claim: str) -> None:
        """Record that a claim is being made."""
        self.claims.add(claim)
        self.idle.clear()

    def remove(self, claim: str) -> None:
        """Record that a claim has ended, with any outcome."""
        self.claims.discard(claim)
        self._set_idle()

    def add_lease(self, id: str) -> None:
        """Record that this process watches a job."""
        self.leases.add(id)
        self.idle.clear()

    def remove_lease(self, id: str) -> None:
        """Record that a job has ended, or that this process does not watch it any more."""
        self.leases.discard(id)
        self._set_idle()

    def _set_idle(self) -> None:
        if not self.claims and not self.leases:
            self.idle.set()


class DeadOwners:
    """Detector of dead owners, based on repeated readings of their heartbeats.

    The silence of an owner is measured by the clock of the database. That clock may be set at any
    moment, and then every owner seems silent, however regular its heartbeat. So an owner on another
    machine counts as dead only if its heartbeat has also stayed the same, by the `clock` of this
    machine, for long enough to contain two beats. A live process of this machine is never dead,
    however silent it is: it may have been suspended, and may continue. With `spares_suspended` set
    to `False`, it counts as dead like one of another machine.
    """

    def __init__(
        self,
        timeout: float,
        *,
        spares_suspended: bool = True,
        clock: Callable[[], float] = running_time,
    ) -> None:
        self._timeout = timeout
        self._spares_suspended = spares_suspended
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}
        self._undecided_for = 0.0

    def restart(self) -> None:
        """Begin to observe all owners anew, because they may have been unable to write a heartbeat.

        After an outage of the database, each live owner is as silent as a dead one.
        """
        self._seen.clear()

    def undecided_for(self) -> float:
        """Return the seconds until all owners that were checked since the last call are decided."""
        seconds, self._undecided_for = self._undecided_for, 0.0
        return seconds

    def is_dead(self, row: RowMapping) -> bool:
        """Return `True` if the owner of a row is known to be dead by now."""
        if row["silence"] is None:
            return True  # the owner has left
        has_ended = has_ended_here(row["owner"], row["host"], row["pid"], row["start"])
        unchanged = self._unchanged_for(row["owner"], row["heartbeat"])
        is_certain = bool(has_ended) or (has_ended is False and self._spares_suspended)
        if is_certain or 0 <= row["silence"] <= self._timeout:
            return bool(has_ended)
        remaining = self._timeout / 2 - unchanged
        self._undecided_for = max(self._undecided_for, remaining)
        return remaining <= 0

    def describe_silence(self, row: RowMapping) -> str | None:
        """Describe the problem with a silent live owner and the next step, or return `None`."""
        unchanged = self._unchanged_for(row["owner"], row["heartbeat"])
        if unchanged <= self._timeout:
            return None
        return (
            f"Process {row['pid']} of this machine is submitting it, and has been silent for "
            f"{unchanged:.0f} s. Continue that process if it was suspended (kill -CONT "
            f"{row['pid']}), or end it"
        )

    def _unchanged_for(self, owner: str, heartbeat: float) -> float:
        """Return the seconds since the heartbeat of an owner was first read as it is now."""
        now = self._clock()
        seen, since = self._seen.get(owner, (None, now))
        if seen != heartbeat:
            since = now
        self._seen[owner] = heartbeat, since
        return now - since


@cache
def this_host() -> str:
    """Return an identifier of this machine, as started, and of the container.

    Process ids are unique only within these: each start and each container counts from 1 again.
    """
    try:
        return f"{_BOOT_ID.read_text('ascii').strip()} {_PID_NAMESPACE.readlink()}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"


def start_of(pid: int) -> str | None:
    """Return the start time of a process, in ticks since the machine was started.

    The start time tells a process from a later one with the same id. Return `None` if it is not
    known.
    """
    fields = _process_status(pid)
    return fields[19] if fields else None


def has_ended_here(owner: str, host: str, pid: int, start: str | None) -> bool | None:
    """Return `True` if the process of an owner has ended, or `False` if it lives.

    Return `None` for a process of another machine, about which only its heartbeat tells.
    """
    if os.name != "posix" or host != this_host():
        return None
    if pid == os.getpid():
        loop = _local_owners.get(owner)
        return loop is None or loop.is_closed()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # alive, and owned by another user
    fields = _process_status(pid)
    if not fields:
        return False
    is_another = start is not None and fields[19] != start
    return is_another or fields[0] in ("Z", "X")


def _process_status(pid: int) -> list[str]:
    """Return the fields of `/proc/<pid>/stat`, from the state on; none if they are not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()
