"""Advice: the commands and options to type after an error.

The texts of luma_async's errors name arguments of Python, such as `overwrite=True`. Advice names
the options of the command line that do the same.
"""

from __future__ import annotations

from luma_async.errors import (
    DownloadError,
    LumaError,
    NotFoundError,
    SubmissionUncertainError,
    TaskTimeoutError,
)
from luma_async.shell import command_about, shell_word

_DOWNLOAD_OPTIONS = {
    "overwrite=True": "--overwrite",
    "allow_private_media=True": "--allow-private-media",
    "max_download_bytes": "--max-download-bytes N",
}
"""Options of the command line by the arguments that errors of downloads name."""


def advice_on(error: LumaError, *, settle_command: str) -> str | None:
    """Return advice on an error, or `None` if the error's own text says it.

    `settle_command` is the command that settles a job of the journal, without the job's key.
    """
    if isinstance(error, SubmissionUncertainError) and error.key is not None:
        accepted = command_about(settle_command, error.key, options="--id ID")
        rejected = command_about(settle_command, error.key, options="--resubmit")
        return (
            f"On the command line: {accepted}, or {rejected}; --retry-uncertain submits it again "
            "at your risk."
        )
    if isinstance(error, TaskTimeoutError):
        return f"On the command line: luma-async watch {shell_word(error.task_id)}."
    if isinstance(error, DownloadError):
        options = [option for name, option in _DOWNLOAD_OPTIONS.items() if name in str(error)]
        return f"On the command line: {' and '.join(options)}." if options else None
    if isinstance(error, NotFoundError) and "retry_failed=True" in str(error):
        return "On the command line: --retry-failed."
    return None
