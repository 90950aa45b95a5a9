"""Results: the states of the rows of a batch, as `results.jsonl` and the gallery have them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from luma_async.batch.earlier_videos import EarlierVideo
from luma_async.batch.rows import Row
from luma_async.errors import LumaError, NotFoundError, SubmissionUncertainError
from luma_async.generation import Generation, GenerationFailedError
from luma_async.journal import Entry
from luma_async.journal.fingerprint import kept_request
from luma_async.tasks.run_many import FailedOutcome


class ResultState(StrEnum):
    """State of a row."""

    DONE = "done"
    """The video is in the folder."""
    NOT_DOWNLOADED = "not downloaded"
    """The job was accepted and is paid for, but its video is not in the folder yet."""
    FAILED = "failed"
    """The job failed at the server."""
    LOST = "lost"
    """The job is paid for, but the server did not find it. Each run asks for it again."""
    UNCERTAIN = "uncertain"
    """The job may have been accepted and paid for. The user settles its job key."""
    NOT_STARTED = "not started"
    """No job was accepted: the server rejected it, or a row from which it is made has no output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """File of a row whose job has several outputs.

    Attributes:
        file: the path of the file, relative to the folder, with forward slashes.
        layer: the name of the layer, if the file is one.
        bytes: the size of the file, if it is at a URL.

    """

    file: str
    layer: str | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RowFiles:
    """Files of a row that were saved: the main one, and all `outputs` if there are several.

    `bytes` is the size of the main one, if it is at a URL.
    """

    file: str
    outputs: tuple[OutputFile, ...] = ()
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Result of one row of a manifest.

    Attributes:
        key: the job key of the row.
        line: the line of the row in the manifest, counted from 1.
        state: the state of the row.
        prompt: the prompt of the row, or that of its job if the row was edited since.
        extends: the key of the row that the row extends, or the id of a job.
        id: the server's id of the job, if it is known.
        file: the path of the video, or of the first output of a job without one, relative to the
            folder, with forward slashes.
        outputs: all files of the job in the server's order, if it has several; `file` is among
            them.
        bytes: the size of `file`, if it is at a URL.
        failure_code: the server's code of the reason why the job failed, if it has codes.
        error: the reason why there is no video, as a sentence.
        duration: the duration of the video in seconds, if the server reported it.
        took: seconds from the submission to the end of the job, including the time that it waited
            for a free place, if this run submitted it.
        asks: a digest of the request; it changes when the row is edited.
        width, height: the size of the video in pixels, if the server reported it.
        source: the id of the job whose video the row continues, if it extends one.
        note: a sentence for a row that has a video, but not that of its present text.
        earlier: the earlier videos of the row, oldest first, if it was redone.
        metadata: the metadata of the row.

    """

    key: str
    line: int
    state: ResultState
    prompt: str
    extends: str | None = None
    id: str | None = None
    file: str | None = None
    error: str | None = None
    duration: float | None = None
    took: float | None = None
    asks: str | None = None
    width: int | None = None
    height: int | None = None
    source: str | None = None
    note: str | None = None
    earlier: tuple[EarlierVideo, ...] = ()
    metadata: dict[str, Any] | None = field(default=None, hash=False)
    outputs: tuple[OutputFile, ...] = ()
    failure_code: str | None = None
    bytes: int | None = None


class ResultStore(Protocol):
    """Results of rows, to which further ones are added."""

    all: dict[str, Result]
    """The last result of each row, by its key."""

    def add(self, result: Result, *, has_ended: bool = True) -> None:
        """Add the result of a row. It counts as one of this run if the row `has_ended` in it.

        Raises:
            BatchError: it cannot be written.

        """


def result_of_video(
    row: Row,
    generation: Generation,
    *,
    files: RowFiles | None,
    error: LumaError | None,
    took: float | None,
) -> Result:
    """Return the result of a completed job, with its `files` or the `error` of the download."""
    return Result(
        key=row.key,
        line=row.line,
        state=ResultState.NOT_DOWNLOADED if files is None else ResultState.DONE,
        prompt=row.request.prompt,
        extends=row.extends,
        id=generation.id,
        file=None if files is None else files.file,
        error=None if error is None else str(error),
        took=None if took is None else round(took, 2),
        asks=row.asks,
        duration=_reported(generation, "duration"),
        width=_reported(generation, "width"),
        height=_reported(generation, "height"),
        outputs=() if files is None else files.outputs,
        bytes=None if files is None else files.bytes,
    )


def result_of_error(row: Row, outcome: FailedOutcome, *, was_uncertain: bool) -> Result:
    """Return the result of a row whose outcome is an error.

    A row that `was_uncertain` before this run stays uncertain if its new submission was rejected.
    """
    error = outcome.error
    why = str(error)
    if isinstance(error, SubmissionUncertainError):
        state = ResultState.UNCERTAIN
    elif was_uncertain and outcome.id is None:
        state = ResultState.UNCERTAIN
        why = f"{why.rstrip('.')}. An earlier submission with its job key may have been accepted."
    elif isinstance(error, GenerationFailedError) and outcome.id is not None:
        state = ResultState.FAILED
    elif isinstance(error, NotFoundError) and outcome.id is not None:
        state = ResultState.LOST
    elif outcome.id is not None:  # the job was accepted, and its end is not known yet
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
        failure_code=_failure_code(error),
    )


def result_of_conflict(before: Result, error: LumaError) -> Result:
    """Return the result of a row whose paid job cannot be had, because its key has a conflict."""
    return _without_file(before, str(error))


def _without_file(before: Result, why: str) -> Result:
    is_done = before.state is ResultState.DONE  # its file is missing
    state = ResultState.NOT_DOWNLOADED if is_done else before.state
    return _with_state(before, state, why)


def _with_state(before: Result, state: ResultState, why: str) -> Result:
    return replace(before, state=state, file=None, outputs=(), bytes=None, error=why)


def result_of_earlier_job(row: Row, result: Result, before: Result | None, entry: Entry) -> Result:
    """Return the result of a row that has the job of an earlier text of it.

    `before` is the result of an earlier run, and `entry` is the job in the journal.
    """
    if before is not None and before.id == result.id:
        prompt, asks = before.prompt, before.asks
    else:
        prompt, asks = str(entry.request.get("prompt", result.prompt)), _digest_of(row, entry)
    return replace(result, prompt=prompt, asks=asks, source=entry.source_id)


def _digest_of(row: Row, entry: Entry) -> str | None:
    """Return the digest of a row for its job; an empty one if the job is for another text.

    The job is for the same text if only the video differs that it continues.
    """
    unlike = {"image", "image_end", "notify_hook"}  # the journal has digests of images
    now, then = (
        {name: value for name, value in request.items() if name not in unlike}
        for request in (kept_request(row.request), entry.request)
    )
    is_extension = row.extends is not None
    return row.asks if now == then and is_extension is (entry.source_id is not None) else ""


def result_unknown_to_journal(before: Result) -> Result:
    """Return the result of a row that is paid for, but is not in the journal."""
    why = (
        f"It was paid for as job {before.id}, but it is not in this journal. Name the journal "
        "that has it, or delete its line in results.jsonl to submit the row again."
    )
    return _with_state(before, ResultState.NOT_DOWNLOADED, why)


def result_without_source(row: Row, before: Result | None = None) -> Result:
    """Return the result of a row that is made from a row without an output.

    A row that has a job `before` keeps it, and its earlier videos: they are paid for.
    """
    why = f"row {row.parent!r}, from which it is made, has no output"
    if before is not None and before.id is not None:
        return before if before.state is ResultState.FAILED else _without_file(before, why)
    return Result(
        key=row.key,
        line=row.line,
        state=ResultState.NOT_STARTED,
        prompt=row.request.prompt,
        extends=row.parent,
        error=why,
        asks=row.asks,
        earlier=() if before is None else before.earlier,
    )


def _failure_code(error: LumaError) -> str | None:
    return error.generation.failure_code if isinstance(error, GenerationFailedError) else None


def _reported(generation: Generation, name: str) -> Any:
    """Return a fact about the main output: servers report it with the video or with `video_raw`."""
    assets = (generation.output, generation.video_raw)
    found = [getattr(asset, name) for asset in assets if asset is not None]
    return next((value for value in found if value is not None), None)
