"""Places: a limit on running jobs. Each submission takes a place before it is sent."""

from __future__ import annotations

from contextvars import Context
from typing import Protocol

import anyio

from luma_async.tasks.task import VideoTask
from luma_async.transport import UnsentSubmission


class NoFreePlace(UnsentSubmission):
    """All places were taken when a submission was about to be sent. It waits, and is sent later."""

    is_passing = True


class Places(Protocol):
    """Places of running jobs.

    Each submission that took a place ends with `accepted()` or `given_up()`, or takes another one
    `again` if there was none for it after all.
    """

    @property
    def are_full(self) -> bool:
        """`True` if a submission has to wait."""

    def take_now(self) -> int | None:
        """Take a place if there is a free one, and return its number. `None` if there is none."""

    async def take(self, *, again: int | None = None) -> int:
        """Wait for a free place, take it, and return its number.

        `again` is the number that the submission had when it found no free place. It then waits
        before all submissions that came later.
        """

    def accepted(self, task: VideoTask) -> None:
        """Let the job of a submission keep the place until it ends."""

    def given_up(self, *, is_uncertain: bool) -> None:
        """Release the place of a submission that has no job, or perhaps one."""


class ClientPlaces:
    """Places for the running jobs that one client submitted.

    A place is free again when the handle of its job is done. An uncertain submission keeps none,
    because this client would not see the end of its job.
    """

    def __init__(self, max_tasks: int) -> None:
        self._free = anyio.Semaphore(max_tasks, fast_acquire=True)
        # One bound method and one context for all tasks save memory.
        self._ended = self._release
        self._context = Context()

    @property
    def are_full(self) -> bool:
        """`True` if a submission has to wait."""
        return not self._free.value

    def take_now(self) -> int | None:
        """Take a place if there is a free one."""
        if not self._free.value:
            return None
        self._free.acquire_nowait()
        return 0

    async def take(self, *, again: int | None = None) -> int:  # noqa: ARG002  it is never needed
        """Wait for a free place, and take it."""
        await self._free.acquire()
        return 0

    def accepted(self, task: VideoTask) -> None:
        """Let a job keep its place until its handle is done."""
        task.add_done_callback(self._ended, context=self._context)

    def given_up(self, *, is_uncertain: bool) -> None:  # noqa: ARG002  the place is free either way
        """Release the place of a submission without a handle."""
        self._free.release()

    def _release(self, _: VideoTask) -> None:
        self._free.release()
