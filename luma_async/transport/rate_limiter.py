"""Rate limiter: after HTTP 429, all calls of a kind wait, and then leave at an adaptive rate."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque

import anyio

from luma_async.transport.rate_limit_headers import LONGEST_WAIT

logger = logging.getLogger("luma_async")

DEFAULT_PAUSE = 1.0
"""Seconds to send nothing after a 429 without `Retry-After` or a reset header."""

LOGGED_PAUSE = 10.0
"""Seconds that an exhausted allowance must last to be logged. Shorter pauses are normal operation
of a server that announces its limit."""

DECREASE = 0.9
"""Factor by which a 429 reduces the measured rate."""

RECOVERY = 20.0
"""Seconds until the rate has grown back to the one at which the server rejected requests. The
growth is slowest around that rate, because the limit is probably there."""

MIN_RATE = 2.0
"""Minimum requests per second. A server that wants fewer sends `Retry-After`."""

LIFTED_AT = 100.0
"""Multiple of the rate with rejections at which the limit is lifted."""

LIMIT_SHARE_OF_RECENT = 0.5
"""Share of rejections among the recent requests. If it is exceeded, there is a limit."""

LIMIT_SHARE_SINCE_FIRST = 0.8
"""Share of rejections since the first of them. If it is exceeded, there is a limit."""

RANDOM_TIME = 60.0
"""Seconds during which single rejections are ignored, after lower rates have not ended them."""

LARGE_ALLOWANCE = 100
"""Number of remaining requests from which on they are not counted, because so many are not sent
before the next answer comes."""

SILENCE = 5.0
"""Seconds after which one more request leaves although no answer reported a remaining one."""

_MAX_RECENT = 16
"""Maximum number of requests that count as recent."""

_MIN_EVIDENCE = 4
"""Minimum number of rejections, or of measured seconds, that say anything about the limit."""

_MAX_TRIALS = 3
"""Number of single rejections in a row, each at a lower rate than the last, that are random."""

_MAX_USELESS = 64
"""Maximum number of successful requests between a reduction and the next rejection for the
reduction to count as useless."""

_WINDOW = 10
"""Seconds over which the server's rate is measured."""


class RateLimiter:
    """Rate limiter for calls of one kind. They wait as long as a 429 asks, then leave at a rate.

    A 429 stops all calls at once. When all calls in flight are answered, the rejections are judged:
    if most of the calls succeeded, the rejections were random, and the other calls continue. `kind`
    is the name of the calls in the log.

    If answers report the remaining requests, no more leave than these. When none was left and the
    pause is over, one request leaves first, and its answer says how many may follow: a sliding
    window gives back one place at a time, and all others would be rejected.
    """

    def __init__(self, kind: str = "requests") -> None:
        self._kind = kind
        self._held_until = 0.0
        self._asked_until = 0.0  # by rejections that are not judged yet
        self._is_in_doubt = False
        self._in_flight = 0
        self._times_held = 0
        self._released = asyncio.Event()
        self._exhausted = (0.0, 0.0)  # when an exhausted allowance was last reported, until when
        self._remaining: float | None = None  # requests that may leave, if few are left
        self._last_left = 0.0  # time of the last request that counted among them
        self._rate = AdaptiveRate()
        self.succeeded = self._rate.succeeded
        self.is_open = True
        """`True` if requests may leave at once, without `wait()`."""

    @property
    def is_held(self) -> bool:
        """`True` if the server asked for a pause that is not over yet."""
        return not self.is_open and self._until() > _now()

    def started(self) -> None:
        """Count a request that is being sent."""
        self._in_flight += 1

    def finished(self) -> None:
        """Count a request as no longer in flight, after its answer or a failure."""
        self._in_flight -= 1
        if self._remaining is not None and self._remaining < 1 and not self._in_flight:
            self._set_remaining(1.0)  # no answer is on its way that would report more
        if self._is_in_doubt and not self._in_flight:
            self._judge()

    def rejected(self, retry_after: float | None, *, sent: float) -> None:
        """Stop all calls for `retry_after` seconds (`DEFAULT_PAUSE` if `None`) because of a 429.

        `sent` is the time of the event loop at which the rejected request was sent.
        """
        until = _now() + (DEFAULT_PAUSE if retry_after is None else retry_after)
        if self._rate.rejected(sent):
            self._is_in_doubt = True
            self._asked_until = max(self._asked_until, until)
        else:
            self._held_until = max(self._held_until, until)
        self._times_held += 1
        self.is_open = False

    def allowed(self, remaining: float, seconds: float, *, sent: float) -> None:
        """Apply the number of remaining requests that an answer reported, renewed in `seconds`.

        With none left, all calls stop for so long, `LONGEST_WAIT` at most. If the server then
        accepts a request, and still reports none before the time is over, its header is wrong and
        is ignored. `sent` is the time at which the request of the answer was sent.
        """
        if remaining > 0:
            # The server may have counted the other requests in flight, or not yet.
            self._set_remaining(remaining - (self._in_flight - 1))
            return
        reported_at, until = self._exhausted
        if reported_at + LONGEST_WAIT <= sent < until - 1.0:
            self._set_remaining(math.inf)
            return
        self.exhausted(seconds)

    def exhausted(self, seconds: float) -> None:
        """Stop all calls for so many seconds, because the server allows no more of them."""
        now = _now()
        self._exhausted = (now, now + seconds)
        pause = min(seconds, LONGEST_WAIT)
        if seconds >= LOGGED_PAUSE and self._held_until <= now:
            capped = f"; trying again after {pause:.0f} s" if pause < seconds else ""
            logger.info(
                "The server allows no more %s for %.0f s (X-RateLimit-Remaining: 0)%s.",
                self._kind,
                seconds,
                capped,
            )
        self._held_until = max(self._held_until, now + pause)
        self._times_held += 1
        self._remaining = 1.0
        self.is_open = False

    def not_sent(self) -> None:
        """Take back a `wait()` after which no request was sent."""
        self._rate.give_back(_now())
        if self._remaining is not None:
            self._set_remaining(self._remaining + 1)

    def _set_remaining(self, remaining: float) -> None:
        if remaining >= LARGE_ALLOWANCE:
            self._remaining = None
        else:
            self._remaining = remaining
            self.is_open = False
        self._release()

    def _release(self) -> None:
        """Wake all calls that wait, so that they look again if they may leave."""
        self._released.set()
        self._released = asyncio.Event()

    async def wait(self) -> None:
        """Wait until no pause is left and the rate allows one more request."""
        while True:
            if (left := self._until() - _now()) > 0:
                with anyio.move_on_after(left):
                    await self._released.wait()
                continue  # another 429 may have come meanwhile
            if self._is_in_doubt:
                self._judge()  # the pause is over before all calls in flight are answered
                continue
            self._held_until = 0.0
            if (left := self._until_remaining()) > 0:
                with anyio.move_on_after(left):
                    await self._released.wait()
                continue
            if (left := self._rate.reserve(_now()) - _now()) <= 0:
                self.is_open = not self._rate.is_limited and self._remaining is None
                return
            times_held = self._times_held
            await asyncio.sleep(left)
            if times_held == self._times_held:  # otherwise the reservation is out of date
                return

    def _until_remaining(self) -> float:
        """Count a request among the remaining ones, or return the seconds to wait for the next."""
        if self._remaining is None:
            return 0.0
        now = _now()
        if self._remaining < 1 and (left := self._last_left + SILENCE - now) > 0:
            return left
        self._remaining = max(self._remaining - 1, 0.0)
        self._last_left = now
        return 0.0

    def _until(self) -> float:
        return max(self._held_until, self._asked_until)

    def _judge(self) -> None:
        """Keep the pause if the rejections came from a limit, or let all calls continue."""
        self._is_in_doubt = False
        asked_until, self._asked_until = self._asked_until, 0.0
        if self._rate.judge(_now()):
            self._held_until = max(self._held_until, asked_until)
            self._times_held += 1
        else:
            self._release()


def _now() -> float:
    return asyncio.get_running_loop().time()


class AdaptiveRate:
    """Request rate that stays just below the limit of a server, as its rejections show it.

    There is no rate until a limit is detected. Then the rate starts a little below the rate that
    the server sustained, grows back to it, stays near it for a while, and only then grows further,
    faster and faster: multiplicative decrease, and the increase of CUBIC (RFC 9438, section 4.2).
    All times are seconds of one monotonic clock.

    Many rejections among the recent requests show a limit. A single rejection among many successful
    requests may show a limit, or be random (a busy channel behind the gateway). A lower rate ends
    the rejections of a limit, but not random ones, so the rate is reduced on trial. If single
    rejections continue, these reductions are undone, as TCP undoes a reduction that a delayed
    packet caused (RFC 4015).
    """

    def __init__(self) -> None:
        # Pairs of the time at which a second began, and the requests in it. Each second begins with
        # its first request: a burst across two seconds of the clock would look half as fast.
        self._successes: deque[tuple[float, int]] = deque(maxlen=_WINDOW + 1)
        self._recent: deque[tuple[float, bool]] = deque(maxlen=_MAX_RECENT)  # sent at, succeeded
        self._ceiling = math.inf
        self._judged_at = -math.inf
        self._reduced_at = -math.inf
        self._next_slot = -math.inf
        self._first_rejected = 0.0  # of the rejections that are not judged yet
        self._answers = 0  # since that rejection, including it
        self._successes_since_reduction = 0
        self._trials = 0  # single rejections since the last reduction that was not a trial
        self._ceiling_before_trials = math.inf
        self._random_until = -math.inf

    @property
    def is_limited(self) -> bool:
        """`True` if requests have to wait for a slot."""
        return self._ceiling < math.inf

    def succeeded(self, sent: float) -> None:
        """Record a request, sent at the time `sent`, that the server did not reject."""
        if self._successes and sent < self._successes[-1][0] + 1.0:
            began, requests = self._successes.pop()
            self._successes.append((began, requests + 1))
        else:
            self._successes.append((sent, 1))
        if sent > self._judged_at:
            self._recent.append((sent, True))
            self._successes_since_reduction += 1
            if self._answers:
                self._answers += 1

    def rejected(self, sent: float) -> bool:
        """Record a rejected request, and return `True` if the rejection is still to be judged.

        Rejections of requests that were in flight when a limit was detected are part of the same
        event, and are ignored.
        """
        if sent <= self._judged_at:
            return False
        self._recent.append((sent, False))
        if not self._answers:
            self._first_rejected = sent
        self._answers += 1
        return True

    def judge(self, now: float) -> bool:
        """Reduce the rate and return `True` if the rejections since the last call show a limit.

        Without successful requests in the last seconds, no rate is known that could be reduced.
        """
        many = self._are_many_rejected(now)
        self._answers = 0
        if not many and not self._shows_single_limit(now):
            return False
        few = sum(not succeeded for _, succeeded in self._recent) < _MIN_EVIDENCE
        is_trial = few and self._is_soon_after_reduction(now)
        self._judged_at = now
        self._recent.clear()
        measured = self._measured(now)
        if measured > 0 and (self.is_limited or not few or self._has_measured(now)):
            if is_trial:
                self._trials += 1
            else:
                self._trials = 0
                self._ceiling_before_trials = self._ceiling
            self._successes_since_reduction = 0
            self._ceiling = max(min(measured, self.rate(now)), MIN_RATE)
            self._reduced_at = now
            self._next_slot = now
            self._random_until = -math.inf
        return True

    def rate(self, now: float) -> float:
        """Return the requests per second that may leave at the time `now`."""
        if not self.is_limited:
            return math.inf
        since_recovery = (now - self._reduced_at - RECOVERY) / RECOVERY
        if now < self._random_until:
            since_recovery = min(since_recovery, 0.0)  # ignored rejections cannot stop the growth
        return self._ceiling * (1.0 + (1.0 - DECREASE) * since_recovery**3)

    def reserve(self, now: float) -> float:
        """Reserve the next slot for a request, and return its time."""
        if not self.is_limited:
            return now
        slot = max(now, self._next_slot)
        rate = self.rate(slot)
        if rate > self._ceiling * LIFTED_AT:
            self._ceiling = math.inf
            return now
        self._next_slot = slot + 1.0 / rate
        return slot

    def give_back(self, now: float) -> None:
        """Give back a slot in which no request was sent."""
        if self.is_limited:
            self._next_slot = max(now, self._next_slot - 1.0 / self.rate(now))

    def _are_many_rejected(self, now: float) -> bool:
        """Return `True` if most requests were rejected, recently or since the first rejection."""
        lately = [succeeded for sent, succeeded in self._recent if sent >= now - _WINDOW]
        if lately.count(False) > LIMIT_SHARE_OF_RECENT * len(lately):
            return True
        first = self._first_rejected
        since = [succeeded for sent, succeeded in self._recent if sent >= first][-self._answers :]
        rejected = since.count(False)
        return rejected > 2 and rejected > LIMIT_SHARE_SINCE_FIRST * len(since)

    def _shows_single_limit(self, now: float) -> bool:
        """Return `True` if a rejection among many successful requests counts as a limit.

        After `_MAX_TRIALS` of them, each soon after a reduction, the reductions are undone.
        """
        if now < self._random_until:
            return False
        if not self.is_limited:
            return self._has_measured(now)
        if not self._is_soon_after_reduction(now) or self._trials + 1 < _MAX_TRIALS:
            return True
        self._trials = 0
        self._ceiling = self._ceiling_before_trials
        self._random_until = now + RANDOM_TIME
        return False

    def _is_soon_after_reduction(self, now: float) -> bool:
        return self._successes_since_reduction < _MAX_USELESS and self.rate(now) < self._ceiling

    def _has_measured(self, now: float) -> bool:
        """Return `True` if the server's rate has been measured for long enough."""
        return len(self._requests_by_second(now)) >= _MIN_EVIDENCE

    def _requests_by_second(self, now: float) -> list[int]:
        """Return the number of successful requests in each recent second that had any."""
        return [requests for began, requests in self._successes if began >= now - _WINDOW]

    def _measured(self, now: float) -> float:
        """Return the successful requests per second, as a mean over recent seconds that had any."""
        lately = self._requests_by_second(now)
        mean = sum(lately) / max(len(lately), 1)
        if len(lately) < 2 or now >= self._successes[-1][0] + 1.0:
            return mean
        return max(mean, sum(lately[:-1]) / (len(lately) - 1))  # the last second is not over yet
