"""Deliveries: jobs whose ends are recorded only when their results have been delivered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from luma_async.tasks import VideoTask

logger = logging.getLogger("luma_async")


class Deliveries:
    """Blocks of code that deliver the results of jobs, and the ends that are held back for them.

    Until a block has delivered its job, the journal has the job as running, so that `resume()`
    returns it after a crash. A block that ends with an exception, other than the error of the job
    itself, has not delivered anything. Then only a block about the same job that begins later
    records its end: one that had begun before was for somebody else.

    Args:
        record: records the end of a job in the journal.
        withdraw: takes a job out of the ends that are to be written, and returns `True` if it was
            among them.

    """

    def __init__(
        self, record: Callable[[VideoTask], None], withdraw: Callable[[VideoTask], bool]
    ) -> None:
        self._record = record
        self._withdraw = withdraw
        self.on_failure: Callable[[VideoTask], None] = lambda _: None
        """Called with a job whose delivery has failed, when no block about it is open."""
        self._open: Counter[str] = Counter()
        self._owners: dict[int, asyncio.Task[None] | None] = {}
        """Asyncio tasks of the open blocks. The blocks are numbered as they begin."""
        self._begun = 0
        self._undelivered: dict[str, int] = {}
        """Number of the newest block when the latest failed, by job."""
        self._held: dict[str, VideoTask] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def deliver(self, task: VideoTask) -> Iterator[None]:
        """Hold back the end of a job within the context, and record it at its end."""
        self._begun += 1
        id, block = task.id, self._begun
        self._open[id] += 1
        self._owners[block] = asyncio.current_task()
        if self._withdraw(task):
            self._held[id] = task
        try:
            yield
        except BaseException as error:
            # The error of the job itself is a result, and the code around the block has it now.
            if type(error) is not type(task.error):
                self._undelivered[id] = self._begun
            raise
        else:
            if block > self._undelivered.get(id, 0):
                self._undelivered.pop(id, None)
        finally:
            del self._owners[block]
            self._open[id] -= 1
            if not self._open[id]:
                del self._open[id]
            if id in self._undelivered and id not in self._open:
                self.on_failure(task)
            if not self.awaits(id) and (ended := self._held.pop(id, None)) is not None:
                self._record(ended)
            self._changed.set()

    def hold(self, task: VideoTask) -> bool:
        """Hold back the end of a job if it is not delivered yet, and return `True` then."""
        awaited = self.awaits(task.id)
        if awaited:
            self._held[task.id] = task
        return awaited

    def awaits(self, id: str) -> bool:
        """Return `True` if a job is not delivered yet: a block is open, or has failed."""
        return id in self._open or id in self._undelivered

    def is_open(self, id: str) -> bool:
        """Return `True` if a block about a job is open."""
        return id in self._open

    def unrecorded(self) -> list[str]:
        """Return the ids of the jobs whose ends are held back."""
        return list(self._held)

    def held(self, id: str) -> VideoTask | None:
        """Return the handle of a job whose end is held back, or `None`."""
        return self._held.get(id)

    async def wait(self, timeout: float) -> None:
        """Wait for the open blocks for at most `timeout` seconds, but not for the caller's own."""
        this = asyncio.current_task()
        try:
            async with asyncio.timeout(timeout):
                while any(owner is not this for owner in self._owners.values()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            logger.warning(
                "Deliveries that have not ended in time are no longer waited for: %s.",
                ", ".join(f"job {id}" for id in self._open),
            )
