"""In which of its known ways a gateway answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One gateway's habits; the defaults are those of the documented examples.

    Args:
        submission: a task object, the envelope around one, an envelope with the bare id, an array
            of one task object, or a wrapper of a web client's around it.
        one: what "get one" answers: a task object, an envelope around a row, an array of one task
            object, or that object within `{"data": ...}`.
        knows_repeats: whether a submission whose `Idempotency-Key` came before is answered with the
            job that was made then, and makes none.
        extend: whether the call is still offered, or answers 404 or 405.
        batch: what "get many" answers: an array of task objects, an envelope of rows, that array
            within `{"data": ...}`, or that it is not there.
        largest_batch: ids in one request before the gateway refuses it.
        forgets: the part of the ids that "get many" leaves out of its answers.
        mixes_up: the part of the answers of "get one" that tell of another job than was asked for.
        upstream_ids: whether "get one" calls each job by the id that it has at the upstream.
        row_data: what a row wraps: the task as it is, as it was when it was taken, or null.
        estimates: whether running jobs say how many (real) seconds they still take.
        times: how moments are written.
        video: where and how the video is named; "reason" is `fail_reason` or `failure_reason`.
        link_delay: simulated seconds from the completion of a job until its video is named.
        id_name: what an id is called.
        words: the family of state words; "odd" ones are in nobody's documentation.
        errors: the family of error bodies.

    """

    submission: Literal["object", "envelope", "id", "array", "wrapped"] = "object"
    one: Literal["object", "row", "array", "wrapped"] = "object"
    knows_repeats: bool = False
    extend: Literal["offered", "404", "405"] = "offered"
    batch: Literal["array", "rows", "wrapped", "404", "405"] = "array"
    largest_batch: int | None = None
    forgets: float = 0.0
    mixes_up: float = 0.0
    upstream_ids: bool = False
    row_data: Literal["fresh", "stale", "null"] = "fresh"
    estimates: bool = False
    times: Literal["rfc3339", "no_fraction", "no_zone", "epoch", "epoch_ms", "zero"] = "rfc3339"
    video: Literal["object", "text", "artifact", "raw", "assets", "reason"] = "object"
    link_delay: float = 0.0
    id_name: Literal["id", "task_id", "taskId"] = "id"
    words: Literal["luma", "task", "official", "odd"] = "luma"
    errors: Literal["openai", "task", "task_200", "detail", "reason", "list", "page"] = "openai"
