"""AdaptiveSchedule: a poll schedule that learns how long jobs take. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from luma_async.errors import ConfigurationError
from luma_async.positive_numbers import is_number
from luma_async.schedules.lifetime import PRIOR_SPREAD, Lifetime
from luma_async.schedules.timetable import Timetable

logger = logging.getLogger("luma_async")

MAX_KINDS = 200
"""Maximum number of kinds of request that are learned separately. Further kinds share one state,
because the names of models may come from anywhere."""

COST_OF_A_ROW = 0.01
"""Cost of one more job in a status request, as a fraction of the request's cost."""

TOLERANCE = 0.01
"""Difference of ages, as a fraction of the delay, up to which jobs are given the same delay. The
jobs of a batch have about the same age, and so the delay is computed only once."""

EVERY_KIND = ""
"""Name of the kind that learns from all jobs."""


class AdaptiveSchedule:
    """Poll schedule that learns how long jobs take, and looks most often when they are due to end.

    >>> schedule = AdaptiveSchedule(look_cost=0.25)
    >>> for duration in (55, 60, 65, 58, 61, 70, 52, 63):
    ...     schedule.observe(duration)
    >>> 30 < schedule.next_delay(age=0, looks=0) < 60    # no job ends before
    True
    >>> schedule.next_delay(age=60, looks=2) < 10
    True

    Args:
        look_cost: cost of one request, in seconds of lateness. Half of it gives about 0.7 times
            the lateness and 1.4 times the requests.
        shortest, longest: minimum and maximum delay between two looks at a job, in seconds.
        expected: expected median duration of jobs in seconds, until durations are learned.
        learned: state that `learned()` of an earlier schedule returned.

    Raises:
        ConfigurationError: a setting is out of range, or `learned` is not a valid state.

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
        are_numbers = all(map(is_number, (look_cost, shortest, longest)))
        if not (are_numbers and 0 < look_cost < math.inf and 0 < shortest <= longest < math.inf):
            raise ConfigurationError(
                "AdaptiveSchedule: look_cost, shortest and longest must be more than 0 seconds, "
                f"and shortest at most longest, got {look_cost!r}, {shortest!r} and {longest!r}."
            )
        if not (is_number(expected) and 1e-3 <= expected <= 1e6):
            raise ConfigurationError(
                f"AdaptiveSchedule: expected must be 0.001 to 1,000,000 seconds, got {expected!r}."
            )
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
        """Return the delay before the next look at a single job of unknown kind."""
        return self.for_jobs(EVERY_KIND, 1).next_delay(age, 0)

    def observe(self, duration: float) -> None:
        """Learn the duration of a job of unknown kind."""
        self._kinds[EVERY_KIND].observe(duration)

    def for_jobs(self, kind: str, sharing: int) -> ScheduleOfKind:
        """Return the schedule of jobs of one kind, with `sharing` jobs in each status request.

        A new kind begins with the durations that were learned from all kinds.
        """
        return ScheduleOfKind(self, self._kind(kind), sharing)

    def quantile(self, share: float) -> float:
        """Return the duration in seconds that about a `share` of the jobs do not exceed.

        That is the duration of the kind of request whose jobs take longest.
        """
        return max(kind.lifetime.quantile(share) for kind in self._kinds.values())

    def learned(self) -> dict[str, dict[str, float]]:
        """Return the learned state as a JSON object, for the argument `learned`."""
        return {name: kind.lifetime.state() for name, kind in self._kinds.items()}

    def recall(self, learned: Mapping[str, Any]) -> None:
        """Restore the state that `learned()` of an earlier schedule returned.

        Kinds that this schedule has already learned are not changed. Invalid states are ignored.
        """
        for name, state in learned.items():
            try:
                lifetime = Lifetime.from_state(state)
            except ValueError:
                logger.warning("The state of %r is not a valid lifetime; it is learned anew.", name)
            else:
                self._kind(name).recall(lifetime)

    def _kind(self, name: str) -> _Kind:
        found = self._kinds.get(name)
        if found is None:
            if len(self._kinds) >= MAX_KINDS:
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
    """Part of an `AdaptiveSchedule` for jobs of one kind that share their status requests."""

    __slots__ = ("_age", "_delay", "_kind", "_schedule", "_step", "_timetable")

    def __init__(self, schedule: AdaptiveSchedule, kind: _Kind, sharing: int) -> None:
        self._schedule = schedule
        self._kind = kind
        self._step = math.sqrt((1.0 - COST_OF_A_ROW) / sharing + COST_OF_A_ROW)
        self._timetable: Timetable | None = None
        self._age = self._delay = 0.0

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        """Return the delay before the next look."""
        timetable = self._kind.timetable
        if timetable is self._timetable and abs(age - self._age) <= TOLERANCE * self._delay:
            return self._delay
        self._timetable, self._age = timetable, age
        self._delay = timetable.next_delay(age, self._step)
        return self._delay

    def observe(self, duration: float) -> None:
        """Learn the duration of one of these jobs."""
        self._schedule._observe(self._kind, duration)  # noqa: SLF001


class _Kind:
    """Learned durations of one kind of request, and the timetable that follows from them."""

    __slots__ = ("_basis", "_has_learned", "_settings", "lifetime", "timetable")

    def __init__(self, lifetime: Lifetime, *settings: float) -> None:
        self.lifetime: Lifetime = lifetime
        self._has_learned = False
        self._settings = settings
        self._update_timetable()

    def recall(self, lifetime: Lifetime) -> None:
        if not self._has_learned:
            self.lifetime = lifetime
            self._has_learned = True
            self._update_timetable()

    def observe(self, duration: float) -> None:
        self.lifetime.observe(duration)
        self._has_learned = True
        if self._is_outdated():
            self._update_timetable()

    def _is_outdated(self) -> bool:
        """Return `True` if the timetable is out of date.

        Small changes of the durations are ignored, because computing a timetable is slow.
        """
        mean_log, spread, memoryless = self._basis
        now = self.lifetime
        return (
            abs(now.mean_log - mean_log) > 0.1 * spread
            or abs(now.spread - spread) > 0.1 * spread
            or abs(now.memoryless - memoryless) > 0.05
        )

    def _update_timetable(self) -> None:
        now = self.lifetime
        self._basis = (now.mean_log, now.spread, now.memoryless)
        self.timetable: Timetable = Timetable(now, *self._settings)
