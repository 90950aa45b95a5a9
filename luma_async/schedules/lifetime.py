"""Lifetime: how long jobs of one kind take, as learnt from those that have ended. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Self

MEMORY = 40
"""Jobs: what was seen this many jobs ago counts 1/e of what was seen just now, so that a server
that has become slower or quicker is believed after some dozens of jobs."""

PRIOR_JOBS = 2.0
"""How many jobs the expectation counts that a lifetime begins with."""

PRIOR_SPREAD = 1.0
LEAST_SPREAD = 0.05
"""Standard deviations of the logarithm of a duration: expected at first, and believed at least."""

_PRIOR_EVIDENCE = 2.0
_MOST_EVIDENCE_OF_ONE_JOB = 10.0
_FAR = 6.0
"""Standard deviations from which on the tail of the normal distribution is taken as its series."""


@dataclass(slots=True)
class Lifetime:
    """A distribution of durations in seconds: log-normal, or memoryless where that fits better.

    Rendering takes about as long each time, give or take a factor, which is log-normal. A server
    whose jobs wait for a place rather than for work forgets how long they have waited. The two are
    weighed by how well each has foretold the durations so far (prequential likelihood, Dawid,
    "Present position and potential developments", JRSS A 147(2), 1984); old jobs fade.

    >>> Lifetime.expecting(60.0).median
    60.0
    """

    weight: float
    mean_log: float
    squares: float
    total: float
    evidence: float = 0.0
    """Log of how much better the log-normal has foretold than the memoryless distribution."""

    @classmethod
    def expecting(cls, median: float, spread: float = PRIOR_SPREAD) -> Self:
        """Return what is believed before anything is seen."""
        mean = median * math.exp(spread**2 / 2)
        return cls(
            PRIOR_JOBS, math.log(median), PRIOR_JOBS * spread**2, PRIOR_JOBS * mean, evidence=0.0
        )

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the lifetime that `state()` described.

        Raises:
            ValueError: it describes none.

        """
        names = [field.name for field in fields(cls)]
        try:
            values = {name: float(state[name]) for name in names}
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"no lifetime: {error!r}") from None
        positive = (values["weight"], values["total"])
        if not all(map(math.isfinite, values.values())) or min(positive) <= 0:
            raise ValueError("no lifetime: a number is out of range")
        if values["squares"] < 0 or abs(values["mean_log"]) > 100:
            raise ValueError("no lifetime: a number is out of range")
        return cls(**values)

    def state(self) -> dict[str, float]:
        """Return all of it as JSON can carry it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def median(self) -> float:
        """Seconds that half of the jobs take less than."""
        return math.exp(self.mean_log)

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of a duration."""
        return max(math.sqrt(self.squares / self.weight), LEAST_SPREAD)

    @property
    def mean(self) -> float:
        """Seconds that a job takes on average."""
        return self.total / self.weight

    @property
    def memoryless(self) -> float:
        """How far, from 0 to 1, the memoryless distribution is believed in."""
        return 1.0 / (1.0 + math.exp(self.evidence + _PRIOR_EVIDENCE))

    def observe(self, duration: float) -> None:
        """Learn that a job took this many seconds; what is no duration teaches nothing."""
        if not 0.0 < duration < math.inf:
            return
        keep = 1.0 - 1.0 / MEMORY
        log = math.log(duration)
        better = self._log_density(log) - _log_memoryless(duration, self.mean)
        most = _MOST_EVIDENCE_OF_ONE_JOB
        self.evidence = keep * self.evidence + min(max(better, -most), most)
        # West's weighted form of Welford's algorithm (CACM 22(9), 1979).
        self.weight = self.weight * keep + 1.0
        before = log - self.mean_log
        self.mean_log += before / self.weight
        self.squares = self.squares * keep + before * (log - self.mean_log)
        self.total = self.total * keep + duration

    def hazard(self, age: float) -> float:
        """Return the chance a second that a job ends which has not ended by `age` seconds."""
        if age <= 0.0:
            return self.memoryless / self.mean
        spread = self.spread
        deviations = (math.log(age) - self.mean_log) / spread
        rate = _normal_hazard(deviations) / (spread * age)
        alive = (1.0 - self.memoryless) * _normal_survival(deviations)
        alive_memoryless = self.memoryless * math.exp(-age / self.mean)
        if alive + alive_memoryless <= 0.0:
            return rate
        return (alive * rate + alive_memoryless / self.mean) / (alive + alive_memoryless)

    def _log_density(self, log: float) -> float:
        spread = self.spread
        deviations = (log - self.mean_log) / spread
        return -0.5 * deviations**2 - math.log(spread * math.sqrt(2 * math.pi)) - log


def _log_memoryless(duration: float, mean: float) -> float:
    return -duration / mean - math.log(mean)


def _normal_survival(deviations: float) -> float:
    return 0.5 * math.erfc(deviations / math.sqrt(2))


def _normal_hazard(deviations: float) -> float:
    """Return density over survival of the standard normal distribution."""
    if deviations > _FAR:  # both underflow; Mills' ratio to its third term
        return deviations + 1 / deviations - 2 / deviations**3
    density = math.exp(-0.5 * deviations**2) / math.sqrt(2 * math.pi)
    return density / _normal_survival(deviations)
