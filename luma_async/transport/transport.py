"""Transport: one call to the server, with its retries.

`Transport` carries the calls that read. `luma_async.transport.submissions` carries those that cost
money, on the connections and with the answers of a `Transport`.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import anyio
import backoff
from yarl import URL

from luma_async.concurrency import EndableWaits
from luma_async.errors import (
    APIError,
    ClientClosedError,
    LumaError,
    NotFoundError,
    RateLimitError,
    ResponseError,
)
from luma_async.telemetry.observer import RequestKind
from luma_async.telemetry.recorder import Recorder
from luma_async.telemetry.semantic_names import log_attributes
from luma_async.text_values import SecretLike, URLLike
from luma_async.transport.call import Call
from luma_async.transport.connection_reuse import KEEP_ALIVE
from luma_async.transport.credentials import Secret, checked_api_key, checked_base_url
from luma_async.transport.failures import (
    Advice,
    Answer,
    Failed,
    unanswered,
    unreadable,
    unsuccessful,
)
from luma_async.transport.json_documents import as_utf8
from luma_async.transport.lane import Lane
from luma_async.transport.long_answer import MIN_LONG, run_in_steps
from luma_async.transport.rate_limit_headers import (
    LONGEST_WAIT,
    REMAINING,
    Allowance,
    reported_allowance,
)
from luma_async.transport.rate_limiter import RateLimiter
from luma_async.transport.request_log import answered_and_logged, logs_requests
from luma_async.transport.response_body import read_body, whole_body
from luma_async.transport.retry_policy import Action, action_for, retry_delays
from luma_async.transport.scrubbing import Scrubber
from luma_async.transport.sessions import Sessions
from luma_async.transport.upload import Upload
from luma_async.version import __version__

logger = logging.getLogger("luma_async")
T = TypeVar("T")
A = TypeVar("A")

Attempt = Callable[..., Coroutine[Any, Any, Any]]
"""Coroutine function that sends a call once, and raises `Failed` if there is no usable answer."""

HEADER_LIMIT = 64 * 2**10
"""Maximum size of one header of an answer, in bytes. The default of aiohttp is lower, and a header
above the limit would hide the answer to a job that is paid for."""

CONNECT_TIMEOUT = 10.0
"""Seconds to connect; half of the request's timeout if that is less."""

_USER_INFO = re.compile(r"//[^/@\s]*@")
_SSL_SETTING = re.compile(r" ssl:(?:\w+|<[^>]*>)(?= \[)")
"""The setting for TLS in a text of aiohttp about a connection. It says nothing to a user."""


class Transport:
    """Carry calls that read to one server, and repeat those that fail for a passing reason.

    Safe for any number of asyncio tasks of one event loop.
    """

    def __init__(
        self,
        *,
        api_key: SecretLike,
        base_url: URLLike,
        max_requests: int = 16,
        timeout: float = 30.0,
        max_tries: int = 5,
        session: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        on_first_use: Callable[[], None] | None = None,
        advice: Advice | None = None,
        recorder: Recorder | None = None,
        hook_base: str | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        parts = urlsplit(self.base_url)
        self._host = parts.netloc
        self._prefix = parts.path
        self._base = URL(self.base_url, encoded=True)
        key = checked_api_key(api_key)
        self._advice = advice or Advice()
        self.recorder = recorder or Recorder()
        """Counters of the client, and its observer if there is one."""
        self._scrubber = Scrubber(key, hook_base=hook_base)
        self.scrub = self._scrubber.text
        """Function that removes the API key, and tokens of callbacks, from a text."""
        headers = {
            "Authorization": Secret(f"Bearer {key}"),
            "Accept": "application/json",
            "User-Agent": f"luma-async/{__version__}",
        }
        self.sessions = Sessions(
            session,
            headers,
            base_url=self._base,
            trust_env=trust_env,
            on_first_use=on_first_use,
        )
        self.timeout = aiohttp.ClientTimeout(
            total=timeout, connect=min(CONNECT_TIMEOUT, timeout / 2)
        )
        self.max_requests = max_requests
        self.max_tries = max_tries
        self.requests = anyio.Semaphore(max_requests, fast_acquire=True)
        """Semaphore of all requests in flight."""
        self._looks = Lane("looks", max_requests, self.requests)
        self._others = Lane("requests for links", max_requests, self.requests)
        self._waits = EndableWaits()
        self._persist = repeated(self._try_again, max_tries=max_tries)

    def __repr__(self) -> str:
        return f"<Transport {self.base_url}>"

    async def call(self, call: Call[T]) -> T:
        """Send a call that reads, with retries, and return the result that its answer holds.

        Raises:
            ClientClosedError: `aclose()` was called before or during the call.
            LumaError: there was no usable answer.

        """
        error: LumaError
        try:
            try:
                return await self._try(call)
            except Failed as failed:
                if not failed.may_repeat:
                    raise
                tries = _Tries(failed)
            return await self._waits.run(self._persist(call, tries), partial(_closed, call))
        except Failed as failed:
            error = _closed(call) if self._waits.have_ended else failed.error
        except LumaError as other:
            error = other
        # Raised here and not above, because an exception of aiohttp as the error's context would
        # hold the headers of the request, and with them the API key.
        try:
            raise error
        finally:
            del error  # otherwise the error and its traceback refer to each other

    async def aclose(self) -> None:
        """End all calls at once, and close their connections; submissions are not affected."""
        self._waits.end()
        await self.sessions.aclose(submits=False)

    async def send(
        self,
        call: Call[T],
        limiter: RateLimiter,
        sent: float,
        answer_to: Callable[[A], Awaitable[Answer]],
        argument: A,
        *,
        tries: int = 1,
    ) -> T:
        """Send a request with `answer_to(argument)`, and return the result that its answer holds.

        `limiter` is the rate limiter of its kind, and `sent` the time at which it is sent. `tries`
        is the number of times that the call has been sent, for the log.

        Raises:
            Failed: there was no usable answer.

        """
        limiter.started()
        recorder = self.recorder
        recorder.requests += 1
        recorder.requests_in_flight += 1
        if call.looks:
            recorder.polls += 1
        if tries > 1:
            recorder.retries += 1
        allowance: Allowance | None = None
        try:
            answering = answer_to(argument)
            observer = recorder.observer
            if observer is not None and observer.is_needed():
                answering = observer.answered(
                    answering,
                    method=call.method,
                    path=call.path,
                    kind=_kind_of(call),
                    tries=tries,
                )
            if logs_requests():
                answer = await answered_and_logged(answering, call, tries=tries, scrub=self.scrub)
            else:
                answer = await answering
            if KEEP_ALIVE in answer.headers:
                self.sessions.reuse.update(answer.headers[KEEP_ALIVE])
            if REMAINING in answer.headers:
                allowance = reported_allowance(answer.headers)
                if allowance is not None and answer.status != 429:
                    limiter.allowed(*allowance, sent=sent)
            result = await self._read(call, answer)
            limiter.succeeded(sent)
        except Failed as failed:
            _report_failure(failed, allowance, limiter, sent)
            raise
        else:
            return result
        finally:
            recorder.requests_in_flight -= 1
            limiter.finished()

    async def request(
        self,
        call: Call[Any],
        *,
        session: aiohttp.ClientSession | None = None,
        upload: Upload | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
        middlewares: tuple[aiohttp.ClientMiddlewareType, ...] | None = None,
        explain: Callable[[Exception], Exception] | None = None,
    ) -> Answer:
        """Send a request once, and return the answer with any status.

        The keyword arguments are for submissions. `explain` returns the exception to raise in place
        of one of aiohttp.

        Raises:
            Failed: there was no answer.

        """
        sessions = self.sessions
        data: Upload | bytes | None = upload
        if upload is None:
            data = call.body if isinstance(call.body, bytes) else None
            headers = sessions.request_headers_with_body if data else sessions.request_headers
        if session is None:
            session = sessions.open(submits=False)
        target = self._base.with_path(self._prefix + call.path, encoded=True)
        if call.query is not None:
            target = target.with_query(call.query)
        if call.deletes:
            middlewares = (*getattr(session, "_middlewares", ()), _SentOnce())
        try:
            async with session.request(
                call.method,
                target,
                data=data,
                headers=headers or {},
                timeout=timeout or self.timeout,
                allow_redirects=False,
                raise_for_status=False,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                middlewares=middlewares,
            ) as response:
                body, cut_off = whole_body(response.content), None
                if body is None:
                    body, cut_off = await read_body(response.content)
                body = as_utf8(body, response.headers.get("Content-Type"))
                body = self._scrubber.body(body)
                status = response.status
                url = str(response.url) if status >= 300 else ""  # only redirects need it
                return Answer(status, response.headers, body, cut_off, url)
        except Exception as error:  # noqa: BLE001  the request may have left before any failure
            problem = error
        # Raised here and not above, so that no exception of aiohttp becomes the context.
        try:
            raise self.unanswered(call, problem) if explain is None else explain(problem)
        finally:
            del problem

    def unanswered(
        self,
        call: Call[Any],
        error: Exception,
        *,
        timeout: aiohttp.ClientTimeout | None = None,
        has_left: bool | None = None,
    ) -> Failed:
        """Return the failure of a request that ended with an exception and not with an answer.

        `has_left` is `True` if the whole body of a submission may have left.

        Raises:
            ConfigurationError: the request cannot be sent with these settings.

        """
        text = self.scrub(str(error) or type(error).__name__)
        text = _USER_INFO.sub("//***@", text)  # the user info may be that of a proxy
        text = _SSL_SETTING.sub("", text)
        return unanswered(
            call, error, text, host=self._host, timeout=timeout or self.timeout, has_left=has_left
        )

    async def _try_again(self, call: Call[T], tries: _Tries) -> T:
        """Send a call again. The first time, only raise the failure of the first try."""
        failed, tries.first = tries.first, None
        if failed is None:
            tries.number += 1
            if call.deletes:
                return await self._try_to_delete(call, tries.number)
            return await self._try(call, tries.number)
        try:
            raise failed
        finally:
            del failed

    async def _try_to_delete(self, call: Call[T], tries: int) -> T:
        """Delete again. An earlier try may have deleted the job, though its answer was lost."""
        try:
            return await self._try(call, tries)
        except Failed as failed:
            if not isinstance(failed.error, NotFoundError):
                raise
        return call.read(b"")

    async def _try(self, call: Call[T], tries: int = 1) -> T:
        """Send a call once, as soon as its lane has a place."""
        lane = self._looks if call.looks else self._others
        if not lane.try_to_enter():
            await self._waits.run(lane.enter(), partial(_closed, call))
        try:
            if self._waits.have_ended:
                raise _closed(call)
            sending = self.send(
                call, lane.limiter, self.sessions.now(), self.request, call, tries=tries
            )
            if self.sessions.given is None:
                return await sending  # closing the session ends it
            return await self._waits.run(sending, partial(_closed, call))
        except Failed as caught:
            failed = caught
        finally:
            lane.leave()
        is_passing = action_for(failed.failure, submits=False) is Action.RETRY
        failed.may_repeat = is_passing and not self._waits.have_ended
        try:
            raise failed
        finally:
            del failed

    async def _read(self, call: Call[T], answer: Answer) -> T:
        """Return the result that an answer holds, or raise `Failed`."""
        if answer.status >= 300:
            raise unsuccessful(call, answer, self.scrub, self._advice)
        try:
            if call.read_in_steps is not None and len(answer.body) >= MIN_LONG:
                return await run_in_steps(call.read_in_steps(answer.body))
            return call.read(answer.body)
        except ResponseError as error:
            why = str(error)
        except Exception as error:
            if not call.submits:
                raise
            why = f"reading it failed ({error!r})"  # the job may have been accepted nevertheless
        if answer.cut_off is not None:
            raise self.unanswered(call, answer.cut_off, has_left=True)
        raise unreadable(call, answer, why, self.scrub, self._advice)


class _SentOnce:
    """Middleware that keeps aiohttp from repeating a request by itself.

    aiohttp repeats a deletion whose connection was lost. The 404 of the repeat would look like the
    answer to the first one.
    """

    def __init__(self) -> None:
        self._was_sent = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send the request, the first time only."""
        if self._was_sent:
            raise aiohttp.ServerDisconnectedError
        self._was_sent = True
        return await handler(request)


@dataclass(slots=True)
class _Tries:
    """Tries of a call: the number of them, and the failure of the first until it was raised."""

    first: Failed | None
    number: int = 1


def repeated(attempt: Attempt, *, max_tries: int) -> Attempt:
    """Return a function that repeats an attempt with the waits of the retry policy."""
    decorate = backoff.on_exception(
        retry_delays,
        Failed,
        max_tries=max_tries,
        giveup=lambda failed: not cast("Failed", failed).may_repeat,
        jitter=None,
        logger=None,
        on_backoff=_log_retry,
    )
    with _without_warning_of_backoff():
        repeating: Attempt = decorate(attempt)
    return repeating


@contextmanager
def _without_warning_of_backoff() -> Iterator[None]:
    """Ignore that Python 3.14 deprecates `asyncio.iscoroutinefunction`: backoff calls it."""
    if sys.version_info < (3, 14):
        yield
        return
    with warnings.catch_warnings():
        deprecated = "'asyncio.iscoroutinefunction' is deprecated"
        warnings.filterwarnings("ignore", deprecated, DeprecationWarning)
        yield


def _kind_of(call: Call[Any]) -> RequestKind:
    if call.looks:
        return "poll"
    if call.submits:
        return "submission"
    return "deletion" if call.deletes else "other"


def _closed(call: Call[Any]) -> ClientClosedError:
    return ClientClosedError(f"{call}: the client is closed.")


def _report_failure(
    failed: Failed, allowance: Allowance | None, limiter: RateLimiter, sent: float
) -> None:
    """Report a failed try to its rate limiter, with the allowance that the answer reported."""
    if not isinstance(failed.error, RateLimitError):
        if isinstance(failed.error, APIError):
            limiter.succeeded(sent)
    elif allowance is not None and allowance.remaining <= 0:
        asked = failed.retry_after
        limiter.exhausted(allowance.renewed_in if asked is None else asked)
        failed.is_used_up = allowance.renewed_in <= LONGEST_WAIT
    elif not failed.is_full_account:
        limiter.rejected(failed.retry_after, sent=sent)


def _log_retry(details: Mapping[str, Any]) -> None:
    """Log that a try failed and another one follows.

    Looks are many, and the poller warns of those that fail, at most once a minute.
    """
    failed, (call, *_) = details["exception"], details["args"]
    is_look = isinstance(call, Call) and call.looks
    certain = "" if failed.rule is None else f" Rejected for certain, by {failed.rule}."
    logger.log(
        logging.DEBUG if is_look else logging.INFO,
        "%s%s Trying again in %.1f s.",
        *(failed.error, certain, details["wait"]),
        extra=None if isinstance(call, Call) else log_attributes(None, call.key),
    )
