"""Jobs on their way: the handle, the poller that moves it, and when the poller looks next."""

from luma_async.schedules.adaptive import AdaptiveSchedule
from luma_async.schedules.schedule import ExponentialSchedule, FixedSchedule, PollSchedule
from luma_async.tasks.looks import Looks
from luma_async.tasks.manager import TaskManager
from luma_async.tasks.task import VideoTask

__all__ = [
    "AdaptiveSchedule",
    "ExponentialSchedule",
    "FixedSchedule",
    "Looks",
    "PollSchedule",
    "TaskManager",
    "VideoTask",
]
