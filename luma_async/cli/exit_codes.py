"""Exit codes of `luma-async`.

0    success
1    a job or a download failed, or the server rejected a request
2    usage error: an option, an invalid request or manifest, no API key
3    the server could not be reached
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
    """Exit code of the process."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130

    @classmethod
    def of(cls, errors: Sequence[LumaError | None]) -> ExitCode:
        """Return the exit code for a list of outcomes: an error for each failure, else `None`."""
        failures = [error for error in errors if error is not None]
        if not failures:
            return cls.DONE
        if len(failures) < len(errors):
            return cls.FAILED
        if all(isinstance(error, APIConnectionError) for error in failures):
            return cls.UNREACHABLE
        if all(isinstance(error, _USAGE_ERRORS) for error in failures):
            return cls.USAGE
        return cls.FAILED


_USAGE_ERRORS = (ConfigurationError, InvalidRequestError, KeyConflictError, ManifestError)

EXPLANATION = (
    "Exit codes: 0 success; 1 a job or a download failed, or the server rejected a request; "
    "2 usage error (an option, an invalid request or manifest, no API key); 3 the server could "
    "not be reached; 130 interrupted."
)
"""Exit codes in one paragraph, for the help."""
