"""Retry policy: the failures that are retried, and those after which a retry could pay twice."""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from typing import Any

import backoff

from luma_async.transport.rejections import REJECTING_STATUSES

FIRST_DELAY = 0.5
"""Maximum delay in seconds before the first retry. Each further one may take twice as long."""

MAX_DELAY = 30.0
"""Maximum delay in seconds before a retry, unless the server asks for more."""


class Failure(Enum):
    """Kind of a failed try, as far as the retry policy needs it."""

    NOT_SENT = "never connected: DNS, refused, proxy, TLS; or the request was not sent whole"
    BUSY = "429, or a rejection with 5xx: a later try may be accepted"
    REJECTED = "an answer that will not change"
    INCONCLUSIVE = "sent, and the answer was late, lost, unreadable or a temporary error"
    UNRECOGNISED = "an error status that is not known to come before a job is made"


class Action(Enum):
    """Action that follows a failed try."""

    RETRY = "send the call again"
    RAISE = "raise the error"
    UNCERTAIN = "the job may have been accepted: raise SubmissionUncertainError"


_AFTER_READS = {
    Failure.NOT_SENT: Action.RETRY,
    Failure.BUSY: Action.RETRY,
    Failure.REJECTED: Action.RAISE,
    Failure.INCONCLUSIVE: Action.RETRY,
    Failure.UNRECOGNISED: Action.RAISE,
}
_AFTER_SUBMISSIONS = {
    **_AFTER_READS,
    Failure.INCONCLUSIVE: Action.UNCERTAIN,
    Failure.UNRECOGNISED: Action.UNCERTAIN,
}

_TEMPORARY_STATUSES = frozenset({303, 408, 409, 423, 424, 425, 499})
"""Statuses below 500 that may change within seconds. A 303 may lead to the job that was made."""


def action_for(failure: Failure, *, submits: bool) -> Action:
    """Return the action for a failed call; `submits` says that the call is a submission."""
    return (_AFTER_SUBMISSIONS if submits else _AFTER_READS)[failure]


def classify_status(status: int, *, is_rejection: bool) -> Failure:
    """Return the kind of failure for an HTTP status of 300 or more.

    `is_rejection` must be `True` only if it is certain that neither the server nor anything behind
    it has made a job.
    """
    if is_rejection:
        return Failure.BUSY if status == 429 or status >= 500 else Failure.REJECTED
    if status >= 500 or status in _TEMPORARY_STATUSES or status in REJECTING_STATUSES:
        # A rejecting status arrives here only if its text speaks of a lost answer or an upstream.
        return Failure.INCONCLUSIVE
    return Failure.UNRECOGNISED


def retry_delays() -> Generator[float, Any, None]:
    """Yield the seconds before each retry: exponential backoff, half of it random.

    After a first `next()`, send in each failed try. Its `retry_after` is the minimum of the delay,
    unless it is `None`.
    """
    growing = backoff.expo(base=2, factor=FIRST_DELAY, max_value=MAX_DELAY)
    next(growing)
    failed = yield 0.0
    while True:
        delay: float = next(growing)
        least = delay / 2 if failed.retry_after is None else failed.retry_after
        failed = yield least + backoff.full_jitter(delay / 2)
