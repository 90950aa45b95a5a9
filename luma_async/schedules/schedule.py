"""When to look at a job next. Pure: no clock and no randomness in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from luma_async.errors import ConfigurationError


class PollSchedule(Protocol):
    """What decides how long to wait before the next look at a job.

    One schedule serves every job of a client. All times are seconds. The poller adds a jitter of
    a few percent. A schedule that tells jobs apart is a `ScheduleByKind` as well.
    """

    def next_delay(self, age: float, looks: int) -> float:
        """Return how long to wait, given a job's age and how many looks it has had."""

    def observe(self, duration: float) -> None:
        """Learn that a job took this long from submission to being seen completed."""


@runtime_checkable
class ScheduleByKind(PollSchedule, Protocol):
    """A schedule that tells kinds of request apart, and knows what a shared request is worth."""

    def for_jobs(self, kind: str, sharing: int) -> PollSchedule:
        """Return the schedule of jobs of one kind, `sharing` of which are in each request."""


@dataclass(frozen=True, slots=True)
class FixedSchedule:
    """Looks at a job every `interval` seconds.

    >>> FixedSchedule(3.0).next_delay(age=60.0, looks=20)
    3.0
    """

    interval: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.interval < float("inf"):
            raise ConfigurationError("FixedSchedule: interval must be seconds above 0.")

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        return self.interval

    def observe(self, duration: float) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True)
class ExponentialSchedule:
    """Waits longer each time: `first` seconds, then `factor` times as long, up to `longest`.

    >>> [ExponentialSchedule(2.0, 2.0, 10.0).next_delay(age=0.0, looks=n) for n in range(4)]
    [2.0, 4.0, 8.0, 10.0]
    """

    first: float = 2.0
    factor: float = 1.3
    longest: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.first <= self.longest < float("inf") and self.factor >= 1):
            raise ConfigurationError(
                "ExponentialSchedule: first and longest must be seconds above 0, first at most "
                "longest, and factor at least 1."
            )

    def next_delay(self, age: float, looks: int) -> float:  # noqa: ARG002
        try:
            return min(self.first * self.factor**looks, self.longest)
        except OverflowError:
            return self.longest

    def observe(self, duration: float) -> None:
        """Nothing to learn."""
