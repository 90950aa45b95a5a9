"""Plan of a batch: the rows that are left to run, and the state of each row.

Everything here is computed from facts that the runner has read before: the manifest, the results
and files of earlier runs, and the journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType

from luma_async.batch.earlier_videos import EarlierVideo
from luma_async.batch.redo import Redo
from luma_async.batch.results import (
    Result,
    ResultState,
    RowFiles,
    result_unknown_to_journal,
)
from luma_async.batch.rows import Row
from luma_async.errors import KeyConflictError, SubmissionStoppedError, SubmissionUncertainError
from luma_async.generation import Generation, GenerationFailedError
from luma_async.journal import Entry, EntryState
from luma_async.tasks.run_many import FailedOutcome

_UNSUCCESSFUL = (EntryState.FAILED, EntryState.LOST)

_UNCERTAIN = (EntryState.UNCERTAIN, EntryState.SUBMITTING)
"""An entry that is being submitted may be that of a run that was killed."""


@dataclass(slots=True, eq=False)
class RowState:
    """State of a row while its batch runs.

    Attributes:
        row: the row.
        is_new: `True` if a submission of the row pays for a job; `False` if the journal has the
            job, so that it is watched and not paid again.
        retries: `False` if a job of the row that failed or is uncertain is not submitted again.
        was_uncertain: `True` if an earlier submission of the row may have been accepted.
        redo: the id of the job that a new job of the row replaces, if the row is redone.
        replaces: the same id, also if an interrupted run has replaced the job.
        earlier_result: the result that a redo replaces.
        keeps_earlier: `True` if the redo certainly brought no video, so that the earlier one stays.
        any_request: `True` if the row gets the job of its key, although the row was edited since.
        entry: the job of such a row in the journal.
        source: the id of the job that the row extends.
        earlier: the earlier videos of the row.
        files: the files of the row, once they are saved.
        extensions_left: number of rows that extend this row and are still to be submitted.
        video: the video of the row or the id of its job, if extensions of it are left.
        started_at: the time when the row was submitted, by `time.monotonic()`.
        took: seconds from the submission to the end of the job, if this run paid for the job.

    """

    row: Row
    is_new: bool
    was_uncertain: bool
    retries: bool = True
    redo: str | None = None
    replaces: str | None = None
    earlier_result: Result | None = None
    keeps_earlier: bool = False
    any_request: bool = False
    entry: Entry | None = None
    source: str | None = None
    earlier: tuple[EarlierVideo, ...] = ()
    files: RowFiles | None = None
    extensions_left: int = 0
    video: Generation | str | None = None
    started_at: float = 0.0
    took: float | None = None

    def take_video(self) -> Generation | str | None:
        """Return the video for an extension, and release it after the last one.

        A generation has several kilobytes, and a batch may have many rows.
        """
        video = self.video
        self.extensions_left -= 1
        if not self.extensions_left:
            self.video = None
        return video


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows that are left to run, and the states of all rows by their keys.

    Attributes:
        states: the state of each row.
        left: the rows to run, in the order of the manifest.
        finished: number of rows for which nothing is left to do.
        held_back: results of rows that are paid for but not in the journal. They are not run.
        without_video: keys of rows that get no video in this run, so that nothing can extend them.

    """

    states: dict[str, RowState]
    left: list[Row]
    finished: int
    held_back: list[Result]
    without_video: list[str]


def make_plan(
    rows: Iterable[Row],
    *,
    results: Mapping[str, Result],
    with_file: AbstractSet[str],
    entries: Mapping[str, EntryState],
    retry_failed: bool,
    retry_uncertain: bool,
    redos: Mapping[str, Redo] = MappingProxyType({}),
) -> Plan:
    """Decide for each row if it is run, and if running it pays for a job.

    `results` are those of earlier runs, `with_file` the keys whose videos are in the folder,
    `entries` the states of the keys in the journal, and `redos` the rows that are redone.
    """
    states: dict[str, RowState] = {}
    left: list[Row] = []
    finished = 0
    held_back: list[Result] = []
    without_video: list[str] = []
    for row in rows:
        key = row.key
        entry, result = entries.get(key), results.get(key)
        state = states[key] = state_of_row(
            row, entry, result, retry_failed=retry_failed, retry_uncertain=retry_uncertain
        )
        if (redo := redos.get(key)) is not None and _is_left_to_redo(redo, result):
            state.earlier_result, state.replaces = result, redo.replaces
            if not redo.is_begun:
                state.is_new, state.redo = True, redo.replaces
            left.append(row)
        elif result is None:
            left.append(row)
        elif is_finished(result, has_file=key in with_file, retry_failed=retry_failed):
            finished += 1
            if result.state is ResultState.DONE and result.id is not None:
                state.video = result.id
            else:
                without_video.append(key)
        elif entry is None and _is_paid(result):
            held_back.append(result_unknown_to_journal(result))
            without_video.append(key)
        else:
            left.append(row)
    for row in left:
        if row.parent is not None:
            states[row.parent].extensions_left += 1
    return Plan(states, left, finished, held_back, without_video)


def state_of_row(
    row: Row,
    entry: EntryState | None,
    result: Result | None,
    *,
    retry_failed: bool,
    retry_uncertain: bool,
) -> RowState:
    """Return the state of a row before it runs, by its entry in the journal and its result."""
    was_uncertain = entry in _UNCERTAIN
    return RowState(
        row,
        is_new=entry is None
        or (retry_failed and entry in _UNSUCCESSFUL)
        or (retry_uncertain and was_uncertain),
        was_uncertain=was_uncertain,
        earlier=() if result is None else result.earlier,
    )


def is_finished(result: Result, *, has_file: bool, retry_failed: bool) -> bool:
    """Return `True` if nothing is left to do for a row that has this result.

    A row that was edited keeps the video that was paid for.
    """
    if result.state is ResultState.DONE:
        return has_file
    return result.state is ResultState.FAILED and not retry_failed


def _is_left_to_redo(redo: Redo, result: Result | None) -> bool:
    """Return `True` unless an interrupted run has redone the row, with a result."""
    return not redo.is_begun or result is None or result.id != redo.current


def _is_paid(result: Result) -> bool:
    """Return `True` if a job for a row was accepted and did not fail."""
    return result.id is not None and result.state is not ResultState.FAILED


def is_unpaid(outcome: FailedOutcome) -> bool:
    """Return `True` if an error tells for certain that nothing was paid."""
    return outcome.id is None and not isinstance(outcome.error, SubmissionUncertainError)


def has_other_job(outcome: FailedOutcome) -> bool:
    """Return `True` if the job key has a job that was submitted for an earlier text of the row."""
    return isinstance(outcome.error, KeyConflictError) and outcome.error.id is not None


def keeps_earlier(state: RowState, outcome: FailedOutcome) -> bool:
    """Return `True` if a redo certainly brought no video, so that a row keeps its earlier one."""
    if state.earlier_result is None or state.earlier_result.state is not ResultState.DONE:
        return False
    if isinstance(outcome.error, SubmissionStoppedError):
        return False
    has_failed = isinstance(outcome.error, GenerationFailedError) and outcome.id is not None
    return has_failed or (is_unpaid(outcome) and not state.was_uncertain)
