"""Batch sizes: reduced for gateways that reject large batches, and paused while batches fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import APIError, APITimeoutError, ServerError
from luma_async.tasks.batch_size import FIRST_PAUSE, LONGEST_PAUSE, MAX_FAILURES, BatchSize


def error(status: int) -> APIError:
    return ServerError("no", status=status, call="POST /luma/tasks")


@pytest.mark.parametrize("status", [400, 413, 414, 422])
def test_a_rejected_size_is_halved(status: int) -> None:
    """The new size is used at once, without a pause."""
    size = BatchSize(100)

    size.failed(error(status), 100, now=0.0)

    assert size.at(0.0) == 50


def test_a_reduced_size_grows_back_ever_more_slowly() -> None:
    """Each reduction doubles the number of successful batches before the size is doubled."""
    size = BatchSize(8, grow_after=3)
    for successes in (6, 12):
        size.failed(error(413), 8, now=0.0)
        for _ in range(successes - 1):
            size.succeeded()
        assert size.at(0.0) == 4

        size.succeeded()

        assert size.at(0.0) == 8


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_gateway_without_the_request_pauses_it_ever_longer(status: int) -> None:
    """The pause begins with the first failure, and doubles up to its maximum."""
    size = BatchSize(100)
    now, pause = 0.0, FIRST_PAUSE
    for _ in range(10):
        size.failed(error(status), 100, now)
        assert (size.at(now + pause - 1.0), size.at(now + pause)) == (1, 100)
        now, pause = now + pause, min(pause * 2, LONGEST_PAUSE)


def test_other_failures_pause_the_request_only_in_a_row() -> None:
    """A success in between resets the count of failures."""
    size = BatchSize(100)
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            size.failed(error(503), 100, now=0.0)
        assert size.at(0.0) == 100
        size.succeeded()
    for _ in range(MAX_FAILURES):
        size.failed(error(503), 100, now=0.0)

    assert size.at(0.0) == 1


@given(st.integers(1, 200), st.lists(st.sampled_from([None, 413, 404, 503, 0]), max_size=200))
def test_a_size_is_always_between_one_and_the_largest(
    largest: int, statuses: list[int | None]
) -> None:
    """Any sequence of results keeps the size within its bounds."""
    size = BatchSize(largest, grow_after=2)
    for now, status in enumerate(statuses):
        if status is None:
            size.succeeded()
        else:
            failed = error(status) if status else APITimeoutError("late")
            size.failed(failed, size.at(float(now)), float(now))
        assert 1 <= size.at(float(now)) <= largest
