"""Lateness of poll schedules and the optimum, computed numerically for one job without a gateway.

The end of a job is noticed at the first look after it. For a sequence of ages at which to look, the
expected number of looks and the expected lateness follow from the distribution of durations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ages = NDArray[np.float64]


class Distribution(Protocol):
    """Protocol of distributions of job durations in seconds."""

    @property
    def mean(self) -> float:
        """Mean duration."""

    def survival(self, age: float) -> float:
        """Return the probability that a job takes longer than `age`."""

    def quantile(self, part: float) -> float:
        """Return the age by which a given fraction of the jobs has ended."""

    def draw(self, chance: np.random.Generator) -> float:
        """Return the duration of one job."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal distribution; `sigma` is the standard deviation of the logarithm."""

    sigma: float
    median: float = 60.0

    @property
    def mean(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)

    def survival(self, age: float) -> float:
        if age <= 0:
            return 1.0
        return 0.5 * math.erfc(math.log(age / self.median) / (self.sigma * math.sqrt(2)))

    def quantile(self, part: float) -> float:
        low, high = (
            self.median * math.exp(-10 * self.sigma),
            self.median * math.exp(10 * self.sigma),
        )
        for _ in range(100):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if 1 - self.survival(middle) < part else (low, middle)
        return high

    def draw(self, chance: np.random.Generator) -> float:
        return float(self.median * math.exp(chance.normal(0.0, self.sigma)))


@dataclass(frozen=True, slots=True)
class Memoryless:
    """Exponential distribution: a running job takes `mean` more seconds at any age."""

    mean: float = 60.0

    def survival(self, age: float) -> float:
        return math.exp(-max(age, 0.0) / self.mean)

    def quantile(self, part: float) -> float:
        return -self.mean * math.log1p(-part)

    def draw(self, chance: np.random.Generator) -> float:
        return float(chance.exponential(self.mean))


@dataclass(frozen=True, slots=True)
class Cost:
    """Expected number of looks at a job, and expected lateness in seconds."""

    looks: float
    lateness: float


def ages_of(next_delay: Callable[[float, int], float], until: float) -> list[float]:
    """Return the ages at which a poll schedule looks at a job."""
    ages: list[float] = []
    age = 0.0
    while age < until:
        age += next_delay(age, len(ages))
        ages.append(age)
    return ages


def cost(ages: Sequence[float], durations: Distribution) -> Cost:
    """Return the cost of looking at given ages."""
    alive = [durations.survival(age) for age in (0.0, *ages)]
    seen = sum(
        age * (before - after) for age, (before, after) in zip(ages, pairwise(alive), strict=True)
    )
    late = seen + ages[-1] * alive[-1] - durations.mean
    return Cost(float(sum(alive[:-1])), float(late))


def frontier(durations: Distribution) -> list[Cost]:
    """Return the minimum lateness for several numbers of looks, by dynamic programming."""
    near = [durations.quantile(part) for part in np.linspace(1e-5, 0.99, 1200)]
    far = [durations.quantile(1 - part) for part in np.geomspace(0.0099, 1e-7, 500)]
    grid = np.array([0.0, *near, *far])
    alive = np.array([durations.survival(age) for age in grid])
    best = [cost(_best(grid, alive, price), durations) for price in np.geomspace(0.03, 10, 16)]
    return sorted(best, key=lambda each: each.looks)


def _best(grid: Ages, alive: Ages, price: float) -> list[float]:
    """Return the optimal ages if a look costs as much as `price` seconds of lateness."""
    last = len(grid) - 1
    least = np.zeros(len(grid))
    following = np.zeros(len(grid), dtype=int)
    for here in range(last - 1, -1, -1):
        later = slice(here + 1, None)
        total = price * alive[here] + grid[later] * (alive[here] - alive[later]) + least[later]
        chosen = int(np.argmin(total))
        least[here] = total[chosen]
        following[here] = here + 1 + chosen
    ages: list[float] = []
    place = 0
    while place < last:
        place = int(following[place])
        ages.append(float(grid[place]))
    return ages


def lateness_at(looks: float, best: Sequence[Cost]) -> float:
    """Return the minimum lateness for a number of looks, by interpolation."""
    return float(
        np.exp(
            np.interp(
                math.log(looks),
                [math.log(each.looks) for each in best],
                [math.log(each.lateness) for each in best],
            )
        )
    )


def lateness_at_interval(looks: float, durations: Distribution) -> float:
    """Return the lateness of a fixed interval with the same expected number of looks."""
    low, high = durations.mean / (looks * 10), durations.mean * 20
    until = durations.quantile(1 - 1e-7)
    for _ in range(50):
        interval = math.sqrt(low * high)
        found = cost(list(np.arange(interval, until + interval, interval)), durations)
        low, high = (interval, high) if found.looks > looks else (low, interval)
    return found.lateness
