"""Row dialect: base of the dialects of gateways. These write the rows of jobs in many ways."""

from __future__ import annotations

from collections.abc import Sequence

from luma_async.dialects.dialect import Mark
from luma_async.dialects.fields import (
    JSONObject,
    as_fraction,
    as_link,
    as_object,
    as_reason,
    as_seconds,
    as_text,
    as_time,
    as_word,
    asset,
    first,
)
from luma_async.dialects.job_rows import StateWords
from luma_async.dialects.task_rows import id_of_row, ids_of_row
from luma_async.generation import Asset, Generation, State

_STATE_NAMES = ("state", "status", "task_status")
_REASON_NAMES = ("failure_reason", "fail_reason")


class RowDialect:
    """Base of dialects that reads rows in the format of gateways, in Luma's, or in a mix of both.

    A row may wrap the job in `data`.
    """

    def __init__(self) -> None:
        self._words = StateWords()

    def generation(self, row: JSONObject) -> Generation:
        """Parse a task object, or a row that wraps one.

        Some gateways put the link to the video of a completed job into the field for the reason of
        a failure.
        """
        inner = as_object(row.get("data"))
        tasks = (inner, row) if inner else (row,)
        requests = [found for task in tasks if (found := as_object(task.get("request")))]
        places = (*tasks, *(task["artifact"] for task in tasks if as_object(task.get("artifact"))))
        raw = asset(places, "video_raw")
        assets = [found for task in tasks if (found := as_object(task.get("assets")))]
        video = asset(places, "video") or asset(assets, "video") or raw
        image = asset(assets, "image", "image")
        link = None if video or image else first(tasks, as_link, *_REASON_NAMES)
        state = self._state(row, inner, has_output=bool(video or image or link))
        is_completed = state is State.COMPLETED
        if is_completed and link:
            video = Asset(url=link)
        of_video = [found for place in places if (found := as_object(place.get("video")))]
        # The conversions above return valid values, so they are not validated again.
        return Generation.of_checked(
            {
                "id": id_of_row(row) or "",
                "state": state,
                "prompt": first((*tasks, *requests), as_text, "prompt", "user_prompt"),
                "video": video,
                "video_raw": raw,
                "thumbnail": asset((*places, *of_video), "thumbnail"),
                "last_frame": asset(places, "last_frame"),
                "created_at": first(tasks, as_time, "created_at", "submit_time"),
                "failure_reason": first(
                    tasks, as_reason if is_completed else as_text, *_REASON_NAMES
                ),
                "progress": first((row, inner), as_fraction, "progress"),
                "queue_state": first(tasks, as_word, "queue_state"),
                "estimate_wait_seconds": first(tasks, as_seconds, "estimate_wait_seconds"),
                "outputs": tuple(output for output in (video, image) if output),
                "failure_code": None,
                "model": first((inner or row, *requests), as_word, "model"),
                "type": first((*requests, *tasks), as_word, "generation_type"),
                "raw": row,
            }
        )

    def mark(self, row: JSONObject) -> Mark:
        """Return the fields of a row, and of the task that it wraps, that change with progress."""
        get = row.get
        inner = get("data")
        mark = (
            get("state"),
            get("status"),
            get("task_status"),
            get("progress"),
            get("queue_state"),
            get("estimate_wait_seconds"),
        )
        if not isinstance(inner, dict):
            return mark
        # A task may be completed and get its output while the row around it is still "running".
        return (*mark, *self.mark(inner), bool(inner.get("video") or inner.get("assets")))

    def ids(self, row: JSONObject) -> Sequence[str]:
        """Return all ids of a row, and of the task that it wraps."""
        return ids_of_row(row)

    def _state(self, row: JSONObject, inner: JSONObject, *, has_output: bool) -> State:
        """Return the state of a job.

        The state of the row counts, because the task that it wraps may be out of date. There is one
        exception: if the task is completed and has its output, the row is out of date.
        """
        words = [first((place,), as_text, *_STATE_NAMES) for place in (row, inner)]
        of_row, of_inner = (self._words.state(word) if word else None for word in words)
        if of_inner is State.COMPLETED and has_output and not (of_row and of_row.terminal):
            return of_inner
        return of_row or of_inner or (State.PROCESSING if any(words) else State.PENDING)
