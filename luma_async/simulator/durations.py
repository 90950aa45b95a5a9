"""How long jobs take."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Protocol


class Durations(Protocol):
    """A distribution of job durations in simulated seconds."""

    def draw(self, chance: random.Random) -> float:
        """Return how long one job takes."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every job takes this long."""

    seconds: float

    def draw(self, chance: random.Random) -> float:  # noqa: ARG002
        return self.seconds


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Half of the jobs take less than `median` seconds; `sigma` is the spread of the logarithm."""

    median: float = 60.0
    sigma: float = 0.35

    def draw(self, chance: random.Random) -> float:
        return self.median * math.exp(chance.gauss(0.0, self.sigma))


@dataclass(frozen=True, slots=True)
class Exponential:
    """Memoryless: however long a job has run, it takes `mean` seconds more on average."""

    mean: float = 60.0

    def draw(self, chance: random.Random) -> float:
        return chance.expovariate(1 / self.mean)
