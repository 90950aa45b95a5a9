"""Circuit breaker: errors that stop a batch at once, or after several in a row."""

from __future__ import annotations

import pytest

from luma_async import (
    APIConnectionError,
    DownloadError,
    JournalError,
    LumaError,
    PermissionDeniedError,
    RateLimitError,
    UploadError,
)
from luma_async.batch.circuit_breaker import CircuitBreaker

FATAL = JournalError("The journal cannot be written.")
UNREACHABLE = APIConnectionError("no answer")
LIMIT = 10


def test_an_error_of_all_rows_stops_at_once() -> None:
    """The first such error is the problem of the batch."""
    breaker = CircuitBreaker()

    assert breaker.job_failed(FATAL, was_accepted=False)
    breaker.job_failed(JournalError("another"), was_accepted=False)

    assert breaker.problem is FATAL


@pytest.mark.parametrize("error", [UNREACHABLE, UploadError("no media host")])
@pytest.mark.parametrize("was_accepted", [False, True])
def test_ten_unreachable_rows_in_a_row_stop_the_batch(
    error: LumaError, *, was_accepted: bool
) -> None:
    """An accepted job has reached the server, so its error does not count."""
    breaker = CircuitBreaker()

    stops = [breaker.job_failed(error, was_accepted=was_accepted) for _ in range(LIMIT)]

    assert stops == [False] * (LIMIT - 1) + [not was_accepted]
    assert breaker.problem is (None if was_accepted else error)


def test_ten_forbidden_rows_in_a_row_stop_the_batch() -> None:
    """One forbidden row can be about its prompt."""
    breaker = CircuitBreaker()
    forbidden = PermissionDeniedError("no", status=403)

    stops = [breaker.job_failed(forbidden, was_accepted=False) for _ in range(LIMIT)]

    assert stops == [False] * (LIMIT - 1) + [True]
    assert breaker.problem is forbidden


def test_a_completed_job_closes_the_breaker_again() -> None:
    """Only consecutive failures count."""
    breaker = CircuitBreaker()

    for _ in range(3):
        assert not any(breaker.job_failed(UNREACHABLE, was_accepted=False) for _ in range(9))
        breaker.job_completed()

    breaker.batch_ended()
    assert breaker.problem is None


def test_another_error_closes_the_breaker_again() -> None:
    """A row that the server rejects shows that the server is there."""
    breaker = CircuitBreaker()
    rejected = RateLimitError("too many", status=429)

    for _ in range(3):
        assert not any(breaker.job_failed(UNREACHABLE, was_accepted=False) for _ in range(9))
        assert not breaker.job_failed(rejected, was_accepted=False)

    assert breaker.problem is None


def test_ten_failed_downloads_in_a_row_stop_the_batch() -> None:
    """Further jobs would be paid for in vain."""
    breaker = CircuitBreaker()
    error = DownloadError("did not arrive")

    assert not any(breaker.download_ended(error) for _ in range(9))
    assert not breaker.download_ended(None)
    assert not any(breaker.download_ended(error) for _ in range(9))
    assert breaker.download_ended(error)
    assert breaker.problem is error


def test_a_batch_that_reached_no_server_has_a_problem() -> None:
    """A few rows are too few to stop it, but their error concerns all of them."""
    breaker = CircuitBreaker()
    breaker.job_failed(UNREACHABLE, was_accepted=False)
    assert breaker.problem is None

    breaker.batch_ended()

    assert breaker.problem is UNREACHABLE
