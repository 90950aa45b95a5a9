"""Downloads of a batch: save the files of ended jobs, and make the results of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from luma_async.batch.notes import with_note
from luma_async.batch.output import Output
from luma_async.batch.plan import RowState
from luma_async.batch.results import (
    OutputFile,
    Result,
    ResultState,
    ResultStore,
    result_of_conflict,
    result_of_earlier_job,
    result_of_error,
    result_of_video,
)
from luma_async.batch.rows import Row
from luma_async.client import LumaClient
from luma_async.errors import (
    KeyConflictError,
    LumaError,
    SubmissionStoppedError,
)
from luma_async.journal import Journal
from luma_async.media.downloads import (
    CompletedDownload,
    Download,
    FailedDownload,
    Source,
)
from luma_async.tasks.run_many import Outcome


class RowDownloads:
    """Save the files of rows in the output of their batch, and make their results."""

    def __init__(
        self,
        luma: LumaClient,
        journal: Journal,
        output: Output,
        *,
        states: Mapping[str, RowState],
        results: ResultStore,
    ) -> None:
        self._luma = luma
        self._journal = journal
        self._output = output
        self._states = states
        self._results = results

    async def deliver(self, source: Source) -> Download:
        """Save the files of a job that has ended. Errors are part of the result."""
        assert isinstance(source, Outcome)  # noqa: S101  a batch downloads outcomes
        state = self._states[source.key or ""]
        try:
            await self._keep_earlier_video(state, source)
        except LumaError as error:
            if state.earlier_result is not None:
                self.keep_earlier_result(state, str(error))
            return FailedDownload(source, source.id, error)
        if not source.ok:
            return FailedDownload(source, source.id, source.error)
        try:
            state.files = await self._output.save(self._luma, source.generation, state.row.key)
        except LumaError as error:
            return FailedDownload(source, source.id, error)
        return CompletedDownload(source, source.id, Path(state.files.file))

    def keep_earlier_result(self, state: RowState, note: str) -> Result:
        """Let a row keep its earlier result with a note, and return that."""
        assert state.earlier_result is not None  # noqa: S101  the callers have checked it
        state.keeps_earlier = True
        if state.extensions_left:
            state.video = state.earlier_result.id
        result = replace(state.earlier_result, note=note)
        self._results.add(result, has_ended=False)
        return result

    async def _keep_earlier_video(self, state: RowState, outcome: Outcome) -> None:
        """Keep the video of a row that was redone, and record its new job.

        This comes before the download. Between the two, a killed process leaves a result that is
        not downloaded, and a file that may be either video; the earlier one has its other name.

        Raises:
            BatchError: the video cannot be kept, or the result cannot be written.
            JournalError: the job of an edited row cannot be read.

        """
        if state.any_request:
            state.entry = await self._journal.find(state.row.key)
        before = state.earlier_result
        if before is None and state.replaces is not None:
            before = await self._unrecorded(state.row, state.replaces)
        if before is None or state.keeps_earlier or before.id == outcome.id:
            return
        if isinstance(outcome.error, SubmissionStoppedError):
            return
        state.earlier = await self._output.keep_earlier(before)
        if outcome.ok:
            self._results.add(self.result(state, outcome, None), has_ended=False)

    async def _unrecorded(self, row: Row, id: str) -> Result:
        """Return a result of the job that a redo replaces, if `results.jsonl` has lost its own.

        Its files are found by their names.
        """
        files = await self._output.files_of_row(row.key)
        return Result(
            key=row.key,
            line=row.line,
            state=ResultState.NOT_DOWNLOADED,
            prompt="",  # the row may have been edited since
            id=id,
            file=files[0] if files else None,
            outputs=tuple(OutputFile(file=file) for file in files),
        )

    def result(self, state: RowState, outcome: Outcome, error: LumaError | None) -> Result:
        """Return the result of a row, with its files or the error of the download."""
        row, before = state.row, self._results.all.get(state.row.key)
        if isinstance(outcome.error, KeyConflictError) and before is not None and before.id:
            return with_note(row, result_of_conflict(before, outcome.error), None)
        if outcome.ok:
            generation, took = outcome.generation, state.took
            files = state.files if error is None else None
            result = result_of_video(row, generation, files=files, error=error, took=took)
        else:
            result = result_of_error(row, outcome, was_uncertain=state.was_uncertain)
        metadata = None if row.metadata is None else dict(row.metadata)
        source = state.source if result.id is not None else None
        # After a redo that was rejected, the job that it was to replace is the row's own again.
        earlier = tuple(video for video in state.earlier if video.id != result.id)
        result = replace(result, earlier=earlier, source=source, metadata=metadata)
        if state.entry is not None:
            result = result_of_earlier_job(row, result, before, state.entry)
        return with_note(row, result, self._results.all.get(row.parent or ""))
