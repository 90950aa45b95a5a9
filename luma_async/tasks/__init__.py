"""Jobs on their way: the handle, and the poller that moves it."""

from luma_async.tasks.looks import Looks
from luma_async.tasks.manager import TaskManager
from luma_async.tasks.run_many import Job, Outcome
from luma_async.tasks.task import VideoTask

__all__ = ["Job", "Looks", "Outcome", "TaskManager", "VideoTask"]
