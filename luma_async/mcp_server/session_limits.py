"""Session limits: the number of jobs that an agent may submit, and of those that run at a time.

Requests have no prices yet. Once they have, a limit of money belongs here, next to that of jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from luma_async.mcp_server.agent_errors import RefusedCallError
from luma_async.tasks import VideoTask

DEFAULT_MAX_JOBS = 10
DEFAULT_MAX_TASKS = 3


class SessionLimits:
    """Job keys that were submitted in one session, and their maximum number.

    A session lasts as long as the process. A job key counts once: if a call is repeated, it takes
    no further place. A submission that was rejected gives its place back, and one that is uncertain
    keeps it, because it may be billed.
    """

    def __init__(
        self, *, max_jobs: int = DEFAULT_MAX_JOBS, max_tasks: int = DEFAULT_MAX_TASKS
    ) -> None:
        self.max_jobs = max_jobs
        self.max_tasks = max_tasks
        self._counted: set[str] = set()
        self._in_flight: set[str] = set()

    @property
    def jobs_left(self) -> int:
        """Number of jobs that the session may still submit."""
        return max(0, self.max_jobs - len(self._counted))

    @contextmanager
    def submitting(self, key: str, tasks: Sequence[VideoTask]) -> Iterator[bool]:
        """Take a place for a job key, and yield `True` if it had none before.

        `tasks` are all that are running. The place is kept at the end of the context, also after an
        error: `give_back()` frees it. A key may have a place from a call that was cancelled.

        Raises:
            RefusedCallError: there is no free place.

        """
        is_new = key not in self._counted
        if is_new:
            self._check(tasks)
            self._counted.add(key)
        self._in_flight.add(key)
        try:
            yield is_new
        finally:
            self._in_flight.discard(key)

    def give_back(self, key: str) -> None:
        """Free the place of a job key that has no job, or none of this session."""
        self._counted.discard(key)

    def _check(self, tasks: Sequence[VideoTask]) -> None:
        if not self.jobs_left:
            raise RefusedCallError(
                f"This session has submitted {self.max_jobs} jobs, which is its limit; nothing was "
                "submitted. Do not try other keys or tools: tell the user. A person can raise the "
                "limit with the option --max-jobs of `luma-async mcp`. Jobs that were submitted "
                "can still be watched and downloaded, and known keys still return their jobs."
            )
        ids = [task.id for task in tasks if task.key in self._counted]
        running = len(ids) + len(self._in_flight - {task.key for task in tasks})
        if running >= self.max_tasks:
            named = f" with the id {', '.join(ids)}" if ids else ""
            raise RefusedCallError(
                f"{running} jobs of this session are running, which is the limit at a time; "
                f"nothing was submitted. Call wait_for_job for a job{named}, and repeat this call "
                "with the same key when one has ended. A person can raise the limit with the "
                "option --max-tasks of `luma-async mcp`."
            )
