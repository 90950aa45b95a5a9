"""Watch: what the poller knows of one job beside its handle."""

from __future__ import annotations

from luma_async.dialects import Mark
from luma_async.tasks.task import VideoTask


class Watch:
    """A job that is being watched. Moments are seconds of the event loop's clock.

    Attributes:
        task: its handle.
        id: its id.
        kind: the kind of request that it was, empty if it was not submitted here.
        submitted_here: whether its age is known to the moment.
        since: when the watch began.
        born: when the job was submitted.
        mark: what its row was told by when it was seen last; `None` if it is to be read anew.
        due: when it is to be looked at next.
        looks: how many looks it had that were due.
        without_video_since: since when it is said to be completed, but has no video.

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
