"""Watched jobs: their handles, and the poller that keeps the handles up to date."""

from luma_async.tasks.looks import Looks
from luma_async.tasks.manager import TaskManager
from luma_async.tasks.run_many import CompletedOutcome, FailedOutcome, Job, Outcome
from luma_async.tasks.task import VideoTask
from luma_async.tasks.updates import Updates

__all__ = [
    "CompletedOutcome",
    "FailedOutcome",
    "Job",
    "Looks",
    "Outcome",
    "TaskManager",
    "Updates",
    "VideoTask",
]
