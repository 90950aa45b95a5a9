"""Timetable: at which ages a job is looked at, from how long jobs take. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise

from luma_async.schedules.lifetime import Lifetime

POINTS = 128
"""Ages at which the density is computed; between them it is taken as even."""


class Timetable:
    """Looks placed so that lateness and looks together cost the least.

    A job's end is noticed at the next look. If one look is worth `look_cost` seconds of lateness,
    looks at the density n(t) = √(h(t) / 2·look_cost) a second are the best in the limit of many,
    h being the hazard rate (Keller, "Optimum checking schedules for systems subject to random
    failure", Management Science 21(3), 1974); the next look is where its integral has grown by 1.
    A job that has to pay for a part p of its request only is looked at where the integral has
    grown by √p. `shortest` and `longest` are the bounds of a delay in seconds.
    """

    __slots__ = ("_ages", "_density", "_longest", "_looks", "_shortest")

    def __init__(
        self, lifetime: Lifetime, look_cost: float, shortest: float, longest: float
    ) -> None:
        self._shortest = shortest
        self._longest = longest

        def density(age: float) -> float:
            return math.sqrt(lifetime.hazard(age) / (2.0 * look_cost))

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
        """Return seconds until the integral of the density has grown by `step`."""
        delay = self._delay(age, step)
        if delay < self._shortest:
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
