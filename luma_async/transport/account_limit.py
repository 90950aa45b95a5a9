"""Account limit: submissions wait for a job to end while the account runs as many as it may.

An account with too many requests is asked again after a while. An account with too many jobs has
room for another one as soon as one of them ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections import deque
from collections.abc import Callable
from enum import Enum

logger = logging.getLogger("luma_async")

MIN_PAUSE = 1.0
"""Minimum seconds between two submissions that are sent without a job's end in between. Applies
even if the server asks for less, because nothing else limits these submissions."""

DEFAULT_PAUSES = (2.0, 30.0)
"""Seconds until the next submission is sent if the server sends no `Retry-After`: first and
longest. Each pause is twice the one before."""

_ENDS = 64
"""Number of jobs' ends whose times are kept, to compare them with submissions in flight."""


_Queue = deque[asyncio.Future["Turn"]]


class Turn(Enum):
    """Permission for one submission to leave although the account is full, by its reason."""

    END = "a job of this client ended"
    TRY = "the time that the server asked for is over"


class AccountLimit:
    """Queue for submissions while the server runs as many jobs as the account may have.

    There is no queue at first. A rejection for too many jobs makes the account full: submissions
    wait here then instead of being rejected one after another. Each job of this client that ends
    lets one submission leave. When the server's `Retry-After` is over, one submission leaves as a
    try. Each try that is accepted lets two more leave, because jobs of other clients may have
    ended, too. If the queue is empty after an accepted try, the account is no longer full.

    `on_wait` is called when the first submission begins to wait.
    """

    def __init__(self) -> None:
        self.is_full = False
        self.on_wait: Callable[[], None] | None = None
        self._rejected: _Queue = deque()  # submissions that were rejected once go first
        self._queued: _Queue = deque()
        self._ends: deque[float] = deque(maxlen=_ENDS)
        self._unused_ends = 0
        self._tries = 0  # submissions that may leave without a job's end
        self._try_at = math.inf
        self._default_pause = DEFAULT_PAUSES[0]
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._has_told = False  # that it is full

    @property
    def has_waiters(self) -> bool:
        """`True` if a submission waits for room."""
        return bool(self._rejected or self._queued)

    @property
    def needs_job_ends(self) -> bool:
        """`True` if the end of a job would let a submission leave, now or as soon as one comes."""
        # Only a full account has waiters. This is read after each poll, so the usual case is first.
        return self.is_full and (self.has_waiters or _now() < self._try_at < math.inf)

    def job_ended(self, now: float) -> None:
        """Record that a poll at the time `now` found a job of this client to have ended."""
        self._ends.append(now)
        if self.is_full:
            self._unused_ends += 1
            self._let_go()

    async def enter(self, *, again: bool = False) -> Turn:
        """Wait until a submission may leave, before others if it was rejected and comes `again`.

        Each turn must be ended by `accepted()`, `rejected()` or `unused()`.
        """
        is_first = not (self._rejected if again else self.has_waiters)
        if is_first and (turn := self._take()) is not None:
            return turn
        waiter: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        had_waiters = self.has_waiters
        queue = self._rejected if again else self._queued
        queue.append(waiter)
        if not had_waiters:
            self._begin_to_wait()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    queue.remove(waiter)
                self._set_timer()
            else:
                self.unused(waiter.result())
            raise

    def accepted(self, turn: Turn | None) -> None:
        """Record that the server accepted a submission."""
        self._default_pause = DEFAULT_PAUSES[0]
        if turn is not Turn.TRY or not self.is_full:
            return
        if not self.has_waiters:
            self.is_full = False
            self._tell_of_room()
            self._unused_ends = self._tries = 0
            self._try_at = math.inf
            return
        self._tries += 2
        self._let_go()

    def rejected(self, reason: object, retry_after: float | None, *, sent: float) -> None:
        """Record that a submission, sent at the time `sent`, was rejected for too many jobs.

        A job that ended before `sent` left no room, as the rejection shows. A job that ended
        later may have left room.
        """
        ended_since = sum(end > sent for end in self._ends)
        self._unused_ends = min(self._unused_ends, ended_since) if self.is_full else ended_since
        self._tries = 0
        self._try_at = _now() + self._pause(retry_after)
        self._reason = str(reason)
        self.is_full = True
        self._set_timer()
        self._let_go()

    def unused(self, turn: Turn | None) -> None:
        """Return the turn of a submission that did not leave, or that failed for another reason."""
        if turn is None or not self.is_full:
            return
        if turn is Turn.END:
            self._unused_ends += 1
        else:
            self._tries += 1
        self._let_go()

    def _pause(self, retry_after: float | None) -> float:
        if retry_after is not None:
            return max(retry_after, MIN_PAUSE)
        pause = self._default_pause
        self._default_pause = min(pause * 2, DEFAULT_PAUSES[1])
        return pause

    def _begin_to_wait(self) -> None:
        if not self._has_told:
            self._has_told = True
            left = self._try_at - _now()
            at_most = "" if left == math.inf else f", for {max(left, 0.0):.0f} s at most"
            logger.info(
                "The account is full: submissions wait for a job of this client to end%s. (%s)",
                at_most,
                self._reason,
            )
        self._set_timer()
        if self.on_wait is not None:
            self.on_wait()

    def _tell_of_room(self) -> None:
        if self._has_told:
            self._has_told = False
            logger.info("The account has room again: submissions no longer wait.")

    def _take(self) -> Turn | None:
        if self._unused_ends:
            self._unused_ends -= 1
            return Turn.END
        if self._try_at <= _now():
            self._try_at = math.inf  # until the outcome of this try is known
            self._tries += 1
        if self._tries:
            self._tries -= 1
            return Turn.TRY
        return None

    def _let_go(self) -> None:
        while queue := self._rejected or self._queued:
            if queue[0].done():  # cancelled just now
                queue.popleft()
            elif (turn := self._take()) is not None:
                queue.popleft().set_result(turn)
            else:
                break
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.has_waiters and self._try_at < math.inf:
            self._timer = asyncio.get_running_loop().call_at(self._try_at, self._try_is_due)

    def _try_is_due(self) -> None:
        self._timer = None
        if self._try_at < math.inf:
            self._try_at = min(self._try_at, _now())  # a timer may fire early by its resolution
            self._let_go()


def _now() -> float:
    return asyncio.get_running_loop().time()


_JOBS = r"(jobs?|tasks?|generations?|videos?|renders?|renderings?|renditions?)"
_RUNNING = r"(concurrent(ly)?|parallel|simultaneous(ly)?|running|active|ongoing|queued|pending)"
_RUNNING_DE = r"(gleichzeitige?n?|parallele?n?|laufende?n?|aktive?n?)"
_JOBS_DE = r"(auftr(ä|ae)ge?n?|jobs?|aufgaben?|generierungen?|videos?)"

_TOO_MANY_JOBS = re.compile(
    rf"too many ({_RUNNING} )?(\w+ )?{_JOBS}\b"
    rf"|{_RUNNING} (\w+ )?{_JOBS}\b"
    rf"|{_JOBS} (are |is )?(already )?({_RUNNING}|in progress|in parallel)\b"
    rf"|{_JOBS} (at once|at (the same|a|one) time|in flight)\b"
    r"|max(imum)? concurren\w*(?! requests?\b)"
    r"|concurren(t|cy)( \w+)? (limit|quota|max)\w*|(limit|quota|maximum) (of|on|for) concurrency"
    rf"|{_RUNNING_DE} {_JOBS_DE}\b|{_JOBS_DE} gleichzeitig|zu viele {_JOBS_DE}\b"
    r"|并发.{0,6}(任务|作业|生成|上限|限制|超|满|过多)"
    r"|(同时|正在).{0,8}(任务|作业|生成|视频).{0,8}(上限|限制|超|满|过多)"
    r"|(任务|作业).{0,4}(过多|太多|已满|已达上限)"
)
"""Texts about too many jobs at once. `concurrent requests` are requests, not jobs."""

_OTHER_LIMIT = re.compile(
    r"\b(per|an?|each|every|last|past) (second|minute|hour|day|week|month)\b"
    r"|\b(daily|hourly|weekly|monthly|today|tomorrow|heute|morgen)\b"
    r"|\b(within|last|past|every) (the last |the past )?\d+ ?"
    r"(s|m|h|sec|min|second|minute|hour|day)s?\b"
    r"|(?<!again )\bin \d+ ?(h|hour|day)s?\b"
    r"|\b(no|any) (active|running) (\w+ )?(video|generation)\b"
    r"|\brp[smhd]\b|\bconcurrent requests?\b|\btoo many requests?\b|请求(过多|太多|频繁|次数)"
    r"|每(秒|分|小时|天|日|周|月)|今日|当日"
    r"|\bpro (sekunde|minute|stunde|tag|woche|monat)\b|zu viele anfragen|\bt(ä|ae)glich"
)
"""Texts about a limit per time, of requests or of a plan: the end of a job makes no room in it."""

_CODES = re.compile(
    rf"(too many|max(imum)?) ({_RUNNING} )?{_JOBS}"
    rf"|{_RUNNING} {_JOBS}( limit)?( \w+)?|concurren(t|cy)( {_JOBS})? limit( \w+)?"
    rf"|(too many|max) concurren\w+|account full"
)
"""Error codes of servers for too many jobs at once."""


def mentions_job_limit(code: str | None, message: str) -> bool:
    """Return `True` if a 429 says that too many jobs are running at once.

    >>> mentions_job_limit(None, "Too many concurrent jobs")
    True
    >>> mentions_job_limit("429", "too many requests")
    False
    """
    said = _normalized(message)
    if _OTHER_LIMIT.search(said):
        return False
    return bool(_CODES.fullmatch(_normalized(code or "")) or _TOO_MANY_JOBS.search(said))


def _normalized(text: str) -> str:
    """Return a text in lower case, with one blank for each run of blanks, `_` and `-`."""
    return re.sub(r"[\s_\-]+", " ", text[:4096].lower()).strip()
