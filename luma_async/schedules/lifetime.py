"""Lifetime: the distribution of job durations, learned from finished jobs. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any, Self

MEMORY = 40
"""Number of jobs after which an observation has 1/e of its first weight. So a change of the
server's speed is learned from some dozens of jobs."""

PRIOR_JOBS = 2.0
"""Weight of the initial expectation, as a number of jobs."""

PRIOR_SPREAD = 1.0
MIN_SPREAD = 0.05
"""Standard deviation of the logarithm of a duration: the initial value, and the minimum. With a
smaller one, a few equal durations would leave no looks for a job that takes longer."""

_PRIOR_EVIDENCE = 2.0
"""Initial evidence for the log-normal distribution, as a natural logarithm of odds."""

_MAX_EVIDENCE_PER_JOB = 10.0
"""Maximum change of the evidence by one job, so that an outlier does not decide for good."""

_TAIL = 6.0
"""Standard deviations from which on an asymptotic series gives the hazard."""


@dataclass(slots=True)
class Lifetime:
    """Distribution of durations in seconds: a mixture of a log-normal and an exponential one.

    Rendering times are about log-normal. If jobs mostly wait in a queue, their durations are about
    exponential: memoryless. The two are weighted by how well each has predicted the durations so
    far (prequential likelihood: Dawid, "Present position and potential developments", JRSS A
    147(2), 1984). The weight of old jobs decays.

    >>> Lifetime.expecting(60.0).median
    60.0
    """

    weight: float
    mean_log: float
    squares: float
    total: float
    evidence: float = 0.0
    """Logarithm of the likelihood ratio of the log-normal and the memoryless distribution."""

    @classmethod
    def expecting(cls, median: float, spread: float = PRIOR_SPREAD) -> Self:
        """Return the initial expectation, from a median in seconds."""
        mean = median * math.exp(spread**2 / 2)
        return cls(
            PRIOR_JOBS, math.log(median), PRIOR_JOBS * spread**2, PRIOR_JOBS * mean, evidence=0.0
        )

    @classmethod
    def from_state(cls, state: Any) -> Self:
        """Return the lifetime with a state that `state()` returned.

        Raises:
            ValueError: the state is not valid.

        """
        names = [field.name for field in fields(cls)]
        try:
            values = {name: float(state[name]) for name in names}
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"not a valid lifetime: {error!r}") from None
        positive = (values["weight"], values["total"])
        if not all(map(math.isfinite, values.values())) or min(positive) <= 0:
            raise ValueError("not a valid lifetime: a number is out of range")
        if values["squares"] < 0 or abs(values["mean_log"]) > 100:
            raise ValueError("not a valid lifetime: a number is out of range")
        return cls(**values)

    def state(self) -> dict[str, float]:
        """Return the state as a JSON object, for `from_state()`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def median(self) -> float:
        """Median duration in seconds."""
        return math.exp(self.mean_log)

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of a duration."""
        return max(math.sqrt(self.squares / self.weight), MIN_SPREAD)

    @property
    def mean(self) -> float:
        """Mean duration in seconds."""
        return self.total / self.weight

    @property
    def memoryless(self) -> float:
        """Weight of the memoryless distribution, from 0 to 1."""
        return 1.0 / (1.0 + math.exp(self.evidence + _PRIOR_EVIDENCE))

    def quantile(self, share: float) -> float:
        """Return the duration in seconds that about a `share` of the jobs do not exceed.

        >>> round(Lifetime.expecting(60.0).quantile(0.99))
        614
        """
        if self.memoryless > 0.5:  # the likelier of the two is enough
            return -self.mean * math.log(1.0 - share)
        return math.exp(self.mean_log + self.spread * NormalDist().inv_cdf(share))

    def observe(self, duration: float) -> None:
        """Learn the duration of a job in seconds. A value that is not a duration is ignored."""
        if not 0.0 < duration < math.inf:
            return
        keep = 1.0 - 1.0 / MEMORY
        log = math.log(duration)
        better = self._log_density(log) - _log_memoryless(duration, self.mean)
        most = _MAX_EVIDENCE_PER_JOB
        self.evidence = keep * self.evidence + min(max(better, -most), most)
        # West's weighted form of Welford's algorithm (CACM 22(9), 1979).
        self.weight = self.weight * keep + 1.0
        before = log - self.mean_log
        self.mean_log += before / self.weight
        self.squares = self.squares * keep + before * (log - self.mean_log)
        self.total = self.total * keep + duration

    def hazard(self, age: float) -> float:
        """Return the hazard rate per second at an age in seconds, of a job that has not ended."""
        if age <= 0.0:
            return self.memoryless / self.mean
        spread = self.spread
        deviations = (math.log(age) - self.mean_log) / spread
        rate = _normal_hazard(deviations) / (spread * age)
        alive = (1.0 - self.memoryless) * _normal_survival(deviations)
        alive_memoryless = self.memoryless * math.exp(-age / self.mean)
        if alive + alive_memoryless <= 0.0:
            return rate  # both have underflowed, and only the log-normal rate is defined
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
    """Return the hazard rate of the standard normal distribution: density over survival."""
    if deviations > _TAIL:  # both underflow there: Mills' ratio to its third term
        return deviations + 1 / deviations - 2 / deviations**3
    density = math.exp(-0.5 * deviations**2) / math.sqrt(2 * math.pi)
    return density / _normal_survival(deviations)
