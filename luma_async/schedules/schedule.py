"""Poll schedule protocols, and two simple schedules. Pure: no clock and no randomness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from luma_async.errors import ConfigurationError
from luma_async.positive_numbers import is_number


class PollSchedule(Protocol):
    """Protocol of objects that compute the delay before the next look at a job.

    One schedule serves all jobs of a client. All times are in seconds. The poller adds a random
    change of a few percent. A schedule can also be a `ScheduleByKind`, and treat jobs differently.
    """

    def next_delay(self, age: float, looks: int) -> float:
        """Return the delay before the next look, given a job's age and its number of looks."""

    def observe(self, duration: float) -> None:
        """Learn the duration of a job, from its submission until it was seen completed."""


@runtime_checkable
class ScheduleByKind(PollSchedule, Protocol):
    """Protocol of schedules that treat kinds of request differently.

    They also know how many jobs share one status request.
    """

    def for_jobs(self, kind: str, sharing: int) -> PollSchedule:
        """Return the schedule of jobs of one kind, with `sharing` jobs in each status request."""


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """Poll schedule with a look every `interval` seconds.

    >>> FixedSchedule(3.0).next_delay(age=60.0, looks=20)
    3.0
    """

    interval: float = 3.0

    def __post_init__(self) -> None:
        if not (is_number(self.interval) and 0 < self.interval < float("inf")):
            raise ConfigurationError("FixedSchedule: interval must be more than 0 seconds.")

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        """Return the interval."""
        return self.interval

    def observe(self, duration: float) -> None:
        """Do nothing: this schedule does not learn."""


@dataclass(frozen=True, slots=True)
class ExponentialSchedule:
    """Poll schedule with exponential delays: `first` seconds, then `factor` times longer each time.

    No delay is longer than `longest`.

    >>> [ExponentialSchedule(2.0, 2.0, 10.0).next_delay(age=0.0, looks=n) for n in range(4)]
    [2.0, 4.0, 8.0, 10.0]
    """

    first: float = 2.0
    factor: float = 1.3
    longest: float = 10.0

    def __post_init__(self) -> None:
        are_numbers = all(map(is_number, (self.first, self.factor, self.longest)))
        if not (are_numbers and 0 < self.first <= self.longest < float("inf") and self.factor >= 1):
            raise ConfigurationError(
                "ExponentialSchedule: first and longest must be more than 0 seconds, first at most "
                "longest, and factor at least 1."
            )

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        """Return the delay after this number of looks."""
        try:
            return min(self.first * self.factor**looks, self.longest)
        except OverflowError:
            return self.longest

    def observe(self, duration: float) -> None:
        """Do nothing: this schedule does not learn."""
