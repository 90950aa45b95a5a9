"""What may be sent again: the one table that stands between a failure and a job paid for twice."""

from __future__ import annotations

from enum import Enum


class Failure(Enum):
    """What went wrong, in the terms that decide what to do about it."""

    NOT_SENT = "never connected: DNS, refused, TLS; or a picture's request was not sent whole"
    BUSY = "429, or a refusal that the server explains in JSON with 5xx"
    UNCLEAR = "sent, and what became of it is not known"
    REFUSED = "an answer that will not change"


class Verdict(Enum):
    """What to do about a failure."""

    REPEAT = "send it again"
    RAISE = "raise the error"
    UNCERTAIN = "the job may have been taken: raise SubmissionUncertainError"


_OF_READS = {
    Failure.NOT_SENT: Verdict.REPEAT,
    Failure.BUSY: Verdict.REPEAT,
    Failure.UNCLEAR: Verdict.REPEAT,
    Failure.REFUSED: Verdict.RAISE,
}
_OF_SUBMISSIONS = {**_OF_READS, Failure.UNCLEAR: Verdict.UNCERTAIN}


def verdict(failure: Failure, *, submits: bool) -> Verdict:
    """Return what to do about a failure of a call."""
    return (_OF_SUBMISSIONS if submits else _OF_READS)[failure]


def failure_of_status(status: int, *, explained: bool) -> Failure:
    """Return what an HTTP status of 300 or more means.

    `explained` is whether the server said in JSON why; a proxy in front of it does not.
    """
    if status == 429:
        return Failure.BUSY
    if status >= 500:
        return Failure.BUSY if explained else Failure.UNCLEAR
    if status == 303 or (status in (408, 425) and not explained):
        return Failure.UNCLEAR  # 303 may lead to the job that was taken
    return Failure.REFUSED
