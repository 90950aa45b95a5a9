"""WatchedJob: the poller's state of one job."""

from __future__ import annotations

import math
import weakref

from luma_async.dialects import Mark
from luma_async.generation import State
from luma_async.tasks.hints import Hook
from luma_async.tasks.task import VideoTask
from luma_async.tasks.updates import Updates
from luma_async.telemetry.observer import JobTrace


class Audience:
    """Readers of a job's updates that want looks more often than the poll schedule has them.

    Weak references, so that a reader that is dropped without being closed wants nothing any more.

    Attributes:
        due: time of the next look on the agenda: that of the poll schedule, or a sooner one.

    """

    __slots__ = ("_readers", "due")

    def __init__(self, due: float) -> None:
        self.due = due
        self._readers: tuple[weakref.ref[Updates], ...] = ()

    def add(self, reader: Updates) -> None:
        """Add a reader."""
        self._readers = (*self._open_readers(), weakref.ref(reader))

    def interval(self) -> float:
        """Return the shortest delay that an open reader wants, or infinity if none is open."""
        self._readers = self._open_readers()
        wanted = (reader.every for each in self._readers if (reader := each()) is not None)
        return min((every for every in wanted if every is not None), default=math.inf)

    def _open_readers(self) -> tuple[weakref.ref[Updates], ...]:
        return tuple(
            each
            for each in self._readers
            if (reader := each()) is not None and reader.every is not None
        )


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
        due: time of the next look by the poll schedule. It is also that on the agenda, unless there
            is an audience or a callback.
        audience: readers that want frequent looks, if there are any.
        looks: number of looks that were made because the job was due.
        for_readers: `True` if the job is followed, and is only looked at as often as a reader of
            its updates wants.
        hook: the callbacks about the job, if there is a hook for it.
        looked: time of the last look that saw the job running.
        counted: the running state in which telemetry counts the job; `None` if it counts it not.
        trace: the trace of the job, if spans are exported.
        without_output_since: time since which the server calls the job completed without a link to
            an output, if it does.

    """

    __slots__ = (
        "audience",
        "born",
        "counted",
        "due",
        "for_readers",
        "hook",
        "id",
        "kind",
        "looked",
        "looks",
        "mark",
        "since",
        "submitted_here",
        "task",
        "trace",
        "without_output_since",
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
        self.audience: Audience | None = None
        self.looks = 0
        self.for_readers = False
        self.hook: Hook | None = None
        self.looked = since
        self.counted: State | None = None
        self.trace: JobTrace | None = None
        self.without_output_since: float | None = None

    @property
    def known_birth(self) -> float | None:
        """Time when the job was submitted; `None` if the server has not said."""
        return self.born if self.submitted_here or self.born < self.since else None

    @property
    def next_look(self) -> float:
        """Time of the next look on the agenda."""
        next_look = self.due if self.audience is None else self.audience.due
        if self.hook is not None and self.hook.look_at is not None:
            next_look = min(next_look, self.hook.look_at)
        return next_look
