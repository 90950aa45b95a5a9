"""Exit codes: what the process says to the shell.

0    all done
1    some failed: a job, a download, or the server refused
2    bad usage: an option, an invalid request or manifest, no key
3    nothing could be reached
130  interrupted
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from luma_async.errors import (
    APIConnectionError,
    ConfigurationError,
    InvalidRequestError,
    KeyConflictError,
    LumaError,
    ManifestError,
)


class ExitCode(IntEnum):
    """What the process says to the shell."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130

    @classmethod
    def of(cls, errors: Sequence[LumaError | None]) -> ExitCode:
        """Return the code of what was done, each part of it being an error or `None`."""
        failures = [error for error in errors if error is not None]
        if not failures:
            return cls.DONE
        if len(failures) < len(errors):
            return cls.FAILED
        if all(isinstance(error, APIConnectionError) for error in failures):
            return cls.UNREACHABLE
        if all(isinstance(error, _USAGE) for error in failures):
            return cls.USAGE
        return cls.FAILED


_USAGE = (ConfigurationError, InvalidRequestError, KeyConflictError, ManifestError)

EXPLANATION = (
    "Exit codes: 0 all done; 1 some failed (a job, a download, or the server refused); "
    "2 bad usage (an option, an invalid request or manifest, no key); 3 nothing could be reached; "
    "130 interrupted."
)
