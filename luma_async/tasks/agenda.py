"""Agenda: what is due when. Pure: no clock inside."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Agenda(Generic[Item]):
    """A heap of things with the moments they are due at.

    `is_over` tells which of them need not come up any more; they leave as they are met.
    """

    def __init__(self, is_over: Callable[[Item], bool]) -> None:
        self._is_over = is_over
        self._heap: list[tuple[float, int, Item]] = []
        self._order = itertools.count()

    def add(self, item: Item, due: float) -> None:
        """Put a thing on the agenda."""
        heapq.heappush(self._heap, (due, next(self._order), item))

    def next_due(self) -> float | None:
        """Return when the next thing is due; `None` if there is none."""
        heap = self._heap
        while heap and self._is_over(heap[0][2]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now: float, most: int) -> list[Item]:
        """Take what is due, and up to `most` what is due soonest; nothing if nothing is due."""
        taken: list[Item] = []
        heap, pop, is_over = self._heap, heapq.heappop, self._is_over
        while heap and len(taken) < most and (taken or heap[0][0] <= now):
            item = pop(heap)[2]
            if not is_over(item):
                taken.append(item)
        return taken

    def clear(self) -> None:
        """Strike everything off."""
        self._heap.clear()
