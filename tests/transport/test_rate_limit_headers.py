"""Headers that say when to come again, in all the ways that servers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from luma_async.transport.rate_limit_headers import (
    parse_reset,
    parse_retry_after,
    reported_allowance,
)

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"
EPOCH = 1795176000  # the same moment


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("900", 120.0),
        ("inf", 120.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 20 Nov 2026 12:00:07 GMT", 7.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 20 Nov 2026 13:00:00 GMT", 120.0),
        ("Fri, 99 Nov 2026 13:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """Measured by the server's clock, and capped at two minutes."""
    assert parse_retry_after(value, date=NOON) == seconds


def test_a_date_without_the_servers_clock_is_measured_by_ours() -> None:
    """Not every answer has a `Date`."""
    soon = datetime.now(UTC) + timedelta(seconds=30)
    value = soon.strftime("%a, %d %b %Y %H:%M:%S GMT")

    assert 25 < (parse_retry_after(value) or 0) <= 30


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("12", 12.0),
        ("0.25", 0.25),
        (f"{EPOCH + 7}", 7.0),
        (f"{(EPOCH + 7) * 1000}", 7.0),
        (f"{EPOCH - 7}", 0.0),
        ("6m0s", 120.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("Fri, 20 Nov 2026 12:00:07 GMT", 7.0),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_a_reset_is_seconds_a_moment_or_a_span(value: str | None, seconds: float | None) -> None:
    """Gateways have not agreed on one."""
    assert parse_reset(value, date=NOON) == seconds


@pytest.mark.parametrize(
    ("headers", "allowance"),
    [
        ({}, None),
        ({"X-RateLimit-Reset": "5"}, None),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "5"}, (1.0, 5.0)),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5"}, (0.0, 5.0)),
        ({"X-RateLimit-Remaining": "-2", "X-RateLimit-Reset": "5"}, (-2.0, 5.0)),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "86400"}, (0.0, 86400.0)),
        ({"X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Remaining": "few", "X-RateLimit-Reset": "5"}, None),
        ({"X-RateLimit-Remaining": "nan", "X-RateLimit-Reset": "5"}, None),
    ],
    ids=str,
)
def test_an_allowance_is_a_number_and_the_time_of_its_renewal(
    headers: dict[str, str], allowance: tuple[float, float] | None
) -> None:
    """One without the other says nothing."""
    assert reported_allowance(headers) == allowance
