"""Agenda: a priority queue of items by the time when they are due. Pure: it has no clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

SLOT = 0.05
"""Length in seconds of one time slot."""

_LAST_SLOT_STARTS = 1e12
"""Time in seconds from which on all items share one slot, so that infinity is a valid time."""


class Agenda(Generic[Item]):
    """Queue of items by due time: a heap for the current slot, and unsorted slots for the rest.

    With very many items, one heap of them all would be slow, because each operation touches
    memory all over it. Here a slot is a plain list until its time has come, as in a calendar queue
    (Brown, CACM 31(10), 1988). Items for which `is_over` is true are dropped when they are reached.
    """

    def __init__(self, is_over: Callable[[Item], bool]) -> None:
        self._is_over = is_over
        self._order = itertools.count()
        self._next: list[tuple[float, int, Item]] = []  # a heap
        self._opened = -1  # number of the latest slot that was moved to the heap
        self._slots: dict[int, list[tuple[float, int, Item]]] = {}
        self._numbers: list[int] = []  # a heap of the keys of `_slots`

    def add(self, item: Item, due: float) -> None:
        """Add an item that is due at a given time."""
        entry = (due, next(self._order), item)  # the order decides between equal times
        number = int(due / SLOT) if due < _LAST_SLOT_STARTS else int(_LAST_SLOT_STARTS)
        if number <= self._opened:
            heapq.heappush(self._next, entry)
        elif (slot := self._slots.get(number)) is not None:
            slot.append(entry)
        else:
            self._slots[number] = [entry]
            heapq.heappush(self._numbers, number)

    def remove(self, item: Item, due: float) -> bool:
        """Remove an item that was added with this time, and return `False` if it is not there.

        This is slower than the other methods: it searches the slot of that time.
        """
        number = int(due / SLOT) if due < _LAST_SLOT_STARTS else int(_LAST_SLOT_STARTS)
        is_open = number <= self._opened
        entries = self._next if is_open else self._slots.get(number, [])
        for index, entry in enumerate(entries):
            if entry[2] is item:
                del entries[index]
                if is_open:
                    heapq.heapify(entries)
                elif not entries:  # each number in the heap has a slot with items
                    del self._slots[number]
                    self._numbers.remove(number)
                    heapq.heapify(self._numbers)
                return True
        return False

    def next_due(self) -> float | None:
        """Return the time at which the next item is due, or `None` if there is no item."""
        while self._next or self._open_slot():
            due, _, item = self._next[0]
            if not self._is_over(item):
                return due
            heapq.heappop(self._next)
        return None

    def take(self, now: float, most: int) -> list[Item]:
        """Remove and return up to `most` items in order of their time, if the first one is due.

        The items that follow need not be due: they fill a batch that is sent anyway.
        """
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
        """Remove all items."""
        self._next.clear()
        self._slots.clear()
        self._numbers.clear()

    def _open_slot(self) -> bool:
        """Move the earliest slot to the empty heap, and return `False` if there is no slot."""
        if not self._numbers:
            return False
        self._opened = heapq.heappop(self._numbers)
        self._next = self._slots.pop(self._opened)
        heapq.heapify(self._next)
        return True
