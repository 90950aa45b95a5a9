"""Result: what became of one row of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ResultState(StrEnum):
    """The state of a row."""

    DONE = "done"
    """Its video is in the folder."""
    NOT_DOWNLOADED = "not downloaded"
    """It is accepted and paid for, and its file is not here yet."""
    FAILED = "failed"
    """The server made no video of it."""
    LOST = "lost"
    """It is paid for, and the server did not know it any more; it is looked for in each run."""
    UNCERTAIN = "uncertain"
    """It may have been accepted and paid for; its key is settled by the user."""
    NOT_STARTED = "not started"
    """No job was taken: the server refused it, or what it continues has no video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The result of one row of a manifest.

    Attributes:
        key: the row's name.
        line: where it stands in the manifest, the first line being 1.
        state: what became of it.
        prompt: what it shall show.
        extends: the key of the row that it continues, or the id of a task.
        id: the server's id of the job, if there is one.
        file: the video, relative to the folder, with forward slashes.
        error: why there is none, in a sentence.
        duration: of the video, in seconds, where the server says.
        took: seconds until the job had ended, with what it waited for its turn, if that was seen.
        asks: a digest of what is asked for; another one means that the row was changed.
        width, height: of the video, in pixels, where the server says.

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
