"""Progress: counts of the rows of a running batch, an estimate of the time left, running rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Self

from luma_async.generation import State
from luma_async.tasks.task import VideoTask


@dataclass(slots=True)
class Progress:
    """Counts of rows. They change while the batch runs.

    Attributes:
        total: rows of the manifest.
        before: rows that had ended in earlier runs.
        submitted: rows handed to the client in this run, to be submitted or found in the journal.
        running: submitted rows whose job has not ended.
        done: submitted rows whose job completed.
        downloaded: rows whose video was downloaded in this run.
        failed: rows that have ended in this run without a video.
        paid: jobs that were submitted in this run and are not rejected: they are accepted,
            uncertain, or still being submitted.
        repeated: paid jobs whose earlier submission is uncertain, so that they may be paid twice.
        mean: mean seconds that a job takes: in this run or, until its first job has ended, as
            learned in earlier runs; `None` if unknown.
        limit: maximum number of jobs to pay for in this run; `None` if there is no limit.

    """

    total: int
    before: int = 0
    submitted: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    downloaded: int = 0
    paid: int = 0
    repeated: int = 0
    mean: float | None = None
    limit: int | None = None
    _observed: int = 0

    @property
    def left(self) -> int:
        """Number of rows that have not ended."""
        return max(0, self.total - self.before - self.downloaded - self.failed)

    def observe(self, seconds: float) -> None:
        """Add the duration of a job to the mean."""
        self._observed += 1
        before = self.mean if self.mean is not None and self._observed > 1 else 0.0
        self.mean = before + (seconds - before) / self._observed

    def seconds_left(self, at_once: int) -> float | None:
        """Return an estimate of the seconds left, with `at_once` jobs; `None` if unknown."""
        if self.mean is None:
            return None
        left = self.left
        if self.limit is not None:
            left = min(left, self.running + max(self.limit - self.paid, 0))
        return self.mean * max(left / max(at_once, 1), 1.0 if left else 0.0)


class Stage(StrEnum):
    """Stage of a row that has begun and not ended."""

    SUBMITTING = "submitting"
    """The row was handed to the client, and its job is not accepted yet."""
    PENDING = "pending"
    """The job waits at the server."""
    PROCESSING = "processing"
    """The server makes the video."""
    DOWNLOADING = "downloading"
    """The job is completed, and its video is being downloaded."""


class RunningRow(NamedTuple):
    """Row that has begun and not ended, with its key and its stage.

    `progress` is that of its job from 0 to 1, if the server reports it.
    """

    key: str
    stage: Stage
    progress: float | None = None

    @classmethod
    def of(cls, key: str, task: VideoTask | None, *, is_completed: bool) -> Self:
        """Return a row that runs, with its handle if its job is accepted and watched."""
        if is_completed:
            return cls(key, Stage.DOWNLOADING)
        if task is None:
            return cls(key, Stage.SUBMITTING)
        stage = Stage.PENDING if task.state is State.PENDING else Stage.PROCESSING
        return cls(key, stage, task.generation.progress)
