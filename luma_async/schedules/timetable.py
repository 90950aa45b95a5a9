"""Timetable: the ages at which to look at a job, given the distribution of durations. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise

from luma_async.schedules.lifetime import Lifetime

POINTS = 128
"""Number of ages at which the density of looks is computed. Between them it is interpolated."""


class Timetable:
    """Looks at the ages that minimise the sum of lateness and cost of requests.

    The end of a job is noticed at the next look. If one look costs as much as `look_cost` seconds
    of lateness, the optimal density of looks per second, in the limit of many looks, is
    n(t) = √(h(t) / 2·look_cost), where h is the hazard rate (Keller, "Optimum checking schedules
    for systems subject to random failure", Management Science 21(3), 1974). The next look is at the
    age where the integral of n has grown by 1. If a job pays for a fraction p of its request only,
    the next look is where the integral has grown by √p.

    `shortest` and `longest` are the bounds of a delay in seconds.
    """

    __slots__ = ("_ages", "_density", "_longest", "_looks", "_shortest")

    def __init__(
        self, lifetime: Lifetime, look_cost: float, shortest: float, longest: float
    ) -> None:
        self._shortest = shortest
        self._longest = longest

        def density(age: float) -> float:
            return math.sqrt(lifetime.hazard(age) / (2.0 * look_cost))

        # Ages in a geometric series that covers the whole distribution. A memoryless one is wider.
        spread = max(lifetime.spread, 1.0 if lifetime.memoryless > 0.01 else 0.0)
        low = lifetime.median * math.exp(-5.0 * spread)
        ratio = math.exp(9.0 * spread / (POINTS - 2))
        self._ages = [0.0, *(low * ratio**point for point in range(POINTS - 1))]
        densities = [density(age) for age in self._ages]
        self._looks = [0.0]
        for (age, next_age), (here, there) in zip(
            pairwise(self._ages), pairwise(densities), strict=True
        ):
            self._looks.append(self._looks[-1] + (next_age - age) * (here + there) / 2.0)
        self._density = densities[-1]

    def next_delay(self, age: float, step: float = 1.0) -> float:
        """Return the seconds until the integral of the density has grown by `step`."""
        delay = self._delay(age, step)
        if delay < self._shortest:  # quicker than `max()` on this hot way
            return self._shortest
        return min(delay, self._longest)

    def _delay(self, age: float, step: float) -> float:
        ages, looks = self._ages, self._looks
        after = bisect_right(ages, age)
        if after == POINTS:
            return step / self._density
        before = after - 1
        part = (age - ages[before]) / (ages[after] - ages[before])
        looks_until = looks[before] + part * (looks[after] - looks[before]) + step
        after = bisect_left(looks, looks_until, after)
        if after == POINTS:
            return ages[-1] + (looks_until - looks[-1]) / self._density - age
        before = after - 1
        part = (looks_until - looks[before]) / (looks[after] - looks[before])
        return ages[before] + part * (ages[after] - ages[before]) - age
