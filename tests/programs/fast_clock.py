"""Run a program, given by its path, with event loops whose clocks are ten times as fast.

A server without estimates is asked rarely at first, so that a job of a moment takes many seconds.
"""

from __future__ import annotations

import asyncio
import runpy
import selectors
import sys

SPEED = 10


class _FastSelector(selectors.DefaultSelector):
    """Selector whose timeouts are those of the fast clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]]
        found = super().select(None if timeout is None else timeout / SPEED)
        return found


class _FastLoop(asyncio.SelectorEventLoop):
    """Event loop whose timers end early, as do the timeouts of requests."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


if __name__ == "__main__":
    asyncio.events.new_event_loop = _FastLoop  # policies of event loops are deprecated since 3.14
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
