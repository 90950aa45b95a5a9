"""AdaptiveSchedule: looks where jobs end, as learnt from those that have ended. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from luma_async.errors import ConfigurationError
from luma_async.schedules.lifetime import PRIOR_SPREAD, Lifetime
from luma_async.schedules.timetable import Timetable

logger = logging.getLogger("luma_async")

MOST_KINDS = 200
"""Kinds of request that are learnt apart; further ones are taken together."""

SHARE_OF_ITS_OWN = 0.01
"""What a job adds to the cost of the request that it shares: its row is written, sent and read."""

ALIKE = 0.01
"""Jobs whose ages differ by no more than this part of a delay are given the same delay."""

EVERY_KIND = ""
"""The kind that every job teaches."""


class AdaptiveSchedule:
    """Learns how long jobs take, and looks most where they are most likely to end.

    >>> schedule = AdaptiveSchedule(look_cost=0.25)
    >>> for duration in (55, 60, 65, 58, 61, 70, 52, 63):
    ...     schedule.observe(duration)
    >>> 30 < schedule.next_delay(age=0, looks=0) < 60    # nothing to be seen before
    True
    >>> schedule.next_delay(age=60, looks=2) < 10
    True

    Args:
        look_cost: how many seconds of lateness one request is worth. With half of it the lateness
            is about 0.7 times what it was, and the requests 1.4 times.
        shortest, longest: seconds between two looks at a job, whatever was learnt.
        expected: seconds that half of the jobs take less than, until something was learnt.
        learned: what `learned()` of an earlier schedule returned.

    Raises:
        ConfigurationError: a setting makes no sense, or `learned` is no such thing.

    """

    def __init__(
        self,
        look_cost: float = 0.25,
        *,
        shortest: float = 1.0,
        longest: float = 30.0,
        expected: float = 60.0,
        learned: Mapping[str, Any] | None = None,
    ) -> None:
        if not (0 < look_cost < math.inf and 0 < shortest <= longest < math.inf):
            raise ConfigurationError(
                "AdaptiveSchedule: look_cost, shortest and longest must be seconds above 0, and "
                "shortest at most longest."
            )
        if not 1e-3 <= expected <= 1e6:
            raise ConfigurationError("AdaptiveSchedule: expected must be seconds above 0.")
        self.look_cost = look_cost
        self.shortest = shortest
        self.longest = longest
        self._kinds = {EVERY_KIND: self._begin(Lifetime.expecting(expected))}
        for kind, state in (learned or {}).items():
            try:
                self._kind(kind).recall(Lifetime.from_state(state))
            except ValueError as error:
                raise ConfigurationError(f"AdaptiveSchedule: learned[{kind!r}]: {error}.") from None

    def __repr__(self) -> str:
        lifetime = self._kinds[EVERY_KIND].lifetime
        return (
            f"AdaptiveSchedule(look_cost={self.look_cost:g}) that expects "
            f"{lifetime.median:.3g} s, give or take a factor of {math.exp(lifetime.spread):.2g}"
        )

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        """Return how long to wait for the next look at a job of unknown kind, looked at alone."""
        return self.for_jobs(EVERY_KIND, 1).next_delay(age, 0)

    def observe(self, duration: float) -> None:
        """Learn that a job of unknown kind took this long."""
        self._kinds[EVERY_KIND].observe(duration)

    def for_jobs(self, kind: str, sharing: int) -> ScheduleOfKind:
        """Return the schedule of jobs of one kind, `sharing` of which are in each request.

        A kind that has not been seen begins with what all kinds together have taught.
        """
        return ScheduleOfKind(self, self._kind(kind), sharing)

    def learned(self) -> dict[str, dict[str, float]]:
        """Return what was learnt, as JSON can carry it, for `learned` of a later schedule."""
        return {name: kind.lifetime.state() for name, kind in self._kinds.items()}

    def recall(self, learned: Mapping[str, Any]) -> None:
        """Take in what `learned()` of an earlier schedule returned, of kinds new to this one.

        What is no such thing is passed over.
        """
        for name, state in learned.items():
            try:
                lifetime = Lifetime.from_state(state)
            except ValueError:
                logger.warning("What was learned of %r is no lifetime: learning it anew.", name)
            else:
                self._kind(name).recall(lifetime)

    def _kind(self, name: str) -> _Kind:
        found = self._kinds.get(name)
        if found is None:
            if len(self._kinds) >= MOST_KINDS:
                return self._kinds[EVERY_KIND]
            known = self._kinds[EVERY_KIND].lifetime
            expected = Lifetime.expecting(known.median, max(known.spread, PRIOR_SPREAD))
            found = self._kinds[name] = self._begin(expected)
        return found

    def _begin(self, lifetime: Lifetime) -> _Kind:
        return _Kind(lifetime, self.look_cost, self.shortest, self.longest)

    def _observe(self, kind: _Kind, duration: float) -> None:
        kind.observe(duration)
        if kind is not self._kinds[EVERY_KIND]:
            self._kinds[EVERY_KIND].observe(duration)


class ScheduleOfKind:
    """An `AdaptiveSchedule` as it is for some jobs."""

    __slots__ = ("_age", "_delay", "_kind", "_schedule", "_step", "_timetable")

    def __init__(self, schedule: AdaptiveSchedule, kind: _Kind, sharing: int) -> None:
        self._schedule = schedule
        self._kind = kind
        self._step = math.sqrt((1.0 - SHARE_OF_ITS_OWN) / sharing + SHARE_OF_ITS_OWN)
        self._timetable: Timetable | None = None
        self._age = self._delay = 0.0

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        """Return how long to wait for the next look."""
        timetable = self._kind.timetable
        if timetable is self._timetable and abs(age - self._age) <= ALIKE * self._delay:
            return self._delay
        self._timetable, self._age = timetable, age
        self._delay = timetable.next_delay(age, self._step)
        return self._delay

    def observe(self, duration: float) -> None:
        """Learn that one of these jobs took this long."""
        self._schedule._observe(self._kind, duration)  # noqa: SLF001


class _Kind:
    """What was learnt of one kind of request, and the timetable that follows from it."""

    __slots__ = ("_basis", "_is_taught", "_settings", "lifetime", "timetable")

    def __init__(self, lifetime: Lifetime, *settings: float) -> None:
        self.lifetime = lifetime
        self._is_taught = False
        self._settings = settings
        self._draw_up()

    def recall(self, lifetime: Lifetime) -> None:
        if not self._is_taught:
            self.lifetime = lifetime
            self._is_taught = True
            self._draw_up()

    def observe(self, duration: float) -> None:
        self.lifetime.observe(duration)
        self._is_taught = True
        if self._has_moved():
            self._draw_up()

    def _has_moved(self) -> bool:
        """Whether a new timetable would be another one; drawing it up takes a while."""
        mean_log, spread, memoryless = self._basis
        now = self.lifetime
        return (
            abs(now.mean_log - mean_log) > 0.1 * spread
            or abs(now.spread - spread) > 0.1 * spread
            or abs(now.memoryless - memoryless) > 0.05
        )

    def _draw_up(self) -> None:
        now = self.lifetime
        self._basis = (now.mean_log, now.spread, now.memoryless)
        self.timetable = Timetable(now, *self._settings)
