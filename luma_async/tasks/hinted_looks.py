"""HintedLooks: the looks that callbacks ask for, until they have succeeded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from luma_async.errors import LumaError
from luma_async.tasks.looks import News
from luma_async.tasks.watched_job import WatchedJob

SHARED_SPACING = 0.1
"""Minimum seconds between two requests for many jobs that callbacks ask for. Jobs whose callbacks
come in between share the next one."""

FREE_CALLS = 10
"""Number of callbacks about one job that are each followed by a look at once. A server sends one at
each change of the state."""

CALL_SPACING = 1.0
"""Minimum seconds between looks at one job because of its later callbacks, so that a callback that
is repeated without end does not cause looks without end."""


class HintedLooks:
    """Looks that callbacks ask for. Pure: the times are given, on the clock of the event loop.

    A callback is remembered until a look that began after it has succeeded. A look that fails is
    repeated soon, by `Hook.unanswered_since`.
    """

    def __init__(self) -> None:
        self._jobs: set[WatchedJob] = set()
        self._shared_at = -math.inf

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def ask(self, job: WatchedJob, now: float, *, says_ended: bool, is_shared: bool) -> None:
        """Ask for a look because a callback came, and set its time (`Hook.look_at`).

        `is_shared` is `True` if one request can look at many jobs.
        """
        hook = job.hook
        assert hook is not None  # noqa: S101  the caller has made it
        hook.calls += 1
        hook.is_expected = True
        is_news = says_ended and hook.told_end_at is None
        if is_news:
            hook.told_end_at = now
        self._jobs.add(job)
        earliest = now
        if hook.calls > FREE_CALLS and not is_news:
            earliest = max(now, hook.looked_at + CALL_SPACING)
        if is_shared:
            earliest = max(earliest, self._shared(now))
        hook.look_at = earliest if hook.look_at is None else min(hook.look_at, earliest)

    def begin(self, batch: Sequence[WatchedJob], now: float) -> list[WatchedJob]:
        """Return the jobs of a look that callbacks asked for. The look begins now."""
        asked = [job for job in batch if job in self._jobs]
        for job in asked:
            if job.hook is not None:
                job.hook.look_at = None
                job.hook.looked_at = now
        return asked

    def end(self, asked: Sequence[WatchedJob], news: News | None) -> None:
        """Record that a look has ended. `news` is its result, or `None` if it failed as a whole."""
        for job in asked:
            hook = job.hook
            if hook is None or job not in self._jobs:  # it has ended
                continue
            if news is None or isinstance(news.get(job.id), LumaError):
                if hook.unanswered_since is None:
                    hook.unanswered_since = hook.looked_at
                continue
            hook.unanswered_since = None
            if hook.look_at is None:  # no callback came during the look
                self._jobs.discard(job)

    def discard(self, job: WatchedJob) -> None:
        """Ask for no look at a job that is no longer watched."""
        self._jobs.discard(job)

    def clear(self) -> None:
        """Ask for no looks any more."""
        self._jobs.clear()

    def _shared(self, now: float) -> float:
        """Return the time of the next request for many jobs."""
        if now > self._shared_at:
            self._shared_at = max(now, self._shared_at + SHARED_SPACING)
        return self._shared_at
