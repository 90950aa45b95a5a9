"""Advice: what to type next, where an error's own text speaks of Python."""

from __future__ import annotations

from luma_async.errors import (
    DownloadError,
    GenerationFailedError,
    LumaError,
    SubmissionUncertainError,
    TaskTimeoutError,
)
from luma_async.shell import command_about, shell_word

_DOWNLOAD_OPTIONS = {
    "overwrite=True": "--overwrite",
    "allow_private_media=True": "--allow-private-media",
    "max_download_bytes": "--max-download-bytes N",
}


def advice_on(error: LumaError, *, settle: str) -> str | None:
    """Return what to type next, if that is not what the error says itself.

    `settle` is the command line that settles a job of the journal, without the job's key.
    """
    if isinstance(error, SubmissionUncertainError) and error.key is not None:
        accepted = command_about(settle, error.key, options="--id ID")
        rejected = command_about(settle, error.key, options="--resubmit")
        return f"Here: {accepted}, or {rejected}; --retry-uncertain sends it again at your risk."
    if isinstance(error, TaskTimeoutError):
        return f"Here: luma-async watch {shell_word(error.task_id)}."
    if isinstance(error, DownloadError):
        options = [option for said, option in _DOWNLOAD_OPTIONS.items() if said in str(error)]
        return f"Here: {' and '.join(options)}." if options else None
    if isinstance(error, GenerationFailedError):
        return None
    return "Here: --retry-failed." if "retry_failed=True" in str(error) else None
