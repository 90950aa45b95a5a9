"""One 429 slows all calls of its kind, not one request."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque

import anyio

from luma_async.transport.rate_limit_headers import LONGEST_WAIT

logger = logging.getLogger("luma_async")

UNSAID_WAIT = 1.0
"""Seconds to hold still after a 429 that does not say how long."""

WORTH_SAYING = 10.0
"""Seconds of an allowance that is used up from which on the log says so."""


class Brake:
    """Holds calls of one kind back until the moment that a 429 asked for, then paces them.

    A refusal holds them at once. When all that were on their way are answered, it is judged: where
    most of them were taken it came at random, and the others go on. `kind` is their name for the
    log.
    """

    def __init__(self, kind: str = "requests") -> None:
        self._kind = kind
        self._held_until = 0.0
        self._asked_until = 0.0  # by refusals that are not judged yet
        self._is_in_doubt = False
        self._in_flight = 0
        self._times_held = 0
        self._released = asyncio.Event()
        self._used_up = (0.0, 0.0)  # when that was said last, and until when
        self._pace = Pace()
        self.passed = self._pace.taken
        self.is_off = True
        """Whether requests may leave as they come."""

    @property
    def is_held(self) -> bool:
        """Whether nothing may leave now, whatever the pace."""
        return not self.is_off and self._until() > _now()

    def left(self) -> None:
        """Note that a request leaves."""
        self._in_flight += 1

    def ended(self) -> None:
        """Note that a request that had left was answered, or will never be."""
        self._in_flight -= 1
        if self._is_in_doubt and not self._in_flight:
            self._judge()

    def press(self, seconds: float | None, *, sent: float) -> None:
        """Hold everything for `seconds` from now (`UNSAID_WAIT` if the server did not say).

        `sent` is when the refused request had left, by the event loop's clock.
        """
        until = _now() + (UNSAID_WAIT if seconds is None else seconds)
        if self._pace.refused(sent):
            self._is_in_doubt = True
            self._asked_until = max(self._asked_until, until)
        else:
            self._held_until = max(self._held_until, until)
        self._times_held += 1
        self.is_off = False

    def used_up(self, seconds: float, *, sent: float) -> None:
        """Hold everything because an answer said that nothing more is allowed for so long.

        That is believed for `LONGEST_WAIT` at most. A server that then takes a request, and says
        the same again before the time is over, does not mean it.
        """
        said_at, until = self._used_up
        now = _now()
        if said_at + LONGEST_WAIT <= sent < until - 1.0:
            return
        self._used_up = (now, now + seconds)
        believed = min(seconds, LONGEST_WAIT)
        if seconds >= WORTH_SAYING and self._held_until <= now:
            capped = f"; trying again after {believed:.0f} s" if believed < seconds else ""
            logger.info(
                "The server allows no more %s for %.0f s (X-RateLimit-Remaining: 0)%s.",
                self._kind,
                seconds,
                capped,
            )
        self._held_until = max(self._held_until, now + believed)
        self._times_held += 1
        self.is_off = False

    async def wait(self) -> None:
        """Return once it is off, and a turn has come."""
        while True:
            if (left := self._until() - _now()) > 0:
                with anyio.move_on_after(left):
                    await self._released.wait()
                continue  # it may have been pressed again
            if self._is_in_doubt:
                self._judge()  # those that are still on their way are late
                continue
            self._held_until = 0.0
            if (left := self._pace.turn(_now()) - _now()) <= 0:
                self.is_off = not self._pace.is_limited
                return
            times_held = self._times_held
            await asyncio.sleep(left)
            if times_held == self._times_held:  # else the turn was of an earlier pace
                return

    def _until(self) -> float:
        return max(self._held_until, self._asked_until)

    def _judge(self) -> None:
        """Believe the refusals, or let everything go on."""
        self._is_in_doubt = False
        asked_until, self._asked_until = self._asked_until, 0.0
        if self._pace.judge(_now()):
            self._held_until = max(self._held_until, asked_until)
            self._times_held += 1
        else:
            self._released.set()
            self._released = asyncio.Event()


def _now() -> float:
    return asyncio.get_running_loop().time()


DECREASE = 0.9
"""What is left of the pace after a refusal for too many requests."""

RETURN = 20.0
"""Seconds until the pace is again what was refused; near it, it hardly grows."""

SLOWEST = 2.0
"""Requests a second that no refusal takes away: a server that wants less says when to come."""

LIFTED_AT = 100.0
"""How many times what was refused the pace may grow to before there is none any more."""

MANY = 0.5
"""The part of the recent requests beyond which refusals are of a limit."""

MOST = 0.8
"""The same of those that were sent since the first refusal, and answered after it."""

DOUBT = 60.0
"""Seconds for which single refusals are not believed after a slower pace did not end them."""

_RECENT = 16
"""Number of recent requests of which it is counted how many were refused."""

_FEW = 4
"""Number of refusals below which, and of seconds of measuring below which a pace is not begun."""

_TRIALS = 3
"""A single refusal so many times in a row, each at a slower pace, came at random."""

_SOON = 64
"""Requests taken since the last cut within which a refusal shows that the cut did not help."""

_WINDOW = 10
"""Seconds over which it is measured how much the server took."""


class Pace:
    """Times requests so that a server at its limit is seldom met above it.

    There is no pace until a limit is believed. Then it is a little less than what the server took,
    grows back to that, stays near it for a while, and only then looks for more, faster and faster:
    multiplicative decrease, and the increase of CUBIC (RFC 9438, section 4.2). All moments are
    seconds of one clock that does not go back.

    Many refusals among the recent requests are those of a limit. A single one among many that
    were taken may be, or may have come at random (from a busy channel behind the gateway): a slower
    pace ends those of a limit. So the pace is cut on trial. If single refusals go on all the same,
    those cuts are undone, as TCP undoes the one that a late packet led to (RFC 4015).
    """

    def __init__(self) -> None:
        # When a second began, and the requests in it. It begins with its first request: a burst
        # across the strokes of a clock would look like half as many.
        self._taken: deque[tuple[float, int]] = deque(maxlen=_WINDOW + 1)
        self._recent: deque[tuple[float, bool]] = deque(maxlen=_RECENT)  # when, and if taken
        self._ceiling = math.inf
        self._believed_at = -math.inf
        self._cut_at = -math.inf
        self._next_turn = -math.inf
        self._first_refused = 0.0  # of the refusals that are not judged yet
        self._answers = 0  # from that one on
        self._taken_since_cut = 0
        self._trials = 0  # single refusals since the last cut that was no trial
        self._before_trials = math.inf  # the ceiling that they are undone to
        self._doubts_until = -math.inf

    @property
    def is_limited(self) -> bool:
        """Whether requests have to wait for their turn."""
        return self._ceiling < math.inf

    def taken(self, sent: float) -> None:
        """Note that the server took a request that was sent at this moment."""
        if self._taken and sent < self._taken[-1][0] + 1.0:
            began, requests = self._taken.pop()
            self._taken.append((began, requests + 1))
        else:
            self._taken.append((sent, 1))
        if sent > self._believed_at:
            self._recent.append((sent, True))
            self._taken_since_cut += 1
            if self._answers:
                self._answers += 1

    def refused(self, sent: float) -> bool:
        """Note that a request sent at this moment was refused; return whether it tells anything.

        Those that were on their way when a limit was believed tell nothing new.
        """
        if sent <= self._believed_at:
            return False
        self._recent.append((sent, False))
        if not self._answers:
            self._first_refused = sent
        self._answers += 1
        return True

    def judge(self, now: float) -> bool:
        """Return whether the refusals since the last judgement are of a limit; if so, cut the pace.

        Where nothing was taken lately there is nothing to keep below.
        """
        many = self._are_many_refused(now)
        self._answers = 0
        if not many and not self._is_single_believed(now):
            return False
        few = sum(not was_taken for _, was_taken in self._recent) < _FEW
        is_trial = few and self._is_soon_after_cut(now)
        self._believed_at = now
        self._recent.clear()
        measured = self._measured(now)
        if measured > 0 and (self.is_limited or not few or self._has_measured(now)):
            if is_trial:
                self._trials += 1
            else:
                self._trials = 0
                self._before_trials = self._ceiling
            self._taken_since_cut = 0
            self._ceiling = max(min(measured, self.rate(now)), SLOWEST)
            self._cut_at = now
            self._next_turn = now
            self._doubts_until = -math.inf
        return True

    def rate(self, now: float) -> float:
        """Return how many requests may leave in a second."""
        if not self.is_limited:
            return math.inf
        since_return = (now - self._cut_at - RETURN) / RETURN
        if now < self._doubts_until:
            since_return = min(since_return, 0.0)  # refusals do not tell where the limit is
        return self._ceiling * (1.0 + (1.0 - DECREASE) * since_return**3)

    def turn(self, now: float) -> float:
        """Take the next turn, and return when it is."""
        if not self.is_limited:
            return now
        turn = max(now, self._next_turn)
        rate = self.rate(turn)
        if rate > self._ceiling * LIFTED_AT:
            self._ceiling = math.inf
            return now
        self._next_turn = turn + 1.0 / rate
        return turn

    def _are_many_refused(self, now: float) -> bool:
        """Return whether most of the recent requests were refused, or of those since the first."""
        lately = [was_taken for sent, was_taken in self._recent if sent >= now - _WINDOW]
        if lately.count(False) > MANY * len(lately):
            return True
        first = self._first_refused
        since = [was_taken for sent, was_taken in self._recent if sent >= first][-self._answers :]
        refused = since.count(False)
        return refused > 2 and refused > MOST * len(since)

    def _is_single_believed(self, now: float) -> bool:
        """Return whether a refusal among many requests that were taken is that of a limit."""
        if now < self._doubts_until:
            return False
        if not self.is_limited:
            return self._has_measured(now)
        if not self._is_soon_after_cut(now) or self._trials + 1 < _TRIALS:
            return True
        self._trials = 0
        self._ceiling = self._before_trials
        self._doubts_until = now + DOUBT
        return False

    def _is_soon_after_cut(self, now: float) -> bool:
        return self._taken_since_cut < _SOON and self.rate(now) < self._ceiling

    def _has_measured(self, now: float) -> bool:
        """Return whether it is known what the server takes in a second."""
        return len(self._seconds(now)) >= _FEW

    def _seconds(self, now: float) -> list[int]:
        """Return how many requests were taken in each of the last seconds that had any."""
        return [requests for began, requests in self._taken if began >= now - _WINDOW]

    def _measured(self, now: float) -> float:
        """Return how many requests a second were taken lately, in the seconds that had any."""
        lately = self._seconds(now)
        mean = sum(lately) / max(len(lately), 1)
        if len(lately) < 2 or now >= self._taken[-1][0] + 1.0:
            return mean
        return max(mean, sum(lately[:-1]) / (len(lately) - 1))  # the last second may have more
