"""Circuit breaker: stop a batch when further rows would fail as well."""

from __future__ import annotations

from dataclasses import dataclass

from luma_async.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    InsufficientCreditsError,
    JournalError,
    LumaError,
    PermissionDeniedError,
    SubmissionUncertainError,
    UploadError,
)

_FATAL = (
    AuthenticationError,
    InsufficientCreditsError,
    JournalError,
    ConfigurationError,
    ClientClosedError,
)
"""Errors that each further row would meet as well."""

_MAX_FAILURES = 10
"""Consecutive rows that could not reach the server, were forbidden, or could not be downloaded.

One such row says little: a prompt can be forbidden, and a file can be gone.
"""


@dataclass(slots=True, eq=False)
class CircuitBreaker:
    """Counts consecutive failures of a batch, and keeps the error that concerns all rows.

    `problem` is that error; it is `None` while the batch may go on.
    """

    problem: LumaError | None = None
    _failed_jobs: int = 0
    _failed_downloads: int = 0
    _was_reached: bool = False
    _unreachable: LumaError | None = None

    @property
    def unreachable(self) -> LumaError | None:
        """Error of the last row that did not reach the server, if no row has reached it."""
        return None if self._was_reached else self._unreachable

    def job_completed(self) -> None:
        """Note that a job completed."""
        self._was_reached = True
        self._failed_jobs = 0

    def job_failed(self, error: LumaError | None, *, was_accepted: bool) -> bool:
        """Note an error of a row, and return `True` if the batch must stop."""
        is_unreachable = isinstance(error, APIConnectionError | UploadError) and not was_accepted
        is_forbidden = isinstance(error, PermissionDeniedError)  # for the account, or one prompt
        self._failed_jobs = self._failed_jobs + 1 if is_unreachable or is_forbidden else 0
        self._was_reached |= isinstance(error, APIError) or was_accepted
        if is_unreachable:
            self._unreachable = error
        fatal = _fatal(error)
        if fatal is None and self._failed_jobs < _MAX_FAILURES:
            return False
        self.problem = self.problem or fatal or error
        return True

    def download_ended(self, error: LumaError | None) -> bool:
        """Note the end of a download, and return `True` if the batch must stop."""
        self._failed_downloads = 0 if error is None else self._failed_downloads + 1
        if self._failed_downloads < _MAX_FAILURES:
            return False
        self.problem = self.problem or error
        return True

    def batch_ended(self) -> None:
        """Note the end of the batch: if no row reached the server, that is its problem."""
        self.problem = self.problem or self.unreachable


def _fatal(error: LumaError | None) -> LumaError | None:
    """Return the error of all rows that an error of one row contains, if any."""
    if isinstance(error, SubmissionUncertainError):  # one row is uncertain, the account is empty
        error = error.cause if isinstance(error.cause, InsufficientCreditsError) else None
    return error if isinstance(error, _FATAL) else None
