"""Durations: probability distributions of the time that simulated jobs take."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol


class Durations(Protocol):
    """Protocol of distributions of job durations in simulated seconds."""

    def draw(self, chance: random.Random) -> float:
        """Return the duration of one job."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Fixed duration in seconds: each job takes equally long."""

    seconds: float

    def draw(self, chance: random.Random) -> float:  # noqa: ARG002
        """Return the fixed duration."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal distribution; `sigma` is the standard deviation of the logarithm."""

    median: float = 60.0
    sigma: float = 0.35

    def draw(self, chance: random.Random) -> float:
        """Return a random duration around the median."""
        return self.median * math.exp(chance.gauss(0.0, self.sigma))


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential distribution: a running job takes `mean` more seconds at any age."""

    mean: float = 60.0

    def draw(self, chance: random.Random) -> float:
        """Return a random duration with the given mean."""
        return chance.expovariate(1 / self.mean)


def distribution_of(durations: Durations | float) -> Durations:
    """Return a distribution as it is, and for a number the distribution that draws nothing else.

    Raises:
        ValueError: the value is neither a distribution nor a possible duration.

    """
    if isinstance(durations, int | float):
        if 0 <= durations < math.inf:
            return Fixed(durations)
    elif hasattr(durations, "draw"):
        return durations
    raise ValueError(
        f"durations: must be seconds, or a distribution such as LogNormal(60), got {durations!r}"
    )
