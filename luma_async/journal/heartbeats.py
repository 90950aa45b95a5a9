"""Heartbeats: who of those that were submitting is dead, and who only silent."""

from __future__ import annotations

from sqlalchemy import RowMapping

from luma_async.journal.owner import is_gone, running_time


class Heartbeats:
    """Judges the owners of submissions by what several looks at their heartbeats tell.

    The silence of an owner is by the database's clock, which may be set at any moment: for all its
    beats, everybody seems silent then. So an owner elsewhere counts as dead only if its heartbeat
    stood still, by a clock of this machine, for long enough to hold two beats as well. A process of
    this machine that lives is not dead, however silent: it may have been stopped, and go on.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._seen: dict[str, tuple[float, float]] = {}
        self._decided_in = 0.0

    def decided_in(self) -> float:
        """Return the seconds until all is known of the owners looked at since this was asked."""
        seconds, self._decided_in = self._decided_in, 0.0
        return seconds

    def is_dead(self, row: RowMapping) -> bool:
        """Whether the owner of a row is dead, as far as this look tells."""
        if row["silence"] is None:
            return True  # it left for good
        gone = is_gone(row["owner"], row["host"], row["pid"], row["start"])
        still = self._stood_still(row["owner"], row["heartbeat"])
        if gone is not None or 0 <= row["silence"] <= self._timeout:
            return bool(gone)
        left = self._timeout / 2 - still
        self._decided_in = max(self._decided_in, left)
        return left <= 0

    def complaint(self, row: RowMapping) -> str | None:
        """Return what is wrong with an owner that lives, and what to do about it."""
        still = self._stood_still(row["owner"], row["heartbeat"])
        if still <= self._timeout:
            return None
        return (
            f"Process {row['pid']} of this machine is submitting it, and has been silent for "
            f"{still:.0f} s. Let it go on, if it was stopped (kill -CONT {row['pid']}), or end it"
        )

    def _stood_still(self, owner: str, heartbeat: float) -> float:
        now = running_time()
        seen, since = self._seen.get(owner, (None, now))
        if seen != heartbeat:
            since = now
        self._seen[owner] = heartbeat, since
        return now - since
