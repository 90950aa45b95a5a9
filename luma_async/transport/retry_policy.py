"""The retry table: which failures are sent again, and which of them could pay for a job twice."""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from typing import Any

import backoff

from luma_async.transport.rejections import REJECTING_STATUSES


class Failure(Enum):
    """A failure of one try, in the terms that decide what to do about it."""

    NOT_SENT = "never connected: DNS, refused, proxy, TLS; or the request was not sent whole"
    BUSY = "429, or a rejection with 5xx: sent again later, it may be accepted"
    REJECTED = "an answer that will not change"
    UNCLEAR = "sent, and its answer was late, lost or unreadable"
    UNKNOWN = "a refusal that is not known to come before a job is made"


class Verdict(Enum):
    """What to do about a failure."""

    REPEAT = "send it again"
    RAISE = "raise the error"
    UNCERTAIN = "the job may have been accepted: raise SubmissionUncertainError"


_OF_READS = {
    Failure.NOT_SENT: Verdict.REPEAT,
    Failure.BUSY: Verdict.REPEAT,
    Failure.REJECTED: Verdict.RAISE,
    Failure.UNCLEAR: Verdict.REPEAT,
    Failure.UNKNOWN: Verdict.RAISE,
}
_OF_SUBMISSIONS = {
    **_OF_READS,
    Failure.UNCLEAR: Verdict.UNCERTAIN,
    Failure.UNKNOWN: Verdict.UNCERTAIN,
}

_PASSING_STATUSES = frozenset({303, 408, 409, 423, 424, 425, 499})
"""Statuses below 500 that may well be others a moment later; 303 may lead to a job."""


def verdict(failure: Failure, *, submits: bool) -> Verdict:
    """Return what to do about a failure of a call."""
    return (_OF_SUBMISSIONS if submits else _OF_READS)[failure]


def failure_of_refusal(status: int, *, is_rejection: bool) -> Failure:
    """Return what a refusal with an HTTP status means.

    `is_rejection` is whether it is certain that it made no job, and nobody behind the server did.
    """
    if is_rejection:
        return Failure.BUSY if status == 429 or status >= 500 else Failure.REJECTED
    if status >= 500 or status in _PASSING_STATUSES or status in REJECTING_STATUSES:
        return Failure.UNCLEAR  # a rejecting status would be certain, were it not for its text
    return Failure.UNKNOWN


def waits() -> Generator[float, Any, None]:
    """Give the seconds before each next try: exponential, half of it random.

    After a first `next()` it is sent what went wrong, whose `retry_after` is a floor unless it is
    `None`.
    """
    growing = backoff.expo(base=2, factor=0.5, max_value=30.0)
    next(growing)
    failed = yield 0.0
    while True:
        pause: float = next(growing)
        least = pause / 2 if failed.retry_after is None else failed.retry_after
        failed = yield least + backoff.full_jitter(pause / 2)
