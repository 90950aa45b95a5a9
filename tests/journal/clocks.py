"""A clock that tests put forward, by which the silence of processes elsewhere is measured."""

from __future__ import annotations

import pytest

from luma_async.journal.sql.owner import DeadOwners


class RunningClock:
    """Seconds that pass only when a test says so, however slow the machine is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        assert DeadOwners.__init__.__kwdefaults__ is not None
        monkeypatch.setitem(DeadOwners.__init__.__kwdefaults__, "clock", lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
