"""Poll schedules: the delays between looks at a job. Pure: no clock and no randomness."""

from luma_async.schedules.adaptive import AdaptiveSchedule
from luma_async.schedules.schedule import ExponentialSchedule, FixedSchedule, PollSchedule

__all__ = ["AdaptiveSchedule", "ExponentialSchedule", "FixedSchedule", "PollSchedule"]
