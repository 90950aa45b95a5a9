"""Variant: the differences between known gateways, as settings of the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Behaviour of one gateway. The defaults follow the documented examples.

    Args:
        submission: answer to a submission: a task object, an envelope around one, an envelope with
            the id only, an array of one task object, or the wrapper of a web client.
        one: answer to "get one": a task object, an envelope around a row, an array of one task
            object, or that object within `{"data": ...}`.
        knows_repeats: `True` if a repeated `Idempotency-Key` is answered with the first job, and
            creates no other one.
        callback: body of a callback: that of "get one", a row of "get many", or none.
        extend: "offered", or the HTTP status that "extend" answers.
        batch: answer to "get many": an array of task objects, an envelope of rows, that array
            within `{"data": ...}`, or an HTTP status.
        largest_batch: maximum number of ids in one request; `None` for no limit.
        forgets: fraction of ids that are missing in the answers to "get many".
        mixes_up: fraction of answers to "get one" that are about another job.
        upstream_ids: `True` if "get one" answers with the ids of an upstream server.
        row_data: task object in a row: the current one, the one at the submission, or null.
        progress: `True` if task objects tell the progress of the job and its place in the queue.
            Rows always tell the progress.
        estimates: `True` if running jobs tell the (real) seconds until they end.
        times: format of times.
        video: place and form of the link to the video; "reason" is `fail_reason` or
            `failure_reason`.
        link_delay: simulated seconds between the completion of a job and the link to its video.
        id_name: name of the field with the id.
        words: set of state words; "odd" words are undocumented.
        errors: format of error bodies.

    """

    submission: Literal["object", "envelope", "id", "array", "wrapped"] = "object"
    one: Literal["object", "row", "array", "wrapped"] = "object"
    knows_repeats: bool = False
    callback: Literal["one", "row", "none"] = "one"
    extend: Literal["offered", "404", "405"] = "offered"
    batch: Literal["array", "rows", "wrapped", "404", "405"] = "array"
    largest_batch: int | None = None
    forgets: float = 0.0
    mixes_up: float = 0.0
    upstream_ids: bool = False
    row_data: Literal["fresh", "stale", "null"] = "fresh"
    progress: bool = True
    estimates: bool = False
    times: Literal["rfc3339", "no_fraction", "no_zone", "epoch", "epoch_ms", "zero"] = "rfc3339"
    video: Literal["object", "text", "artifact", "raw", "assets", "reason"] = "object"
    link_delay: float = 0.0
    id_name: Literal["id", "task_id", "taskId"] = "id"
    words: Literal["luma", "task", "official", "odd"] = "luma"
    errors: Literal["openai", "task", "task_200", "detail", "reason", "list", "page"] = "openai"
