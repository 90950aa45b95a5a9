"""Batch runner: submit the rows of a manifest, download their videos, and record the results."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio.to_thread

from luma_async.batch.circuit_breaker import CircuitBreaker
from luma_async.batch.manifest import Manifest
from luma_async.batch.notes import note_of_failed_redo, note_of_skipped_redo, with_note
from luma_async.batch.output import Output
from luma_async.batch.output_folder import OutputFolder
from luma_async.batch.plan import Plan, RowState, has_other_job, is_unpaid, keeps_earlier, make_plan
from luma_async.batch.progress import Progress, RunningRow
from luma_async.batch.queue import Queue
from luma_async.batch.redo_plan import RedoPlan
from luma_async.batch.results import Result, ResultState, result_without_source
from luma_async.batch.results_file import ResultsFile
from luma_async.batch.row_downloads import RowDownloads
from luma_async.batch.rows import Row
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import (
    BatchError,
    ConfigurationError,
    LumaError,
    SubmissionStoppedError,
)
from luma_async.generation import Generation
from luma_async.media.downloads import Download, download_all
from luma_async.schedules.adaptive import EVERY_KIND
from luma_async.schedules.lifetime import Lifetime
from luma_async.tasks.run_many import Job, Outcome


class Batch:
    """One run of a manifest into a folder.

    >>> batch = Batch(luma, read_manifest("prompts.csv"), "prompts")   # doctest: +SKIP
    >>> async for result in batch.run():                              # doctest: +SKIP
    ...     print(result.key, result.state, result.file or result.error)

    The client needs a journal. With the journal, another run of the same manifest continues where
    the last one ended, and pays for nothing twice. `results.jsonl` in the folder has a line for
    each row that has ended.

    Args:
        luma: the client.
        manifest: the rows to run.
        folder: the folder for `results.jsonl` and for `videos/`, where each file is named by the
            key of its row. It is created if it does not exist.
        max_tasks: maximum number of jobs that run at once.
        limit_jobs: maximum number of jobs to pay for in this run.
        retry_failed: submit rows again that failed in an earlier run.
        redo: job keys of rows to submit anew, and pay for once more, although they have a video.
            The new video gets the name of the row, and the earlier one is kept beside it. Rows
            that are running or uncertain are not redone. After a run that was interrupted, the
            same redo is continued, and pays for nothing twice.
        redo_edited: redo all rows that were edited after their job was submitted.
        retry_uncertain: submit rows again that an earlier run left uncertain. Their jobs may have
            been accepted, so that may pay for them twice. A row that becomes uncertain in this run
            stays uncertain.

    Raises:
        ConfigurationError: the client has no journal.
        InvalidRequestError: a job key in `redo` is not that of a row.

    """

    def __init__(
        self,
        luma: LumaClient,
        manifest: Manifest,
        folder: str | os.PathLike[str],
        *,
        max_tasks: int = 100,
        limit_jobs: int | None = None,
        retry_failed: bool = False,
        retry_uncertain: bool = False,
        redo: Iterable[str] = (),
        redo_edited: bool = False,
    ) -> None:
        if luma.journal is None:
            raise ConfigurationError("A batch needs a journal: LumaClient(journal='jobs.db').")
        self.folder: Path = Path(folder)
        self.output: Output = OutputFolder(self.folder)
        """The place of the files of the rows."""
        self.max_tasks = max_tasks
        self.progress: Progress = Progress(len(manifest.rows), limit=limit_jobs)
        self.begun: asyncio.Event = asyncio.Event()
        """Set once the rows of this run and the results of earlier ones are known."""
        self._luma = luma
        self._manifest = manifest
        self._journal = luma.journal
        self._rows = {row.key: row for row in manifest.rows}
        self._redos = RedoPlan(self._rows, self.folder, redo=redo, all_edited=redo_edited)
        self._retry_failed = retry_failed
        self._retry_uncertain = retry_uncertain
        self._results = ResultsFile(self.folder)
        self._states: dict[str, RowState] = {}
        self._downloads = RowDownloads(
            luma, luma.journal, self.output, states=self._states, results=self._results
        )
        self._running: dict[str, bool] = {}
        """Keys of the rows that have begun and not ended: `True` once the job is completed."""
        self._queue = Queue((), made=())
        self._breaker = CircuitBreaker()
        self._has_run = False
        self._is_stopped = False
        self._new_running = 0
        """Number of running jobs that this run pays for, unless they are rejected."""
        self._has_ended = asyncio.Event()

    @property
    def dialect_name(self) -> str:
        """Name of the dialect of the client."""
        return self._luma.dialect.name

    @property
    def problem(self) -> LumaError | None:
        """The error that concerns all rows, if any: a wrong API key, an unreachable host, ..."""
        return self._breaker.problem

    @property
    def results(self) -> list[Result]:
        """Results of the rows that have ended, in this run or before, in the order of the manifest.

        The results of other manifests in the same folder follow.
        """
        found = self._results.all
        ours = [found[key] for key in self._rows if key in found]
        return ours + [result for key, result in found.items() if key not in self._rows]

    @property
    def rows(self) -> Collection[Row]:
        """Rows of the manifest, in its order."""
        return self._rows.values()

    @property
    def new_results(self) -> Sequence[Result]:
        """Results of this run, in the order in which its rows ended."""
        return self._results.added

    @property
    def running_rows(self) -> list[RunningRow]:
        """Rows that have begun and not ended, in the order in which they began."""
        tasks = {task.key: task for task in self._luma.tasks}
        return [
            RunningRow.of(key, tasks.get(key), is_completed=is_completed)
            for key, is_completed in self._running.items()
        ]

    @property
    def already_redone(self) -> Sequence[str]:
        """Keys of rows that are to be redone, and were redone by an interrupted run before."""
        return self._redos.already_redone

    @property
    def not_redone(self) -> Sequence[str]:
        """Keys of rows that cannot be redone, because they are running or uncertain."""
        return self._redos.not_redone

    @property
    def is_stopped(self) -> bool:
        """`True` if no more rows are submitted: `stop()` was called, or `problem` is an error."""
        return self._is_stopped

    def stop(self) -> None:
        """Submit no more rows. Running jobs are watched to their end and downloaded.

        Rows that wait for a free place in the client are still submitted, unless
        `LumaClient.stop_submitting()` is called as well.
        """
        self._is_stopped = True
        self._has_ended.set()
        self._queue.stop()

    async def run(
        self, *, prepare: Callable[[], None] | None = None
    ) -> AsyncGenerator[Result, None]:
        """Run the batch and yield the result of each row that had not ended before.

        To leave early, call `stop()` and read on, or close this generator (`contextlib.aclosing`):
        the running jobs continue at the server, and the next run finds them. A batch runs once.

        Args:
            prepare: called in a thread before anything is submitted, once no other batch can use
                the folder.

        Raises:
            ManifestError: rows break rules of the client's dialect; nothing was submitted.
            BatchError: the folder cannot be used.
            LumaError: the client was closed, or the journal cannot be used.

        """
        if self._has_run:
            raise ConfigurationError("A batch runs once. Make another one to run it again.")
        self._has_run = True
        results = self._results
        try:
            plan = await self._plan(prepare)
            self._states.update(plan.states)
            self._queue = Queue(
                plan.left,
                made=(key for key, state in plan.states.items() if state.video is not None),
            )
            if self._is_stopped:
                self._queue.stop()
            self.progress.before = plan.finished
            self.progress.failed += len(plan.held_back)
            self.begun.set()
            self._write_notes()
            never_begun = [each for key in plan.without_video for each in self._give_up_on(key)]
            for result in [*plan.held_back, *never_begun]:
                results.add(result)
                yield result
            async with aclosing(
                download_all(self._outcomes(), self._downloads.deliver)
            ) as downloads:
                async for download in downloads:
                    for result in self._results_of(download):
                        results.add(result)
                        yield result
            self._write_notes()  # extensions of rows that were redone
            self._breaker.batch_ended()
            if not self._is_stopped:
                self._redos.finish()
        finally:
            results.close()

    async def _plan(self, prepare: Callable[[], None] | None) -> Plan:
        """Read the results of earlier runs and the journal, and plan the rest of the rows."""
        results = self._results
        await anyio.to_thread.run_sync(self._manifest.check, self._luma.dialect)
        await to_completion(anyio.to_thread.run_sync, self._open_results, prepare)
        # Before any submission, so that no job is paid for whose video has no place.
        await self.output.prepare()
        await to_completion(anyio.to_thread.run_sync, self._update_results)
        ours = (result for key, result in results.all.items() if key in self._rows)
        with_file = await self.output.keys_with_files(ours)
        self.progress.mean = await self._learned_duration()
        entries = await self._journal.states()
        redos = await self._redos.make(self._journal, results.all, entries)
        decide = partial(
            make_plan,
            self._rows.values(),
            results=results.all,
            with_file=with_file,
            entries=entries,
            retry_failed=self._retry_failed,
            retry_uncertain=self._retry_uncertain,
            redos=redos,
        )
        # In a thread: fifty thousand rows would hold up the event loop for a tenth of a second.
        plan = await anyio.to_thread.run_sync(decide)
        self._redos.left.update(row.key for row in plan.left if row.key in redos)
        return plan

    def _write_notes(self) -> None:
        """Write the notes of rows whose video is not the one that the manifest asks for."""
        results = self._results
        for key, row in self._rows.items():
            if (result := results.all.get(key)) is not None:
                noted = with_note(row, result, results.all.get(row.parent or ""))
                if noted is not result:
                    results.add(noted, has_ended=False)

    def _open_results(self, prepare: Callable[[], None] | None) -> None:
        """Open the results, and read the redo that an interrupted run has left."""
        self._results.open()
        if prepare is not None:
            prepare()
        try:
            self._redos.read()
        except OSError as error:
            raise BatchError(
                f"The folder {str(self.folder)!r} cannot be read: {error.strerror or error}. "
                "Nothing was submitted."
            ) from None

    def _update_results(self) -> None:
        """Update the results of earlier runs to the present lines and metadata of their rows."""
        results = self._results
        for key in results.all.keys() & self._rows.keys():
            row = self._rows[key]
            metadata = None if row.metadata is None else dict(row.metadata)
            before = results.all[key]
            results.all[key] = result = replace(before, line=row.line, metadata=metadata)
            if result.metadata != before.metadata:
                results.add(result, has_ended=False)

    async def _learned_duration(self) -> float | None:
        """Return the seconds that a job takes, if earlier runs have learned them."""
        learned = await self._journal.learned(self._luma.api_url)
        try:
            # Not the mean: it starts from an assumed minute, which weighs for long.
            return Lifetime.from_state(learned[EVERY_KIND]).median
        except (KeyError, ValueError):
            return None

    async def _outcomes(self) -> AsyncIterator[Outcome]:
        outcomes = self._luma.run_many(
            self._jobs(),
            max_tasks=self.max_tasks,
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
            state = self._states[row.key]
            if self._skips_redo(state):
                continue
            if state.is_new and progress.limit is not None and not await self._may_pay():
                self._queue.skip(row.key)  # rows behind it may be paid for already
                continue
            if self._is_stopped:
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
                source = self._states[row.parent].take_video()
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
            )

    def _skips_redo(self, state: RowState) -> bool:
        """Return `True` if a row is not redone, because the row that it extends has no new video.

        The row keeps its own video.
        """
        row, before = state.row, state.earlier_result
        if before is None or before.state is not ResultState.DONE or row.parent is None:
            return False
        if not state.is_new or not self._states[row.parent].keeps_earlier:
            return False
        self._states[row.parent].take_video()
        self._downloads.keep_earlier_result(state, note_of_skipped_redo(row))
        self._redos.left.discard(row.key)
        self.progress.before += 1
        self._queue.made(row.key)
        return True

    async def _may_pay(self) -> bool:
        """Return `True` if another job may be paid for.

        At the limit, this waits for the running jobs: one that was rejected is not paid for.
        """
        limit = self.progress.limit
        while limit is not None and self.progress.paid >= limit:
            if self._is_stopped or not self._new_running:
                return False
            self._has_ended.clear()
            await self._has_ended.wait()
        return True

    def _note(self, outcome: Outcome) -> bool:
        """Note the end of a job, before its video is downloaded.

        Return `False` if the row is run once more, to get the job of an earlier text of it.
        """
        state = self._states[outcome.key or ""]
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
            self._breaker.job_completed()
            self._queue.made(state.row.key)
            return True
        if state.is_new and is_unpaid(outcome):
            progress.paid -= 1
            progress.repeated -= state.was_uncertain
        if isinstance(outcome.error, SubmissionStoppedError):
            progress.submitted -= 1
            self.stop()
        elif has_other_job(outcome) and not state.any_request and state.redo is None:
            progress.submitted -= 1
            state.any_request, state.is_new = True, False
            self._running.pop(state.row.key, None)
            self._queue.again(state.row)
            return False
        elif self._breaker.job_failed(outcome.error, was_accepted=outcome.id is not None):
            self.stop()
        if keeps_earlier(state, outcome):
            why = note_of_failed_redo(outcome.id, str(outcome.error))
            self._downloads.keep_earlier_result(state, why)
            self._queue.made(state.row.key)
        return True

    def _results_of(self, download: Download) -> list[Result]:
        """Return the result of a row, and of the rows that can never begin because of it."""
        outcome = download.source
        assert isinstance(outcome, Outcome)  # noqa: S101  the sources are those of `_outcomes`
        self._running.pop(outcome.key or "", None)
        if isinstance(outcome.error, SubmissionStoppedError):
            return []  # the row is still to do
        state = self._states[outcome.key or ""]
        row, error = state.row, download.error
        if outcome.ok and state.keeps_earlier:
            # The earlier video could not be kept. The next run continues the redo.
            self.progress.failed += 1
            return [self._results.all[row.key]]
        self._redos.left.discard(row.key)
        if not outcome.ok:
            self.progress.failed += 1
            if state.keeps_earlier:
                return [self._results.all[row.key]]
            return [self._downloads.result(state, outcome, None), *self._give_up_on(row.key)]
        if error is None:
            self.progress.downloaded += 1
        else:
            self.progress.failed += 1
        if self._breaker.download_ended(error):
            self.stop()
        return [self._downloads.result(state, outcome, error)]

    def _give_up_on(self, key: str) -> list[Result]:
        """Return the results of the rows that can never begin, because a row has no video.

        A row that was to be redone keeps its own video.
        """
        results: list[Result] = []
        for row in self._queue.not_made(key):
            state = self._states[row.key]
            if state.earlier_result is not None and state.earlier_result.state is ResultState.DONE:
                self._downloads.keep_earlier_result(state, note_of_skipped_redo(row))
                self.progress.before += 1
            else:
                results.append(result_without_source(row, self._results.all.get(row.key)))
        self.progress.failed += len(results)
        return results
