"""Heartbeats: telling dead owners of submissions from silent ones."""

from __future__ import annotations

from sqlalchemy import RowMapping

from luma_async.journal.sql.owner import is_gone, running_time


class Heartbeats:
    """Detector of dead owners, based on repeated readings of their heartbeats.

    The silence of an owner is measured by the clock of the database. That clock may be set at any
    moment, and then every owner seems silent, however regular its heartbeat. So an owner on another
    machine counts as dead only if its heartbeat has also stayed the same, by a clock of this
    machine, for long enough to contain two beats. A live process of this machine is never dead,
    however silent it is: it may have been suspended, and may continue.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._seen: dict[str, tuple[float, float]] = {}
        self._decided_in = 0.0

    def decided_in(self) -> float:
        """Return the seconds until all owners that were checked since the last call are decided."""
        seconds, self._decided_in = self._decided_in, 0.0
        return seconds

    def is_dead(self, row: RowMapping) -> bool:
        """Return `True` if the owner of a row is dead, as far as is known by now."""
        if row["silence"] is None:
            return True  # the owner has left
        gone = is_gone(row["owner"], row["host"], row["pid"], row["start"])
        still = self._stood_still(row["owner"], row["heartbeat"])
        if gone is not None or 0 <= row["silence"] <= self._timeout:
            return bool(gone)
        left = self._timeout / 2 - still
        self._decided_in = max(self._decided_in, left)
        return left <= 0

    def complaint(self, row: RowMapping) -> str | None:
        """Describe the problem with a silent live owner and the next step, or return `None`."""
        still = self._stood_still(row["owner"], row["heartbeat"])
        if still <= self._timeout:
            return None
        return (
            f"Process {row['pid']} of this machine is submitting it, and has been silent for "
            f"{still:.0f} s. Continue that process if it was suspended (kill -CONT {row['pid']}), "
            "or end it"
        )

    def _stood_still(self, owner: str, heartbeat: float) -> float:
        now = running_time()
        seen, since = self._seen.get(owner, (None, now))
        if seen != heartbeat:
            since = now
        self._seen[owner] = heartbeat, since
        return now - since
