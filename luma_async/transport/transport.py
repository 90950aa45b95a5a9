"""The way a call takes: the key, the limit of requests in flight, retries, the brake, errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import anyio
import backoff
from multidict import CIMultiDict
from yarl import URL

from luma_async.errors import (
    ClientClosedError,
    LumaError,
    RateLimitError,
    ResponseError,
)
from luma_async.transport.brake import Brake
from luma_async.transport.call import Call
from luma_async.transport.failure import Answer, Failed, refused, unanswered, unreadable
from luma_async.transport.sessions import Sessions
from luma_async.transport.settings import Secret, checked_base_url, checked_key
from luma_async.transport.verdict import Verdict, verdict
from luma_async.version import __version__

logger = logging.getLogger("luma_async")
T = TypeVar("T")

ANSWER_LIMIT = 16 * 2**20
"""Bytes of JSON after decompression; a larger answer is refused."""

CONNECT_TIMEOUT = 10.0
"""Seconds; less if the whole request has less than twice that."""

SHORTEST_SECRET = 12
"""Characters; a shorter key is a stand-in, and part of many a word."""


class UncertainSubmission(Exception):  # noqa: N818  a signal between two layers, nobody's error
    """A submission left `times` times, and nothing tells what became of it; `cause` says why."""

    def __init__(self, cause: LumaError, times: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.times = times


@dataclass(slots=True)
class _Sending(Generic[T]):
    """One call on its way through its tries."""

    call: Call[T]
    scope: anyio.CancelScope
    repeat_uncertain: bool
    adopt: Callable[[asyncio.Task[T]], None] | None
    times: int = 0
    """How often it was sent."""
    unclear: LumaError | None = None
    """Why nobody knows whether a submission was taken, from the first try that left it so."""


def _waits() -> Generator[float, Any, None]:
    """Seconds before each next try: exponential, half of it random; `Retry-After` is a floor."""
    growing = backoff.expo(base=2, factor=0.5, max_value=30.0)
    next(growing)
    failed: Failed = yield 0.0
    while True:
        pause: float = next(growing)
        least = pause / 2 if failed.retry_after is None else failed.retry_after
        failed = yield least + backoff.full_jitter(pause / 2)


class Transport:
    """Carries calls to one server.

    Safe for any number of asyncio tasks of one event loop.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        max_requests: int = 16,
        timeout: float = 30.0,
        max_tries: int = 5,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._host = urlsplit(self.base_url).netloc
        self._key = checked_key(api_key)
        self._is_secret = len(self._key) >= SHORTEST_SECRET
        self._headers = {
            "Authorization": Secret(f"Bearer {self._key}"),
            "Accept": "application/json",
            "User-Agent": f"luma-async/{__version__}",
        }
        self._timeout = aiohttp.ClientTimeout(
            total=timeout, connect=min(CONNECT_TIMEOUT, timeout / 2)
        )
        self._places = anyio.Semaphore(max_requests, fast_acquire=True)
        # A queue of submissions leaves one place to looks, so that finished jobs are noticed.
        self._submission_places = anyio.Semaphore(max(max_requests - 1, 1), fast_acquire=True)
        self._brake = Brake()
        self._sessions = Sessions(session)
        self._closed = False
        self._interruptible: set[anyio.CancelScope] = set()
        self._deliveries: set[asyncio.Task[Any]] = set()
        self._persist = backoff.on_exception(
            _waits,
            Failed,
            max_tries=max_tries,
            giveup=lambda failed: not cast("Failed", failed).may_repeat,
            jitter=None,
            logger=None,
            on_backoff=_log_retry,
        )(self._try)

    def __repr__(self) -> str:
        return f"<Transport {self.base_url}>"

    async def call(
        self,
        call: Call[T],
        *,
        repeat_uncertain: bool = False,
        adopt: Callable[[asyncio.Task[T]], None] | None = None,
    ) -> T:
        """Send a call, repeat it where that cannot cost money, and return what its answer says.

        Cancellation is passed on at once, but a submission that has left is not cut off: its
        answer may be all that ever tells of a paid job. `adopt` is given its asyncio task, which
        ends with the result or with `Failed`.

        Raises:
            UncertainSubmission: the call submits, and may have been taken.
            ClientClosedError: `aclose()` was called before or while this waited.
            LumaError: whatever else it ended in; a submission was not taken then.

        """
        if self._closed:
            raise _closed(call)
        error: LumaError = _closed(call)
        with anyio.CancelScope() as scope:
            sending = _Sending(call, scope, repeat_uncertain, adopt)
            self._allow_interruption(scope)
            try:
                return cast("T", await self._persist(sending))
            except Failed as failed:
                error = failed.error
            except asyncio.CancelledError:
                if sending.unclear is not None and not scope.cancel_called:
                    logger.warning("%s The job may have been taken.", sending.unclear)
                raise
            finally:
                self._interruptible.discard(scope)
        # Raised out here, so that no exception of aiohttp's hangs on it as its context: those
        # carry the request's headers, and so the key.
        try:
            if sending.unclear is not None:
                raise UncertainSubmission(sending.unclear, sending.times)
            raise error
        finally:
            del error, sending  # an error that its own traceback leads to lives until collected

    async def aclose(self) -> None:
        """End at once what waits or reads; let submissions that have left get their answer."""
        self._closed = True
        for scope in self._interruptible.copy():
            scope.cancel()
        try:
            while self._deliveries:
                await asyncio.wait(self._deliveries)
        finally:
            await self._sessions.aclose()

    async def _try(self, sending: _Sending[T]) -> T:
        """Send once when a place is free and the brake is off."""
        call = sending.call
        await self._brake.wait()
        with ExitStack() as places:
            for semaphore in self._semaphores(call):
                await semaphore.acquire()
                places.callback(semaphore.release)
            await self._brake.wait()
            sending.times += 1
            try:
                if call.submits:
                    return await self._deliver(sending, places.pop_all())
                return await self._once(call)
            except Failed as caught:
                failed = caught
            if isinstance(failed.error, RateLimitError):
                self._brake.press(failed.retry_after)
        decided = verdict(failed.failure, submits=call.submits)
        if decided is Verdict.UNCERTAIN and sending.unclear is None:
            sending.unclear = failed.error
        failed.may_repeat = decided is Verdict.REPEAT or (
            decided is Verdict.UNCERTAIN and sending.repeat_uncertain
        )
        try:
            raise failed
        finally:
            del failed

    def _semaphores(self, call: Call[Any]) -> Iterator[anyio.Semaphore]:
        if call.submits:
            yield self._submission_places
        yield self._places

    async def _deliver(self, sending: _Sending[T], places: ExitStack) -> T:
        """Send a submission in a task of its own, which outlives the wait for it."""
        delivery = asyncio.create_task(self._once(sending.call), name="luma-async submission")
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        delivery.add_done_callback(lambda _: places.close())
        self._interruptible.discard(sending.scope)
        try:
            return await asyncio.shield(delivery)
        except asyncio.CancelledError:
            if sending.adopt is not None:
                sending.adopt(delivery)
            raise
        finally:
            self._allow_interruption(sending.scope)

    def _allow_interruption(self, scope: anyio.CancelScope) -> None:
        if self._closed:
            scope.cancel()
        self._interruptible.add(scope)

    async def _once(self, call: Call[T]) -> T:
        answer = await self._exchange(call)
        if answer.status >= 300:
            raise refused(call, self._scrubbed(answer))
        try:
            return call.read(answer.body)
        except ResponseError as error:
            why = str(error)
        if answer.cut_off is not None:
            raise self._unanswered(call, answer.cut_off)
        raise unreadable(call, self._scrubbed(answer), why)

    async def _exchange(self, call: Call[Any]) -> Answer:
        """Send once, and return the answer whatever its status."""
        session = self._sessions.open(submits=call.submits)
        try:
            async with session.request(
                call.method,
                URL(self.base_url + call.path, encoded=True),
                data=call.body,
                headers=self._headers_for(call),
                timeout=self._timeout,
                allow_redirects=False,
                raise_for_status=False,
            ) as response:
                body, cut_off = await _read_body(response)
                if self._is_secret and self._key.encode() in body:
                    body = body.replace(self._key.encode(), b"***")
                return Answer(response.status, response.headers, body, cut_off)
        except Exception as error:  # noqa: BLE001  once it may have left, every failure is one
            raise self._unanswered(call, error) from None

    def _unanswered(self, call: Call[Any], error: Exception) -> Failed:
        said = self._without_key(str(error) or type(error).__name__)
        return unanswered(call, error, said, host=self._host, timeout=self._timeout)

    def _scrubbed(self, answer: Answer) -> Answer:
        headers = {name: self._without_key(value) for name, value in answer.headers.items()}
        return replace(answer, headers=CIMultiDict(headers))

    def _without_key(self, text: str) -> str:
        """Take the key out of a text: servers quote it in what they say of it."""
        return text.replace(self._key, "***") if self._is_secret else text

    def _headers_for(self, call: Call[Any]) -> dict[str, str]:
        headers = {**self._headers, **self._sessions.headers}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return headers


async def _read_body(response: aiohttp.ClientResponse) -> tuple[bytes, Exception | None]:
    """Return what arrived of a body, and what cut it off if it is not whole.

    A status of refusal is one however its explanation was lost, and an answer that is whole JSON
    names its job even where the connection did not end as it should.
    """
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                return b"", ResponseError(f"the answer is larger than {ANSWER_LIMIT // 2**20} MiB")
    except Exception as error:  # noqa: BLE001  whatever it is, the rest is not coming
        return bytes(body), error
    return bytes(body), None


def _closed(call: Call[Any]) -> ClientClosedError:
    rest = "; the job was not taken" if call.submits else ""
    return ClientClosedError(f"{call}: the client is closed{rest}.")


def _log_retry(details: Mapping[str, Any]) -> None:
    failed = details["exception"]
    logger.info("%s Trying again in %.1f s.", failed.error, details["wait"])
