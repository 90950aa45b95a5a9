"""Watchers of jobs that no client watches, for tests of their handles."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from luma_async import Updates, VideoTask
from luma_async.callback_runner import CallbackRunner
from luma_async.concurrency import HomeLoop


class Witness:
    """Watcher that only notes what its tasks tell."""

    def __init__(self) -> None:
        self.home = HomeLoop()
        self.callbacks = CallbackRunner()
        self.done: list[VideoTask] = []
        self.readers: list[Updates] = []

    def ended(self, task: VideoTask) -> None:
        self.done.append(task)

    def delivery(self, task: VideoTask) -> AbstractContextManager[None]:
        return nullcontext()

    def look_often(self, task: VideoTask, reader: Updates) -> None:
        self.readers.append(reader)
