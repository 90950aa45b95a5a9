"""Agenda: what is due when. Pure: no clock inside."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

SLOT = 0.05
"""Seconds of a slot of later things."""

_FAR = 1e12
"""Seconds; what is due later shares a slot."""


class Agenda(Generic[Item]):
    """Things with the moments they are due at: a heap of the next, and slots of time for the rest.

    A heap of everything would be slow for the memory that it touches where there is very much of
    it; a slot is a plain list until its time has come (as in a calendar queue: Brown, CACM 31(10),
    1988). `is_over` tells which of the things need not come up any more; they leave as they are
    met.
    """

    def __init__(self, is_over: Callable[[Item], bool]) -> None:
        self._is_over = is_over
        self._order = itertools.count()
        self._next: list[tuple[float, int, Item]] = []  # a heap
        self._last_of_next = -1  # the number of the latest slot that is in it
        self._slots: dict[int, list[tuple[float, int, Item]]] = {}
        self._numbers: list[int] = []  # a heap of the keys of the slots

    def add(self, item: Item, due: float) -> None:
        """Put a thing on the agenda."""
        entry = (due, next(self._order), item)
        number = int(due / SLOT) if due < _FAR else int(_FAR)
        if number <= self._last_of_next:
            heapq.heappush(self._next, entry)
        elif (slot := self._slots.get(number)) is not None:
            slot.append(entry)
        else:
            self._slots[number] = [entry]
            heapq.heappush(self._numbers, number)

    def next_due(self) -> float | None:
        """Return when the next thing is due; `None` if there is none."""
        while self._next or self._open_slot():
            due, _, item = self._next[0]
            if not self._is_over(item):
                return due
            heapq.heappop(self._next)
        return None

    def take(self, now: float, most: int) -> list[Item]:
        """Take what is due, and up to `most` what is due soonest; nothing if nothing is due."""
        taken: list[Item] = []
        pop, is_over = heapq.heappop, self._is_over
        while len(taken) < most and (self._next or self._open_slot()):
            if not taken and self._next[0][0] > now:
                break
            item = pop(self._next)[2]
            if not is_over(item):
                taken.append(item)
        return taken

    def clear(self) -> None:
        """Strike everything off."""
        self._next.clear()
        self._slots.clear()
        self._numbers.clear()

    def _open_slot(self) -> bool:
        """Make the earliest slot the heap; `False` if there is none."""
        if not self._numbers:
            return False
        self._last_of_next = heapq.heappop(self._numbers)
        self._next = self._slots.pop(self._last_of_next)
        heapq.heapify(self._next)
        return True
