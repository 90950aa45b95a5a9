"""WatchedJob: the poller's state of one job."""

from __future__ import annotations

from luma_async.dialects import Mark
from luma_async.tasks.task import VideoTask


class WatchedJob:
    """A job that the poller looks at. All times are seconds on the clock of the event loop.

    Attributes:
        task: the handle.
        id: the id of the job.
        kind: the kind of request, for the schedule. Empty if the job was not submitted here.
        submitted_here: `True` if the job was submitted by this client just now, so that its age
            is exact.
        since: time when watching began.
        born: time when the job was submitted.
        mark: the dialect's mark of the latest row. A later row with the same mark has no news and
            is not read. `None` to read the next row in any case.
        due: time of the next look.
        looks: number of looks that were made because the job was due.
        without_video_since: time since which the server calls the job completed without naming
            its video, if it does.

    """

    __slots__ = (
        "born",
        "due",
        "id",
        "kind",
        "looks",
        "mark",
        "since",
        "submitted_here",
        "task",
        "without_video_since",
    )

    def __init__(
        self, task: VideoTask, since: float, *, born: float, kind: str, submitted_here: bool
    ) -> None:
        self.task = task
        self.id = task.id
        self.kind = kind
        self.submitted_here = submitted_here
        self.since = since
        self.born = born
        self.mark: Mark | None = None
        self.due = 0.0
        self.looks = 0
        self.without_video_since: float | None = None
