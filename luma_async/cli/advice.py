"""Advice: what to type next, where an error's own text speaks of Python."""

from __future__ import annotations

import shlex

from luma_async.errors import (
    DownloadError,
    GenerationFailedError,
    LumaError,
    SubmissionUncertainError,
    TaskTimeoutError,
)


def advice_on(error: LumaError) -> str | None:
    """Return what to type next, if that is not what the error says itself."""
    if isinstance(error, SubmissionUncertainError) and error.key is not None:
        key = shlex.quote(error.key)
        return (
            f"Here: luma-async settle {key} --id ID, or luma-async settle {key} --resubmit; "
            "--retry-uncertain sends it again at your risk."
        )
    if isinstance(error, TaskTimeoutError):
        return f"Here: luma-async watch {shlex.quote(error.task_id)}."
    if isinstance(error, DownloadError) and "overwrite=True" in str(error):
        return "Here: --overwrite."
    if isinstance(error, GenerationFailedError):
        return None
    return "Here: --retry-failed." if "retry_failed=True" in str(error) else None
