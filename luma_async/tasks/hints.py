"""Hints: the jobs whose ends a server reports to a hook, and the callbacks that came for them."""

from __future__ import annotations

import logging
from collections import OrderedDict

from luma_async.generation import Generation

logger = logging.getLogger("luma_async")

NET_FACTOR = 4.0
"""Factor by which delays between looks are longer while callbacks can be relied on."""

MISSES = 3
"""Number of jobs in a row that ended without a callback, after which callbacks are not relied on
until another one comes."""

MOST_KEPT = 10_000
"""Maximum number of ended jobs, and of uncertain submissions, whose callbacks are recognised."""


class Hook:
    """Expectation of callbacks about one job.

    Attributes:
        request_id: the request id of the submission. The token in the path of the hook contains it.
        is_expected: `True` if callbacks are known to be sent, so that looks may be fewer.
        was_called: `True` if a callback has come.
        told_end_at: the time on the clock of the event loop at which a callback said that the job
            has ended; `None` if none has said so.

    """

    __slots__ = ("is_expected", "request_id", "told_end_at", "was_called")

    def __init__(self, request_id: str, *, is_expected: bool) -> None:
        self.request_id = request_id
        self.is_expected = is_expected
        self.was_called = False
        self.told_end_at: float | None = None


class Hints:
    """Registry of expected callbacks by request id. Pure: it has no clock and looks at nothing.

    A submission is expected before it is sent, because a callback may come before its answer. It
    becomes a watched job, or is withdrawn. Ended jobs and uncertain submissions are remembered for
    a while.
    """

    def __init__(self) -> None:
        self._submitting: dict[str, bool | None] = {}
        """Submissions by request id. The value tells if an early callback reported the end of the
        job; it is `None` if there was no callback."""
        self._watched: dict[str, str] = {}
        """Ids of watched jobs."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._uncertain: OrderedDict[str, None] = OrderedDict()
        self._misses = 0

    @property
    def net_factor(self) -> float:
        """Factor for the delays of jobs with a hook: more than 1 while callbacks come."""
        return 1.0 if self._misses >= MISSES else NET_FACTOR

    def expect(self, request_id: str) -> None:
        """Expect callbacks about a submission that is about to be sent."""
        self._uncertain.pop(request_id, None)
        self._submitting.setdefault(request_id, None)

    def withdraw(self, request_id: str, *, is_uncertain: bool) -> None:
        """Expect nothing about a submission that has no job, or one that may have a job."""
        told_end = self._submitting.pop(request_id, None)
        if is_uncertain:
            _keep(self._uncertain, request_id)
            if told_end is not None:
                self._tell_uncertain(request_id, None)

    def accepted(self, request_id: str, id: str) -> bool | None:
        """Connect a submission with its job.

        Return `True` if an early callback has reported the end of the job, `False` if one has come
        that reported something else, and `None` if none has come.
        """
        self._watched[request_id] = id
        return self._submitting.pop(request_id, None)

    def ended(self, hook: Hook) -> bool:
        """Record that a job is no longer watched. Return `True` if callbacks became unreliable."""
        self._watched.pop(hook.request_id, None)
        _keep(self._ended, hook.request_id)
        if not hook.is_expected or hook.was_called:
            return False
        self._misses += 1
        return self._misses == MISSES

    def knows(self, request_id: str) -> bool:
        """Return `True` if the submission with this request id was made by this client."""
        return (
            request_id in self._watched
            or request_id in self._submitting
            or request_id in self._ended
            or request_id in self._uncertain
        )

    def heard(self, request_id: str, seen: Generation | None) -> str | None:
        """Record a callback. Return the id of the watched job to look at, or `None`.

        `seen` is the status in the callback, if it has one. It is not trusted: it tells only if
        another look is worthwhile, and the id of an uncertain job for the log.
        """
        if not self.knows(request_id):
            return None
        self._misses = 0
        says_ended = seen is not None and seen.state.terminal
        if request_id in self._submitting:
            self._submitting[request_id] = says_ended or bool(self._submitting[request_id])
        elif request_id in self._uncertain:
            self._tell_uncertain(request_id, seen)
        return self._watched.get(request_id)

    def _tell_uncertain(self, request_id: str, seen: Generation | None) -> None:
        named = f" By the callback, its id is {seen.id[:80]!r}." if seen and seen.id else ""
        logger.warning(
            "A callback came for the submission with the request id %s, which is uncertain. So the "
            "server has the job.%s Check it there, and settle it with this id.",
            request_id,
            named,
        )


def _keep(ids: OrderedDict[str, None], id: str) -> None:
    ids[id] = None
    if len(ids) > MOST_KEPT:
        ids.popitem(last=False)
