"""Copies of the results and the gallery at the URL of a batch, updated while the batch runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextvars import Context

import anyio.to_thread

from luma_async.batch.output import Output
from luma_async.batch.results import Result, ResultState
from luma_async.batch.results_file import ResultsFile
from luma_async.concurrency import to_completion
from luma_async.errors import BatchError, LumaError

logger = logging.getLogger("luma_async")

EVERY = 30.0
"""Minimum seconds from one copy to the next."""

LARGEST_SHARE = 0.05
"""Maximum share of the time for copies: those of a large batch are less frequent."""


class PeriodicCopy:
    """Task that calls a function again and again, to copy a file.

    The first error is logged, and the next call tries again. Whoever needs the last copy makes it
    after `stop()`.
    """

    def __init__(self, copy: Callable[[], Awaitable[None]]) -> None:
        self._copy = copy
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._run(), name="luma-async copy", context=Context())

    async def stop(self) -> None:
        """Cancel the task, and wait for its end. It may be called more than once."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await to_completion(asyncio.wait, [task])
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("Copying a file of the batch failed.", exc_info=problem)

    async def _run(self) -> None:
        has_warned, pause = False, EVERY
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self._copy()
            except (LumaError, OSError) as error:
                if not has_warned:
                    logger.warning("%s", error)
                has_warned = True
            pause = max(EVERY, (time.monotonic() - began) / LARGEST_SHARE)


class ResultsCopy:
    """Copy of the results of a batch at the URL of its output.

    If the output is a local folder, nothing is copied. Results that another machine has written to
    the URL are taken over at the beginning.
    """

    def __init__(self, output: Output, results: ResultsFile) -> None:
        self._output = output
        self._results = results
        self._periodic = PeriodicCopy(self._publish)
        self._taken: list[Result] = []
        self._published = -1
        """Size of the file when it was copied last."""

    async def merge(self) -> None:
        """Take the results at the URL that are missing here.

        Raises:
            BatchError: the results cannot be read, or not be written here.

        """
        found = await self._output.earlier_results()
        self._taken = await to_completion(anyio.to_thread.run_sync, self._results.merge, found)

    def check_journal(self, entries: Collection[str]) -> None:
        """Check that the journal is not a new one while results at the URL tell of paid jobs.

        `entries` are the job keys in the journal.

        Raises:
            BatchError: a row is uncertain, and only its own journal could tell if it is paid for.

        """
        for result in self._taken:
            if result.state is ResultState.UNCERTAIN and not entries:
                raise BatchError(
                    f"Row {result.key!r} is uncertain and may be paid for, but the journal is "
                    "empty. Name the journal that has the row. Nothing was submitted."
                )

    async def try_first(self) -> None:
        """Copy the results before anything is submitted, to learn if files can be written.

        Raises:
            BatchError: they cannot.

        """
        try:
            await self._publish()
        except BatchError as error:
            raise BatchError(f"{error} Nothing was submitted.") from None

    def start(self) -> None:
        """Copy the results from time to time."""
        if self._output.is_remote:
            self._periodic.start()

    async def stop(self) -> None:
        """Stop copying."""
        await self._periodic.stop()

    async def finish(self) -> None:
        """Close the results, and copy them for the last time.

        Raises:
            BatchError: they were not copied.

        """
        await self.stop()
        self._results.close()
        await self._output.publish(self._results.path)

    async def _publish(self) -> None:
        size = (await anyio.to_thread.run_sync(self._results.path.stat)).st_size
        if size != self._published:
            await self._output.publish(self._results.path)
            self._published = size
