"""Outcomes of jobs, as results of their rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any

from luma_async.batch.results import Result, ResultState
from luma_async.batch.rows import Row
from luma_async.errors import (
    GenerationFailedError,
    LumaError,
    NotFoundError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation
from luma_async.tasks.run_many import Outcome


def made(
    row: Row,
    generation: Generation,
    *,
    file: PurePath | None,
    error: LumaError | None,
    took: float | None,
) -> Result:
    """Return the result of a row whose video is made, and here unless there is an `error`."""
    return Result(
        key=row.key,
        line=row.line,
        state=ResultState.NOT_DOWNLOADED if file is None else ResultState.DONE,
        prompt=row.request.prompt,
        extends=row.extends,
        id=generation.id,
        file=None if file is None else file.as_posix(),
        error=None if error is None else str(error),
        took=None if took is None else round(took, 2),
        asks=row.asks,
        duration=_said(generation, "duration"),
        width=_said(generation, "width"),
        height=_said(generation, "height"),
    )


def not_made(row: Row, outcome: Outcome, *, was_uncertain: bool) -> Result:
    """Return the result of a row whose job ended, or never began, without a video.

    One that `was_uncertain` before stays so where it was sent once more in vain.
    """
    error = outcome.error
    why = str(error)
    if isinstance(error, SubmissionUncertainError):
        state = ResultState.UNCERTAIN
    elif was_uncertain and outcome.id is None:
        state = ResultState.UNCERTAIN
        why = f"{why.rstrip('.')}. An earlier submission under its key may have been accepted."
    elif isinstance(error, GenerationFailedError) and outcome.id is not None:
        state = ResultState.FAILED
    elif isinstance(error, NotFoundError) and outcome.id is not None:
        state = ResultState.LOST
    elif outcome.id is not None:  # it is taken, and what became of it is not known yet
        state = ResultState.NOT_DOWNLOADED
    else:
        state = ResultState.NOT_STARTED
    return Result(
        key=row.key,
        line=row.line,
        state=state,
        prompt=row.request.prompt,
        extends=row.extends,
        id=outcome.id,
        error=why,
        asks=row.asks,
    )


def unknown_to_journal(before: Result) -> Result:
    """Return the result of a row that is paid for, though the journal has no entry for it."""
    why = (
        f"It was paid for as task {before.id}, and the journal does not know it. Name the journal "
        "that does, or delete its line in results.jsonl to have it submitted again."
    )
    return replace(before, state=ResultState.NOT_DOWNLOADED, file=None, error=why)


def never_begun(row: Row) -> Result:
    """Return the result of a row that continues one without a video."""
    return Result(
        key=row.key,
        line=row.line,
        state=ResultState.NOT_STARTED,
        prompt=row.request.prompt,
        extends=row.parent,
        error=f"row {row.parent!r}, which it continues, has no video",
        asks=row.asks,
    )


def is_unpaid(outcome: Outcome) -> bool:
    """Whether an outcome cost nothing for certain."""
    return outcome.id is None and not isinstance(outcome.error, SubmissionUncertainError)


def _said(made: Generation, name: str) -> Any:
    """Return what is said of a video, at whichever of its two places."""
    places = [getattr(asset, name) for asset in (made.video, made.video_raw) if asset is not None]
    return next((place for place in places if place is not None), None)
