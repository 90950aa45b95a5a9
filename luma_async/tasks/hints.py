"""Hints: the jobs whose ends a server reports to a hook, and the callbacks that came for them."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from typing import NamedTuple, TypeVar

from luma_async.generation import Generation
from luma_async.shell import command_about, shell_word

logger = logging.getLogger("luma_async")
Value = TypeVar("Value")

NET_FACTOR = 4.0
"""Factor by which delays between looks are longer while callbacks can be relied on."""

MISSES = 3
"""Number of jobs in a row that ended without a callback, after which callbacks are not relied on
until another one comes."""

LATE = 10.0
"""Seconds that these ends must lie apart. A look may be faster than the callbacks of many jobs that
end together."""

MOST_KEPT = 10_000
"""Maximum number of ended jobs, and of uncertain submissions, whose callbacks are recognised."""


class Hook:
    """Callbacks about one job. Times are seconds on the clock of the event loop.

    Attributes:
        request_id: the request id of the submission. The token in the path of the hook contains it.
        is_expected: `True` if callbacks are known to be sent, so that looks may be fewer.
        calls: number of callbacks that have come.
        look_at: time of the look that a callback asks for, until that look begins.
        looked_at: time of the latest look that a callback asked for.
        told_end_at: time at which a callback said that the job has ended; `None` if none has.
        unanswered_since: time since which the looks that a callback asked for fail.

    """

    __slots__ = (
        "calls",
        "is_expected",
        "look_at",
        "looked_at",
        "request_id",
        "told_end_at",
        "unanswered_since",
    )

    def __init__(self, request_id: str, *, is_expected: bool) -> None:
        self.request_id = request_id
        self.is_expected = is_expected
        self.calls = 0
        self.look_at: float | None = None
        self.looked_at = -math.inf
        self.told_end_at: float | None = None
        self.unanswered_since: float | None = None


class EarlyCallback(NamedTuple):
    """Callback that came before the answer to its submission: the id and the state in its body."""

    id: str
    says_ended: bool


class Hints:
    """Registry of expected callbacks by request id. Pure: it has no clock and looks at nothing.

    A submission is expected before it is sent, because a callback may come before its answer. It
    becomes a watched job, or is withdrawn. Ended jobs and uncertain submissions are remembered for
    a while.
    """

    def __init__(self) -> None:
        self._submitting: dict[str, EarlyCallback | None] = {}
        self._watched: dict[str, str] = {}
        """Ids of watched jobs."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._given_up: OrderedDict[str, str] = OrderedDict()
        """Ids of running jobs that are no longer watched, but perhaps again or by another process.
        The id that a callback has told of an uncertain job is not trusted, and is empty here."""
        self._uncertain: OrderedDict[str, str | None] = OrderedDict()
        """Job keys of uncertain submissions."""
        self._are_reliable = self._are_missing = False
        self._misses = 0
        self._first_miss_at = 0.0

    @property
    def net_factor(self) -> float:
        """Factor for the delays of jobs with a hook: more than 1 once callbacks come."""
        return NET_FACTOR if self._are_reliable else 1.0

    def expect(self, request_id: str) -> None:
        """Expect callbacks about a submission that is about to be sent."""
        self._uncertain.pop(request_id, None)
        self._submitting.setdefault(request_id, None)

    def withdraw(self, request_id: str) -> None:
        """Expect no callbacks about a submission that has no job, or one that is not watched."""
        self._submitting.pop(request_id, None)

    def uncertain(self, request_id: str, key: str | None) -> None:
        """Keep a submission that may have a job, and its job key, so that a callback settles it."""
        early = self._submitting.pop(request_id, None)
        _keep(self._uncertain, request_id, key)
        if early is not None:
            self._tell_uncertain(request_id, early.id)

    def accepted(self, request_id: str, id: str) -> EarlyCallback | None:
        """Connect a submission with its job, and return the early callback, if one has come."""
        self._uncertain.pop(request_id, None)
        self._given_up.pop(request_id, None)
        self._watched[request_id] = id
        return self._submitting.pop(request_id, None)

    def ended(self, hook: Hook, id: str, now: float, *, has_ended: bool) -> bool:
        """Record that a job is no longer watched, because it has ended or was given up.

        Return `True` if callbacks became unreliable.
        """
        self._watched.pop(hook.request_id, None)
        if not has_ended:
            _keep(self._given_up, hook.request_id, id)
            return False
        _keep(self._ended, hook.request_id, None)
        if not hook.is_expected or hook.calls:
            return False
        if not self._misses:
            self._first_miss_at = now
        self._misses += 1
        if self._are_missing or self._misses < MISSES or now - self._first_miss_at < LATE:
            return False
        self._are_reliable, self._are_missing = False, True
        return True

    def forget_watched(self) -> None:
        """Record that no job is watched any more."""
        self._watched.clear()

    def knows(self, request_id: str) -> bool:
        """Return `True` if the submission was made by this client. Any thread may call this."""
        return (
            request_id in self._watched
            or request_id in self._submitting
            or request_id in self._ended
            or request_id in self._given_up
            or request_id in self._uncertain
        )

    def may_be_elsewhere(self, request_id: str) -> bool:
        """Return `True` if another process may watch the job of a known submission."""
        return request_id in self._given_up or request_id in self._uncertain

    def heard(
        self, request_id: str, seen: Generation | None, *, says_ended: bool = False
    ) -> str | None:
        """Record a callback about a known submission. Return the id of its job, if it has one.

        `seen` is the status in the callback, if it has one. It is not trusted: it tells only if
        another look is worthwhile, and the id of an uncertain job for the log. `says_ended` is
        `True` if it, or a hint of another process, says that the job has ended.
        """
        self._misses, self._are_reliable, self._are_missing = 0, True, False
        if request_id in self._submitting:
            early = self._submitting[request_id]
            says_ended = says_ended or (seen is not None and seen.state.terminal)
            self._submitting[request_id] = EarlyCallback(
                (seen.id if seen is not None else "") or (early.id if early is not None else ""),
                says_ended or (early is not None and early.says_ended),
            )
        elif request_id in self._uncertain:
            self._tell_uncertain(request_id, "" if seen is None else seen.id)
        return self._watched.get(request_id) or self._given_up.get(request_id) or None

    def _tell_uncertain(self, request_id: str, id: str) -> None:
        """Log that an uncertain submission has a job, until a callback has told its id."""
        log_uncertain_job(request_id, self._uncertain[request_id], id)
        if id:
            del self._uncertain[request_id]
            _keep(self._given_up, request_id, "")


def log_missing_callbacks() -> None:
    """Log that callbacks do not come, so that jobs are looked at as often as without them."""
    logger.warning(
        "The last %d jobs or more ended without a callback. Is the public URL of the webhook "
        "reachable for the server? Until a callback comes, jobs are looked at as often as "
        "without a webhook.",
        MISSES,
    )


def log_uncertain_job(request_id: str, key: str | None, id: str) -> None:
    """Log that a callback shows that the server has the job of an uncertain submission."""
    of_key = "" if key is None else f"job key {key!r}, "
    if not id:
        step = "The callback does not tell its id. Look for the job at the server, then settle it."
    elif key is None:
        step = f"By the callback, its id is {id[:80]!r}: LumaClient.watch() watches it."
    else:
        settle = command_about("luma-async settle", key, options=f"--id {shell_word(id[:80])}")
        step = f"By the callback, its id is {id[:80]!r}. If so, settle it: {settle}"
    logger.warning(
        "The server has the job of a submission that is uncertain (%srequest id %s): a callback "
        "came for it. %s",
        of_key,
        request_id,
        step,
    )


def _keep(kept: OrderedDict[str, Value], id: str, value: Value) -> None:
    kept[id] = value
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
