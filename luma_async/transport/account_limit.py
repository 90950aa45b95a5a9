"""Full account: submissions wait for a job to end while too many are running at once."""

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

SHORTEST_PAUSE = 1.0
"""Seconds between two tries without a job's end in between, even if the server asks for less:
nothing else bounds the tries."""

UNSAID_PAUSES = (2.0, 30.0)
"""Seconds until the next try where the server does not say, at first and at most; each is twice
the one before."""

_ENDS = 64
"""Number of ends whose moments are kept, to compare with submissions that are on their way."""


_Queue = deque[asyncio.Future["Turn"]]


class Turn(Enum):
    """The reason why a submission may leave although the account was full."""

    END = "a job of this client ended"
    TRY = "the time that the server asked for is over"


class Account:
    """Lets submissions leave one by one while the server runs as many jobs as it allows.

    Open at first. A refusal for too many jobs makes it full: submissions queue here then instead
    of being refused one after another. Each job of this client that ends lets one go. When the
    server's `Retry-After` is over one is let go to try; each that is accepted so lets two more
    go, because others may have left more room than was known. An account whose queue is empty
    after a try that was accepted is open again.

    `on_wait` is called when a queue begins.
    """

    def __init__(self) -> None:
        self.is_full = False
        self.on_wait: Callable[[], None] | None = None
        self._refused: _Queue = deque()  # those that were refused once, before the others
        self._queued: _Queue = deque()
        self._ends: deque[float] = deque(maxlen=_ENDS)
        self._free = 0  # ends that no submission has made use of
        self._tries = 0  # submissions that may leave without an end
        self._try_at = math.inf
        self._unsaid_pause = UNSAID_PAUSES[0]
        self._timer: asyncio.TimerHandle | None = None
        self._refusal = ""

    @property
    def is_waited_for(self) -> bool:
        """Whether a submission waits for room."""
        return bool(self._refused or self._queued)

    @property
    def needs_ends(self) -> bool:
        """Whether the end of a job would let a submission go, now or if one came."""
        return self.is_waited_for or (self.is_full and _now() < self._try_at < math.inf)

    def job_ended(self, now: float) -> None:
        """Note that a job of this client was just seen to have ended at the server."""
        self._ends.append(now)
        if self.is_full:
            self._free += 1
            self._let_go()

    async def enter(self, *, again: bool = False) -> Turn:
        """Return when a submission may leave; one that was refused before goes `again` first.

        Each turn is given back by `accepted()`, `refused()` or `unused()`.
        """
        is_first = not (self._refused if again else self.is_waited_for)
        if is_first and (turn := self._take()) is not None:
            return turn
        waiter: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        was_waited_for = self.is_waited_for
        queue = self._refused if again else self._queued
        queue.append(waiter)
        if not was_waited_for:
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
        """Note that the server accepted a submission."""
        self._unsaid_pause = UNSAID_PAUSES[0]
        if turn is not Turn.TRY or not self.is_full:
            return
        if not self.is_waited_for:
            self.is_full = False
            self._free = self._tries = 0
            self._try_at = math.inf
            return
        self._tries += 2
        self._let_go()

    def refused(self, why: object, retry_after: float | None, *, sent: float) -> None:
        """Note that a submission, sent at `sent`, was one job too many.

        Ends that were seen before it was sent have left no room. One that was seen since may
        have.
        """
        seen_since = sum(end > sent for end in self._ends)
        self._free = min(self._free, seen_since) if self.is_full else seen_since
        self._tries = 0
        self._try_at = _now() + self._pause(retry_after)
        self._refusal = str(why)
        self.is_full = True
        self._set_timer()
        self._let_go()

    def unused(self, turn: Turn | None) -> None:
        """Give back the turn of a submission that did not leave, or that failed otherwise."""
        if turn is None or not self.is_full:
            return
        if turn is Turn.END:
            self._free += 1
        else:
            self._tries += 1
        self._let_go()

    def _pause(self, retry_after: float | None) -> float:
        if retry_after is not None:
            return max(retry_after, SHORTEST_PAUSE)
        pause = self._unsaid_pause
        self._unsaid_pause = min(pause * 2, UNSAID_PAUSES[1])
        return pause

    def _begin_to_wait(self) -> None:
        left = self._try_at - _now()
        at_most = "" if left == math.inf else f", for {max(left, 0.0):.0f} s at most"
        logger.info(
            "The account is full: submissions wait for a job of this client to end%s. (%s)",
            at_most,
            self._refusal,
        )
        self._set_timer()
        if self.on_wait is not None:
            self.on_wait()

    def _take(self) -> Turn | None:
        if self._free:
            self._free -= 1
            return Turn.END
        if self._try_at <= _now():
            self._try_at = math.inf  # until it is known what became of this one
            self._tries += 1
        if self._tries:
            self._tries -= 1
            return Turn.TRY
        return None

    def _let_go(self) -> None:
        while queue := self._refused or self._queued:
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
        if self.is_waited_for and self._try_at < math.inf:
            self._timer = asyncio.get_running_loop().call_at(self._try_at, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._try_at < math.inf:
            self._try_at = min(self._try_at, _now())  # a loop may be early by its resolution
            self._let_go()


def _now() -> float:
    return asyncio.get_running_loop().time()


_JOBS = r"(jobs?|tasks?|generations?|videos?|renders?|renderings?|renditions?)"
_RUNNING = r"(concurrent(ly)?|parallel|simultaneous(ly)?|running|active|ongoing|queued|pending)"
_IM_GANGE = r"(gleichzeitige?n?|parallele?n?|laufende?n?|aktive?n?)"
_AUFTRAEGE = r"(auftr(ä|ae)ge?n?|jobs?|aufgaben?|generierungen?|videos?)"

_FULL = re.compile(
    rf"too many ({_RUNNING} )?(\w+ )?{_JOBS}\b"
    rf"|{_RUNNING} (\w+ )?{_JOBS}\b"
    rf"|{_JOBS} (are |is )?(already )?({_RUNNING}|in progress|in parallel)\b"
    rf"|{_JOBS} (at once|at (the same|a|one) time|in flight)\b"
    r"|max(imum)? concurren\w*(?! requests?\b)"
    r"|concurren(t|cy)( \w+)? (limit|quota|max)\w*|(limit|quota|maximum) (of|on|for) concurrency"
    rf"|{_IM_GANGE} {_AUFTRAEGE}\b|{_AUFTRAEGE} gleichzeitig|zu viele {_AUFTRAEGE}\b"
    r"|并发.{0,6}(任务|作业|生成|上限|限制|超|满|过多)"
    r"|(同时|正在).{0,8}(任务|作业|生成|视频).{0,8}(上限|限制|超|满|过多)"
    r"|(任务|作业).{0,4}(过多|太多|已满|已达上限)"
)
"""Too many jobs at once, in words; `concurrent requests` are requests."""

_OF_A_TIME = re.compile(
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
"""A limit of so many in a time, or of requests, or no plan: no end of a job makes room in it."""

_CODES = re.compile(
    rf"(too many|max(imum)?) ({_RUNNING} )?{_JOBS}"
    rf"|{_RUNNING} {_JOBS}( limit)?( \w+)?|concurren(t|cy)( {_JOBS})? limit( \w+)?"
    rf"|(too many|max) concurren\w+|account full"
)


def speaks_of_full_account(code: str | None, message: str) -> bool:
    """Return whether a refusal with 429 says that too many jobs are running at once.

    >>> speaks_of_full_account(None, "Too many concurrent jobs")
    True
    >>> speaks_of_full_account("429", "too many requests")
    False
    """
    said = _normalized(message)
    if _OF_A_TIME.search(said):
        return False
    return bool(_CODES.fullmatch(_normalized(code or "")) or _FULL.search(said))


def _normalized(text: str) -> str:
    """Return a text in lower case, with one blank for every blank, underscore or hyphen in it."""
    return re.sub(r"[\s_\-]+", " ", text[:4096].lower()).strip()
