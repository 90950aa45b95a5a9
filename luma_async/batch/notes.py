"""Notes: tell that the video of a row is not that of its present text.

A row keeps the video that was paid for. The note says why the video is not the one that the
manifest asks for now. It names no option and no argument: users of the command line and of Python
read it, and the summary and the gallery have the command beside it.
"""

from __future__ import annotations

from dataclasses import replace

from luma_async.batch.results import Result, ResultState
from luma_async.batch.rows import Row

_HAS_JOB = (
    ResultState.DONE,
    ResultState.NOT_DOWNLOADED,
    ResultState.FAILED,
    ResultState.LOST,
)


def is_edited(row: Row, result: Result) -> bool:
    """Return `True` if a row was edited after its job was submitted."""
    # Results of early releases have no digest.
    is_changed = result.asks is not None and result.asks != row.asks
    return is_changed and result.state in _HAS_JOB


def with_note(row: Row, result: Result, source: Result | None) -> Result:
    """Return a result with the note that is right for its row, if it needs one.

    `source` is the result of the row that the row extends. A note about a redo that brought no
    video stays.
    """
    edited, continues_earlier = _edited(result), _continues_earlier(row)
    note = result.note
    if note not in (None, edited, continues_earlier):
        return result
    if is_edited(row, result):
        note = edited
    elif _has_other_source(result, source):
        note = continues_earlier
    else:
        note = None
    return result if note == result.note else replace(result, note=note)


def note_of_failed_redo(id: str | None, why: str) -> str:
    """Return the note of a row whose redo certainly brought no video, so that it keeps its own."""
    job = "no job was accepted" if id is None else f"job {id} failed"
    return (
        f"The row was submitted anew, but {job}, so it keeps its video: {why.rstrip('.')}. "
        "Another redo submits it once more."
    )


def note_of_skipped_redo(row: Row) -> str:
    """Return the note of a row that was not redone, because its source was not."""
    return (
        f"The row was not submitted anew, because row {row.parent!r}, from which it is made, has "
        "no new output. Another redo submits it anew."
    )


def _has_other_source(result: Result, source: Result | None) -> bool:
    if source is None or source.state is not ResultState.DONE:
        return False
    return result.source is not None and result.source != source.id


def _edited(result: Result) -> str:
    after = "its video was made" if result.state is ResultState.DONE else "its job was submitted"
    return f"The row was edited after {after}; a redo submits it anew."


def _continues_earlier(row: Row) -> str:
    return (
        f"The row continues an earlier video of row {row.parent!r}, which has a new one; "
        "a redo submits it anew."
    )
