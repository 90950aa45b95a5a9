"""Row runner: submit planned rows with one client, save their files, and make their results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

from luma_async.batch.circuit_breaker import CircuitBreaker
from luma_async.batch.notes import note_of_failed_redo, note_of_skipped_redo
from luma_async.batch.output import Output
from luma_async.batch.plan import RowState, has_other_job, is_unpaid, keeps_earlier
from luma_async.batch.progress import Progress, RunningRow
from luma_async.batch.queue import Queue
from luma_async.batch.results import Result, ResultState, ResultStore, result_without_source
from luma_async.batch.row_downloads import RowDownloads
from luma_async.batch.rows import Row
from luma_async.client import LumaClient
from luma_async.errors import ConfigurationError, SubmissionStoppedError
from luma_async.generation import Generation
from luma_async.media.downloads import Download, download_all
from luma_async.tasks.run_many import Job, Outcome


class RowRunner:
    """Rows that run on one client.

    Args:
        luma: the client, with a journal.
        output: the place of the files.
        results: the results of earlier runs. Those of this run are added to them.
        progress: the counts to keep.
        max_tasks: maximum number of jobs that run at once.
        retry_failed: submit rows again that failed in an earlier run.
        retry_uncertain: submit rows again that are uncertain when the run begins.
        breaker: counts failures; a runner that follows another one can continue its count.

    Attributes:
        states: the states of the rows.
        redone: keys of rows that are redone and have not ended.
        is_stopped: `True` if no more rows are submitted.

    Raises:
        ConfigurationError: the client has no journal.

    """

    def __init__(
        self,
        luma: LumaClient,
        output: Output,
        *,
        results: ResultStore,
        progress: Progress,
        max_tasks: int,
        retry_failed: bool = False,
        retry_uncertain: bool = False,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        if luma.journal is None:
            raise ConfigurationError("A batch needs a journal: LumaClient(journal='jobs.db').")
        self.states: dict[str, RowState] = {}
        self.redone: set[str] = set()
        self.is_stopped = False
        self.progress = progress
        self.breaker = breaker or CircuitBreaker()
        self._luma = luma
        self._output = output
        self._max_tasks = max_tasks
        self._retry_failed = retry_failed
        self._retry_uncertain = retry_uncertain
        self._results = results
        self._downloads = RowDownloads(
            luma, luma.journal, output, states=self.states, results=results
        )
        self._running: dict[str, bool] = {}
        """Keys of the rows that have begun and not ended: `True` once the job is completed."""
        self._queue = Queue((), made=())
        self._new_running = 0
        """Number of running jobs that this run pays for, unless they are rejected."""
        self._has_ended = asyncio.Event()

    @property
    def running_rows(self) -> list[RunningRow]:
        """Rows that have begun and not ended, in the order in which they began."""
        tasks = {task.key: task for task in self._luma.tasks}
        return [
            RunningRow.of(key, tasks.get(key), is_completed=is_completed)
            for key, is_completed in self._running.items()
        ]

    def stop(self) -> None:
        """Submit no more rows. Running jobs are watched to their end and downloaded."""
        self.is_stopped = True
        self._has_ended.set()
        self._queue.stop()

    def queue(self, rows: Iterable[Row]) -> None:
        """Queue the rows to run. The states of all rows must be known."""
        self._queue = Queue(
            rows, made=(key for key, state in self.states.items() if state.video is not None)
        )
        if self.is_stopped:
            self._queue.stop()

    async def run(self) -> AsyncGenerator[Result, None]:
        """Run the queued rows, and yield the result of each one after it was added.

        Raises:
            BatchError: a result cannot be written.
            LumaError: the client was closed, or the journal cannot be used.

        """
        async with aclosing(download_all(self._outcomes(), self._downloads.deliver)) as downloads:
            async for download in downloads:
                for result in self._results_of(download):
                    self._results.add(result)
                    await self._output.release([result])
                    yield result

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        outcomes = self._luma.run_many(
            self._jobs(),
            max_tasks=self._max_tasks,
            retry_failed=self._retry_failed,
            retry_uncertain="once" if self._retry_uncertain else False,
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                if self._note(outcome):
                    yield outcome

    async def _jobs(self) -> AsyncGenerator[Job, None]:
        """Yield the job of each row that can begin, while jobs may be paid for."""
        progress = self.progress
        async for row in self._queue.rows():
            state = self.states[row.key]
            if self._skips_redo(state):
                continue
            if state.is_new and progress.limit is not None and not await self._may_pay():
                self._queue.skip(row.key)  # rows behind it may be paid for already
                continue
            if self.is_stopped:
                return
            progress.paid += state.is_new
            progress.repeated += state.is_new and state.was_uncertain
            progress.submitted += 1
            progress.running += 1
            self._new_running += state.is_new
            self._running[row.key] = False
            state.started_at = time.monotonic()
            source: Generation | str | None = row.source_id
            if row.parent is not None and not state.any_request:
                source = self.states[row.parent].take_video()
            elif state.any_request:
                source = state.source
            state.source = source.id if isinstance(source, Generation) else source
            yield Job(
                row.request,
                row.key,
                source,
                row.metadata,
                redo=state.redo,
                any_request=state.any_request,
                retries=state.retries,
            )

    def _skips_redo(self, state: RowState) -> bool:
        """Return `True` if a row is not redone, because the row that it extends has no new video.

        The row keeps its own video.
        """
        row, before = state.row, state.earlier_result
        if before is None or before.state is not ResultState.DONE or row.parent is None:
            return False
        if not state.is_new or not self.states[row.parent].keeps_earlier:
            return False
        self.states[row.parent].take_video()
        self._downloads.keep_earlier_result(state, note_of_skipped_redo(row))
        self.redone.discard(row.key)
        self.progress.before += 1
        self._queue.made(row.key)
        return True

    async def _may_pay(self) -> bool:
        """Return `True` if another job may be paid for.

        At the limit, this waits for the running jobs: one that was rejected is not paid for.
        """
        limit = self.progress.limit
        while limit is not None and self.progress.paid >= limit:
            if self.is_stopped or not self._new_running:
                return False
            self._has_ended.clear()
            await self._has_ended.wait()
        return True

    def _note(self, outcome: Outcome) -> bool:
        """Note the end of a job, before its video is downloaded.

        Return `False` if the row is run once more, to get the job of an earlier text of it.
        """
        state = self.states[outcome.key or ""]
        progress = self.progress
        progress.running -= 1
        self._new_running -= state.is_new
        self._has_ended.set()
        if outcome.ok:
            self._running[state.row.key] = True
            progress.done += 1
            if state.is_new:
                state.took = time.monotonic() - state.started_at
                progress.observe(state.took)
            if state.extensions_left:
                state.video = outcome.generation
            self.breaker.job_completed()
            self._queue.made(state.row.key)
            return True
        if state.is_new and is_unpaid(outcome):
            progress.paid -= 1
            progress.repeated -= state.was_uncertain
        if self._is_left_to_do(outcome):
            progress.submitted -= 1
            self.stop()
        elif has_other_job(outcome) and not state.any_request and state.redo is None:
            progress.submitted -= 1
            state.any_request, state.is_new = True, False
            self._running.pop(state.row.key, None)
            self._queue.again(state.row)
            return False
        elif self.breaker.job_failed(outcome.error, was_accepted=outcome.id is not None):
            self.stop()
        if keeps_earlier(state, outcome):
            why = note_of_failed_redo(outcome.id, str(outcome.error))
            self._downloads.keep_earlier_result(state, why)
            self._queue.made(state.row.key)
        return True

    def _is_left_to_do(self, outcome: Outcome) -> bool:
        """Return `True` if a row was not submitted for a reason that is not its own."""
        return isinstance(outcome.error, SubmissionStoppedError)

    def _results_of(self, download: Download) -> list[Result]:
        """Return the result of a row, and of the rows that can never begin because of it."""
        outcome = download.source
        assert isinstance(outcome, Outcome)  # noqa: S101  the sources are those of `_outcomes`
        self._running.pop(outcome.key or "", None)
        if self._is_left_to_do(outcome):
            return []
        state = self.states[outcome.key or ""]
        row, error = state.row, download.error
        if outcome.ok and state.keeps_earlier:
            # The earlier video could not be kept. The next run continues the redo.
            self.progress.failed += 1
            return [self._results.all[row.key]]
        self.redone.discard(row.key)
        if not outcome.ok:
            self.progress.failed += 1
            if state.keeps_earlier:
                return [self._results.all[row.key]]
            return [self._downloads.result(state, outcome, None), *self.give_up_on(row.key)]
        if error is None:
            self.progress.downloaded += 1
        else:
            self.progress.failed += 1
        if self.breaker.download_ended(error):
            self.stop()
        return [self._downloads.result(state, outcome, error)]

    def give_up_on(self, key: str) -> list[Result]:
        """Return the results of the rows that can never begin, because a row has no video.

        A row that was to be redone keeps its own video.
        """
        results: list[Result] = []
        for row in self._queue.not_made(key):
            state = self.states[row.key]
            if state.earlier_result is not None and state.earlier_result.state is ResultState.DONE:
                self._downloads.keep_earlier_result(state, note_of_skipped_redo(row))
                self.progress.before += 1
            else:
                results.append(result_without_source(row, self._results.all.get(row.key)))
        self.progress.failed += len(results)
        return results
