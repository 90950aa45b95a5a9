"""Timetable: at which ages a job is looked at, from how long jobs take. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import pairwise

from luma_async.tasks.lifetime import Lifetime

POINTS = 128
"""Ages at which the density is computed; between them it is taken as even."""


class Timetable:
    """Looks placed so that lateness and looks together cost the least.

    A job's end is noticed at the next look. If one look is worth `look_cost` seconds of lateness,
    looks at the density n(t) = √(h(t) / 2·look_cost) a second are the best in the limit of many,
    h being the hazard rate (Keller, "Optimum checking schedules for systems subject to random
    failure", Management Science 21(3), 1974); the next look is where its integral has grown by 1.
    A request that carries several jobs shares its cost among them.
    """

    __slots__ = ("_ages", "_density", "_looks")

    def __init__(self, lifetime: Lifetime, look_cost: float) -> None:
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

    def next_delay(self, age: float, sharing: int = 1) -> float:
        """Return seconds until the next look at a job that is `age` seconds old.

        `sharing` is how many jobs are looked at with one request.
        """
        return max(self._age_at(self._looks_by(age) + 1.0 / math.sqrt(sharing)) - age, 0.0)

    def _looks_by(self, age: float) -> float:
        """Return how many looks belong before an age."""
        after = bisect_right(self._ages, age)
        if after == POINTS:
            return self._looks[-1] + (age - self._ages[-1]) * self._density
        before = after - 1
        part = (age - self._ages[before]) / (self._ages[after] - self._ages[before])
        return self._looks[before] + part * (self._looks[after] - self._looks[before])

    def _age_at(self, looks: float) -> float:
        """Return the age before which so many looks belong."""
        after = bisect_left(self._looks, looks)
        if after == POINTS:
            return self._ages[-1] + (looks - self._looks[-1]) / self._density
        before = after - 1
        part = (looks - self._looks[before]) / (self._looks[after] - self._looks[before])
        return self._ages[before] + part * (self._ages[after] - self._ages[before])
