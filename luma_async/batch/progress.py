"""Progress: where a batch stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """Counts of rows; they are changed while the batch runs.

    Attributes:
        total: rows of the manifest.
        before: those that had ended in earlier runs.
        submitted: those handed to the client in this run, to be submitted or found in the journal.
        running: those of them whose job has not ended.
        done: those whose video is made, in this run.
        downloaded: those of them whose file is here.
        failed: rows that have ended in this run without a file.
        paid: jobs that were submitted anew in this run, and accepted or perhaps accepted.
        repeated: those of them whose earlier submission is uncertain, so that they may be paid for
            twice.
        mean: seconds that a job takes on average: in this run, or before its first has ended as
            was learned in earlier ones; `None` if nobody knows.
        limit: how many jobs may be paid for in this run, if that is limited.

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
    _seen: int = 0

    @property
    def left(self) -> int:
        """Rows that have not ended, in a file or without one."""
        return max(0, self.total - self.before - self.downloaded - self.failed)

    def observe(self, seconds: float) -> None:
        """Take in how long a job took."""
        self._seen += 1
        before = self.mean if self.mean is not None and self._seen > 1 else 0.0
        self.mean = before + (seconds - before) / self._seen

    def seconds_left(self, at_once: int) -> float | None:
        """Return about how many seconds are left, at so many jobs at once; `None` if unknown."""
        if self.mean is None:
            return None
        left = self.left
        if self.limit is not None:
            left = min(left, self.running + max(self.limit - self.paid, 0))
        return self.mean * max(left / max(at_once, 1), 1.0 if left else 0.0)
