"""Recorder: the counters of one client, and the observer that exports its events."""

from __future__ import annotations

from collections import deque
from statistics import fmean, median

from luma_async.telemetry.observer import Observer
from luma_async.telemetry.stats import Stats

RECENT = 1000
"""Number of ended jobs whose lateness is kept."""


class Recorder:
    """Counters of the events of one client. Each is incremented where its event happens.

    They are plain numbers, so that an event costs some nanoseconds. Only the event loop of the
    client writes them, and any thread may read them.

    Attributes:
        observer: the exporter of spans and metrics, or `None` if there is none.
        lateness: lateness in seconds of the latest jobs that ended.

    The other attributes are those of `Stats`.

    """

    __slots__ = (
        "abandoned",
        "accepted",
        "completed",
        "downloaded_bytes",
        "downloads",
        "failed",
        "failed_downloads",
        "lateness",
        "lost",
        "observer",
        "pending",
        "polled_jobs",
        "polls",
        "processing",
        "rejected",
        "requests",
        "requests_in_flight",
        "retries",
        "timed_out",
        "uncertain",
    )

    def __init__(self, observer: Observer | None = None) -> None:
        self.observer = observer
        self.pending = self.processing = 0
        self.completed = self.failed = self.lost = self.timed_out = self.abandoned = 0
        self.accepted = self.rejected = self.uncertain = 0
        self.polls = self.polled_jobs = 0
        self.requests = self.retries = self.requests_in_flight = 0
        self.downloads = self.failed_downloads = self.downloaded_bytes = 0
        self.lateness: deque[float] = deque(maxlen=RECENT)

    def stats(self, *, connections: int, idle_connections: int) -> Stats:
        """Return the figures of now."""
        recent = list(self.lateness)  # at once: another thread may call this
        return Stats(
            **{name: getattr(self, name) for name in _COUNTERS},
            lateness_mean=fmean(recent) if recent else None,
            lateness_median=median(recent) if recent else None,
            lateness_max=max(recent, default=None),
            connections=connections,
            idle_connections=idle_connections,
        )


_COUNTERS = tuple(name for name in Recorder.__slots__ if name not in ("lateness", "observer"))
