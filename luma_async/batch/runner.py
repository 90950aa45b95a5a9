"""Batch runner: submit the rows of a manifest, download their videos, and record the results."""

from __future__ import annotations

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
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

from luma_async.batch.manifest import Manifest
from luma_async.batch.notes import with_note
from luma_async.batch.output import Output
from luma_async.batch.output_folder import OutputFolder
from luma_async.batch.plan import Plan, make_plan
from luma_async.batch.progress import Progress, RunningRow
from luma_async.batch.redo_plan import RedoPlan
from luma_async.batch.remote_folder import RemoteFolder
from luma_async.batch.results import Result
from luma_async.batch.results_copy import ResultsCopy
from luma_async.batch.results_file import ResultsFile
from luma_async.batch.row_runner import RowRunner
from luma_async.batch.rows import Row
from luma_async.client import LumaClient
from luma_async.concurrency import to_completion
from luma_async.errors import BatchError, ConfigurationError, LumaError
from luma_async.positive_numbers import check_positive, is_number
from luma_async.schedules.adaptive import EVERY_KIND
from luma_async.schedules.lifetime import Lifetime
from luma_async.tasks.submitter import check_flag


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
        output: the URL for the videos and for copies of `results.jsonl` and the gallery, such as
            `s3://bucket/cats`, for any filesystem of fsspec (extra `remote`). Its credentials come
            from the environment. `folder` then has the results and the files on their way.

    Raises:
        ConfigurationError: the client has no journal, the output is not a URL, the folder is an
            empty text, or `max_tasks` or `limit_jobs` is not a valid number.
        InvalidRequestError: a job key in `redo` is not that of a row; `retry_failed`,
            `retry_uncertain` or `redo_edited` is not `True` or `False`.

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
        output: str | None = None,
    ) -> None:
        check_flag("retry_failed", retry_failed)
        check_flag("retry_uncertain", retry_uncertain)
        check_flag("redo_edited", redo_edited)
        check_positive(max_tasks=max_tasks)
        if limit_jobs is not None and not (is_number(limit_jobs) and limit_jobs >= 0):
            raise ConfigurationError(f"limit_jobs must be 0 or more, got {limit_jobs!r}.")
        if not os.fspath(folder):  # it would be the current one: mostly a variable is not set
            raise ConfigurationError("The folder of a batch must not be empty.")
        self.folder: Path = Path(folder)
        self.output: Output = (
            OutputFolder(self.folder) if output is None else RemoteFolder(output, self.folder)
        )
        """The place of the files of the rows."""
        self.max_tasks = max_tasks
        self.progress: Progress = Progress(len(manifest.rows), limit=limit_jobs)
        self.begun: asyncio.Event = asyncio.Event()
        """Set once the rows of this run and the results of earlier ones are known."""
        self._luma = luma
        self._manifest = manifest
        self._rows = {row.key: row for row in manifest.rows}
        self._redos = RedoPlan(self._rows, self.folder, redo=redo, all_edited=redo_edited)
        self._retry_failed = retry_failed
        self._retry_uncertain = retry_uncertain
        self._results = ResultsFile(self.folder)
        self._copy = ResultsCopy(self.output, self._results)
        self._runner = RowRunner(
            luma,
            self.output,
            results=self._results,
            progress=self.progress,
            max_tasks=max_tasks,
            retry_failed=retry_failed,
            retry_uncertain=retry_uncertain,
        )
        self._runner.redone = self._redos.left
        assert luma.journal is not None  # noqa: S101  the runner has checked it
        self._journal = luma.journal
        self._has_run = False

    @property
    def dialect_name(self) -> str:
        """Name of the dialect of the client."""
        return self._luma.dialect.name

    @property
    def problem(self) -> LumaError | None:
        """The error that concerns all rows, if any: a wrong API key, an unreachable host, ..."""
        return self._runner.breaker.problem

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
        return self._runner.running_rows

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
        return self._runner.is_stopped

    def stop(self) -> None:
        """Submit no more rows. Running jobs are watched to their end and downloaded.

        Rows that wait for a free place in the client are still submitted, unless
        `LumaClient.stop_submitting()` is called as well.
        """
        self._runner.stop()

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
            runner = self._runner
            runner.states.update(plan.states)
            runner.queue(plan.left)
            self.progress.before = plan.finished
            self.progress.failed += len(plan.held_back)
            self._copy.start()
            self.begun.set()
            self._write_notes()
            never_begun = [each for key in plan.without_video for each in runner.give_up_on(key)]
            for result in [*plan.held_back, *never_begun]:
                results.add(result)
                yield result
            given_up = {result.key for result in never_begun}
            left = [row for row in plan.left if row.key not in given_up]
            async with aclosing(self._run_rows(left)) as ended:
                async for result in ended:
                    yield result
            self._write_notes()  # extensions of rows that were redone
            runner.breaker.batch_ended()
            if not runner.is_stopped:
                self._redos.finish()
            await self._copy.finish()
        finally:
            await self._copy.stop()
            results.close()

    def _run_rows(self, rows: Sequence[Row]) -> AsyncGenerator[Result, None]:  # noqa: ARG002  they are queued
        """Run the rows that are left, and yield the result of each one after it was added."""
        return self._runner.run()

    async def _plan(self, prepare: Callable[[], None] | None) -> Plan:
        """Read the results of earlier runs and the journal, and plan the rest of the rows."""
        results = self._results
        await anyio.to_thread.run_sync(self._manifest.check, self._luma.dialect)
        await to_completion(anyio.to_thread.run_sync, self._open_results, prepare)
        # Before any submission, so that no job is paid for whose video has no place.
        await self.output.prepare()
        await self._copy.merge()
        await to_completion(anyio.to_thread.run_sync, self._update_results)
        ours = (result for key, result in results.all.items() if key in self._rows)
        with_file = await self.output.keys_with_files(ours)
        await self.output.release(results.all[key] for key in with_file)
        await self._copy.try_first()
        self.progress.mean = await self._learned_duration()
        entries = await self._journal.states()
        self._copy.check_journal(entries)
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
