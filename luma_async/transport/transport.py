"""The way a call takes: the key, limits, retries, errors."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

import aiohttp
import anyio
import backoff
from yarl import URL

from luma_async.errors import (
    APIError,
    ClientClosedError,
    LumaError,
    RateLimitError,
    ResponseError,
    SubmissionStoppedError,
)
from luma_async.text_values import SecretLike, URLLike
from luma_async.transport.account_limit import AccountLimit, Turn
from luma_async.transport.call import Body, Call
from luma_async.transport.connection_reuse import ConnectionChoice
from luma_async.transport.credentials import Secret, checked_api_key, checked_base_url
from luma_async.transport.failures import Answer, Failed, Scrub, refused, unanswered, unreadable
from luma_async.transport.json_documents import as_utf8
from luma_async.transport.lane import Lane
from luma_async.transport.long_answer import run_in_steps
from luma_async.transport.rate_limit_headers import REMAINING, exhausted_for
from luma_async.transport.rate_limiter import RateLimiter
from luma_async.transport.response_body import next_chunk
from luma_async.transport.retry_policy import Action, action_for, retry_delays
from luma_async.transport.scrubbing import Scrubber
from luma_async.transport.sessions import Sessions
from luma_async.transport.submissions import SubmissionRecord
from luma_async.transport.upload import Upload
from luma_async.version import __version__

logger = logging.getLogger("luma_async")
T = TypeVar("T")
R = TypeVar("R")

ANSWER_LIMIT = 16 * 2**20
"""Bytes of JSON after decompression; a larger answer is refused."""

HEADER_LIMIT = 64 * 2**10
"""Bytes of one header: a longer one would hide the answer to a job that is paid for."""

CONNECT_TIMEOUT = 10.0
"""Seconds; less if the whole request has less than twice that."""

SLOWEST_UPLOAD = 64 * 2**10
"""Bytes a second; at less than this an image's upload is given up."""

SEND_BUFFER = 4 * 2**20
"""Bytes that a system may hold which the program has sent (the most by Linux's `tcp_wmem`)."""

MOST_UNFIT = 1000
"""Connections tried in turn for one submission: each that is unfit is closed, and not met again."""

LAST_WORDS = 5.0
"""Seconds that submissions which were cut off have to be written down."""

_LOGIN = re.compile(r"//[^/@\s]*@")


class UncertainSubmission(Exception):  # noqa: N818  a signal between two layers, nobody's error
    """A submission left `times` times, and nothing tells what became of it; `cause` says why."""

    def __init__(self, cause: LumaError, times: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.times = times


@dataclass(slots=True, eq=False)
class _Sending(Generic[T]):
    """One call on its way through its tries."""

    call: Call[T]
    repeat_uncertain: bool
    adopt: Callable[[asyncio.Task[T]], None] | None
    record: SubmissionRecord[T] | None
    request_id: str | None
    failed: Failed | None = None
    """How the first try went wrong, if it may be made again."""
    scope: anyio.CancelScope | None = None
    """What ends this from outside, while there is something to end."""
    times: int = 0
    """How often it was sent."""
    abandoned: bool = False
    """Whether the caller was cancelled."""
    unclear: LumaError | None = None
    """Why nobody knows whether a submission was accepted, from the first try that left it so."""
    upload: Upload | None = None
    """The body of a submission's newest try."""

    @property
    def has_left(self) -> bool:
        """Whether the server may have read the whole of a submission's newest try."""
        return self.upload is not None and self.upload.has_left

    def error_of(self, problem: Exception, scrub: Scrub) -> LumaError:
        """Return the error of a submission whose answer nobody could take in, or raise the problem.

        It is that of a signal to a layer above, or a slip, as long as nothing has left.
        """
        if isinstance(problem, LumaError):
            return problem
        if not self.has_left:
            raise problem
        why = scrub(repr(problem))
        error = ResponseError(f"{self.call}: the answer could not be read: {why}.")
        self.unclear = self.unclear or error
        return error

    def interrupt(self) -> None:
        """End what it waits for."""
        if self.scope is not None:
            self.scope.cancel()


class Transport:
    """Carries calls to one server.

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
    ) -> None:
        self.base_url = checked_base_url(base_url)
        parts = urlsplit(self.base_url)
        self._host = parts.netloc
        self._prefix = parts.path
        self._base = URL(self.base_url, encoded=True)
        self._key = checked_api_key(api_key)
        self._scrubber = Scrubber(self._key)
        headers = {
            "Authorization": Secret(f"Bearer {self._key}"),
            "Accept": "application/json",
            "User-Agent": f"luma-async/{__version__}",
        }
        self._sessions = Sessions(session, headers, proxied=self._base if trust_env else None)
        self._timeout = aiohttp.ClientTimeout(
            total=timeout, connect=min(CONNECT_TIMEOUT, timeout / 2)
        )
        requests = anyio.Semaphore(max_requests, fast_acquire=True)
        # A queue of submissions leaves one place to looks, so that finished jobs are noticed.
        self._submissions = Lane("submissions", max(max_requests - 1, 1), requests)
        self._looks = Lane("looks", max_requests, requests)
        self._others = Lane("requests for links", max_requests, requests)
        self.account = AccountLimit()
        self._closed = False
        self._submits = True
        self._is_closing = False
        self._interruptible: set[_Sending[Any]] = set()
        self._deliveries: set[asyncio.Task[Any]] = set()
        self._persist = backoff.on_exception(
            retry_delays,
            Failed,
            max_tries=max_tries,
            giveup=lambda failed: not cast("Failed", failed).may_repeat,
            jitter=None,
            logger=None,
            on_backoff=_log_retry,
        )(self._try_again)

    def __repr__(self) -> str:
        return f"<Transport {self.base_url}>"

    @property
    def is_free(self) -> bool:
        """Whether a submission could leave now."""
        return self._submissions.is_free and not self.account.is_full

    async def call(
        self,
        call: Call[T],
        *,
        repeat_uncertain: bool = False,
        adopt: Callable[[asyncio.Task[T]], None] | None = None,
        record: SubmissionRecord[T] | None = None,
        request_id: str | None = None,
    ) -> T:
        """Send a call, repeat it where that cannot cost money, and return what its answer says.

        Cancellation is passed on at once, but a submission that has left is not cut off: its
        answer may be all that ever tells of a paid job. `adopt` is given its asyncio task, which
        ends with the result or with `Failed`. `record` writes down what becomes of a submission;
        what its `sending()` and `confirm()` raise is raised here. `request_id` goes with each try
        of a submission, as `Idempotency-Key` and `X-Request-Id`.

        Raises:
            UncertainSubmission: the call submits, and may have been accepted.
            ClientClosedError: `aclose()` was called before or while this waited.
            SubmissionStoppedError: `stop_submitting()` was; the submission did not leave.
            LumaError: whatever else it ended in; a submission was not accepted then.

        """
        if self._is_over(call):
            raise self._over(call)
        sending = _Sending(call, repeat_uncertain, adopt, record, request_id)
        error: LumaError
        try:
            try:
                return await self._try(sending)
            except Failed as failed:
                if not failed.may_repeat:
                    raise
                sending.failed = failed
            return await self._interruptibly(sending, self._persist(sending))
        except Failed as failed:
            if failed.rule is not None and call.submits:
                logger.info("%s Nobody has the job, by %s.", failed.error, failed.rule)
            decided = action_for(failed.failure, submits=call.submits)
            goes_on = decided is Action.RETRY or not call.submits
            error = self._over(call) if goes_on and self._is_over(call) else failed.error
        except Exception as other:  # noqa: BLE001  such as that the client is closed
            error = sending.error_of(other, self._scrubber.text)
        except asyncio.CancelledError:
            if sending.unclear is not None:
                logger.warning("%s The job may have been accepted.", sending.unclear)
            raise
        # Raised out here, so that no exception of aiohttp's hangs on it as its context: those
        # carry the request's headers, and so the key.
        try:
            if sending.unclear is not None:
                raise UncertainSubmission(sending.unclear, sending.times)
            raise error
        finally:
            del error, sending  # an error that its own traceback leads to lives until collected

    def stop_submitting(self) -> None:
        """Let no submission leave any more, and end at once those that wait to."""
        self._submits = False
        for sending in self._interruptible.copy():
            if sending.call.submits:
                sending.interrupt()

    def begin_to_close(self) -> None:
        """Let no submission leave any more: what the close ends makes room for those that wait."""
        self._is_closing = True
        self.stop_submitting()

    async def aclose(self) -> None:
        """End at once what waits or reads; let submissions that have left get their answer."""
        self._closed = True
        for sending in self._interruptible.copy():
            sending.interrupt()
        try:
            await self._sessions.aclose(submits=False)
            while self._deliveries:
                await asyncio.wait(self._deliveries)
        finally:
            await self._sessions.aclose(submits=True)
            if self._deliveries:  # cut off just now; what is known of them is still written down
                with anyio.move_on_after(LAST_WORDS, shield=True):
                    await asyncio.wait(self._deliveries)

    async def _try_again(self, sending: _Sending[T]) -> T:
        """Send once more; the first time, go on from how the first try went wrong."""
        failed, sending.failed = sending.failed, None
        if failed is None:
            return await self._try(sending)
        try:
            raise failed
        finally:
            del failed

    def _try(self, sending: _Sending[T]) -> Coroutine[Any, Any, T]:
        """Return what sends once, to be awaited at once; a submission, once the account has room.

        It is no coroutine itself, as one more would be felt in each poll.
        """
        call = sending.call
        if call.submits:
            return self._submit(sending)
        lane = self._looks if call.looks else self._others
        if lane.try_to_enter():
            return self._send(sending, lane)
        return self._enter_and_send(sending, lane)

    async def _enter_and_send(self, sending: _Sending[T], lane: Lane) -> T:
        await self._enter(sending, lane)
        return await self._send(sending, lane)

    async def _submit(self, sending: _Sending[T]) -> T:
        account, lane = self.account, self._submissions
        turn: Turn | None = None
        was_refused = False
        while True:
            if account.is_full and turn is None:
                turn = await self._interruptibly(sending, account.enter(again=was_refused))
            await self._enter(sending, lane, turn)
            if account.is_full and turn is None:  # since it had to wait for a place
                lane.leave()
                continue
            try:
                return await self._send(sending, lane, turn)
            except Failed as failed:
                if not (failed.is_full_account and failed.may_repeat):
                    raise
            turn, was_refused = None, True

    async def _enter(self, sending: _Sending[Any], lane: Lane, turn: Turn | None = None) -> None:
        """Return when there is a place and the brake is off.

        `turn` is that of a submission at a full account.
        """
        sending.upload = None
        try:
            if not lane.try_to_enter():
                await self._interruptibly(sending, lane.enter())
        except BaseException:
            self.account.unused(turn)
            raise

    async def _send(self, sending: _Sending[T], lane: Lane, turn: Turn | None = None) -> T:
        """Send once, from a place in the lane, which is given back."""
        call = sending.call
        if self._is_over(call):
            lane.leave()
            self.account.unused(turn)
            raise self._over(call)
        sent = self._sessions.now()
        if sending.record is None:
            sending.times += 1
        try:
            if call.submits:
                return await self._deliver(sending, sent, turn)
            if self._sessions.given is None:
                return await self._once(sending, lane, sent)  # closing the session ends it
            return await self._interruptibly(sending, self._once(sending, lane, sent))
        except Failed as caught:
            failed = caught
        finally:
            if not call.submits:
                lane.leave()
        decided = action_for(failed.failure, submits=call.submits)
        if decided is Action.UNCERTAIN and sending.unclear is None:
            sending.unclear = failed.error
        failed.may_repeat = not self._is_over(call) and (
            decided is Action.RETRY or (decided is Action.UNCERTAIN and sending.repeat_uncertain)
        )
        try:
            raise failed
        finally:
            del failed

    def _is_over(self, call: Call[Any]) -> bool:
        """Whether a call may not leave any more, which may be so at any return from a wait."""
        return self._closed or (call.submits and not self._submits)

    def _over(self, call: Call[Any]) -> LumaError:
        rest = "; the job was not accepted" if call.submits else ""
        if self._closed or (call.submits and self._is_closing):
            return ClientClosedError(f"{call}: the client is closed{rest}.")
        return SubmissionStoppedError(f"{call}: nothing more is submitted{rest}.")

    async def _deliver(self, sending: _Sending[T], sent: float, turn: Turn | None) -> T:
        """Send a submission in a task of its own, which outlives the wait for it."""
        if sending.record is None:
            sent_off = self._once(sending, self._submissions, sent)
        else:
            sent_off = self._on_record(sending)
        delivery = asyncio.create_task(sent_off, name="luma-async submission")
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        delivery.add_done_callback(partial(self._delivered, sent, turn))
        self._interruptible.discard(sending)
        try:
            return await asyncio.shield(delivery)
        except asyncio.CancelledError:
            sending.abandoned = True
            if sending.adopt is not None:
                sending.adopt(delivery)
            raise
        finally:
            del delivery  # its error has a traceback that leads to it
            if sending.scope is not None:
                self._allow_interruption(sending)

    def _delivered(self, sent: float, turn: Turn | None, delivery: asyncio.Task[Any]) -> None:
        """Give back the place of a submission, and tell the account what became of it."""
        self._submissions.leave()
        failed = None if delivery.cancelled() else delivery.exception()
        if failed is None and not delivery.cancelled():
            self.account.accepted(turn)
        elif isinstance(failed, Failed) and failed.is_full_account:
            self.account.rejected(failed.error, failed.retry_after, sent=sent)
        else:
            self.account.unused(turn)

    async def _on_record(self, sending: _Sending[T]) -> T:
        """Send once, and have it written down: before, and before anybody sees the answer."""
        record = sending.record
        assert record is not None  # noqa: S101
        try:
            await record.sending()
        except asyncio.CancelledError:
            record.cut_off(has_left=False)
            raise
        if sending.abandoned or self._is_over(sending.call):
            await record.not_taken()
            raise self._over(sending.call)
        sending.times += 1
        try:
            sent = self._sessions.now()
            result = await self._once(sending, self._submissions, sent)
        except Failed as failed:
            if failed.is_uncertain:
                await record.unclear(failed.error)
            else:
                await record.not_taken()
            raise
        except asyncio.CancelledError:
            record.cut_off(has_left=sending.has_left)
            raise
        except Exception as error:
            if sending.has_left:
                why = self._scrubber.text(repr(error))
                await record.unclear(ResponseError(f"The answer could not be read: {why}."))
            else:
                await record.not_taken()
            raise
        await record.taken(result)
        return result

    async def _interruptibly(self, sending: _Sending[Any], wait: Coroutine[Any, Any, R]) -> R:
        """Wait for something that `aclose()` and `stop_submitting()` end with their errors."""
        if sending.scope is not None:
            return await wait
        with anyio.CancelScope() as scope:
            sending.scope = scope
            self._allow_interruption(sending)
            try:
                return await wait
            finally:
                self._interruptible.discard(sending)
                sending.scope = None
        raise self._over(sending.call)

    def _allow_interruption(self, sending: _Sending[Any]) -> None:
        if self._is_over(sending.call):
            sending.interrupt()
        self._interruptible.add(sending)

    async def _once(self, sending: _Sending[T], lane: Lane, sent: float) -> T:
        """Send once at the moment `sent`, and return what the answer says, or raise `Failed`."""
        limiter = lane.limiter
        limiter.started()
        try:
            if sending.call.submits:
                answer = await self._exchange(sending)
            else:
                found = await self._exchange_on_a_connection(sending)
                assert found is not None  # noqa: S101  any connection will do
                answer = found
            self._sessions.reuse.update(answer.headers)
            if REMAINING in answer.headers and answer.status != 429:
                _heed(answer.headers, limiter, sent)
            result = await self._read(sending.call, answer)
            limiter.succeeded(sent)
        except Failed as failed:
            if not isinstance(failed.error, RateLimitError):
                if isinstance(failed.error, APIError):
                    limiter.succeeded(sent)
            elif not failed.is_full_account:
                limiter.refused(failed.retry_after, sent=sent)
            raise
        else:
            return result
        finally:
            limiter.finished()

    async def _read(self, call: Call[T], answer: Answer) -> T:
        """Return what an answer says, or raise `Failed`."""
        if answer.status >= 300:
            raise refused(call, answer, self._scrubber.text)
        try:
            if call.read_in_steps is not None:
                return await run_in_steps(call.read_in_steps(answer.body))
            return call.read(answer.body)
        except ResponseError as error:
            why = str(error)
        except Exception as error:
            if not call.submits:
                raise
            why = f"reading it failed ({error!r})"  # the job may be there for all that
        if answer.cut_off is not None:
            raise self._unanswered(call, answer.cut_off, self._timeout, has_left=True)
        raise unreadable(call, answer, why, self._scrubber.text)

    async def _exchange(self, sending: _Sending[Any]) -> Answer:
        """Send once, and return the answer whatever its status."""
        for _ in range(MOST_UNFIT):
            if (answer := await self._exchange_on_a_connection(sending)) is not None:
                return answer
        host = self._host
        raise self._unanswered(
            sending.call,
            aiohttp.ClientConnectionError(f"{host} closed each of {MOST_UNFIT} connections"),
            self._timeout,
            has_left=False,
        )

    async def _exchange_on_a_connection(self, sending: _Sending[Any]) -> Answer | None:
        """Send once; `None` if the connection was unfit for a submission, and nothing was sent."""
        call = sending.call
        sessions = self._sessions
        session = sessions.open(submits=call.submits)
        timeout = self._timeout
        data: bytes | Upload | None = call.body if isinstance(call.body, bytes) else None
        headers: Mapping[str, str] = (
            sessions.request_headers_with_body if data else sessions.request_headers
        ) or {}
        choice: ConnectionChoice | None = None
        middlewares = None  # those of the session
        if call.submits:
            choice, middlewares = sessions.choose_connection(session)
            data, headers, timeout = self._upload(sending, choice)
        try:
            async with session.request(
                call.method,
                self._base.with_path(self._prefix + call.path, encoded=True),
                data=data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
                middlewares=middlewares,
            ) as response:
                if choice is not None:
                    choice.answer_received()
                body, cut_off = _whole_body(response.content), None
                if body is None:
                    body, cut_off = await _read_body(response.content)
                body = as_utf8(body, response.headers.get("Content-Type"))
                body = self._scrubber.body(body)
                status = response.status
                url = str(response.url) if status >= 300 else ""  # only refusals lead elsewhere
                return Answer(status, response.headers, body, cut_off, url)
        except Exception as error:  # noqa: BLE001  once it may have left, every failure is one
            problem = error
        # Raised out here, so that no exception of aiohttp's is the context of what the user gets.
        try:
            if sending.upload is not None and sending.upload.held_back is not None:
                raise sending.upload.held_back
            if choice is not None and sending.upload is not None:
                if sending.upload.is_unfit and not sending.has_left:
                    return None
                if isinstance(problem, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                    choice.connection_lost()
            has_left = self._may_have_left(sending, session, problem) if call.submits else None
            raise self._unanswered(call, problem, timeout, has_left=has_left)
        finally:
            del problem

    @staticmethod
    def _may_have_left(
        sending: _Sending[Any], session: aiohttp.ClientSession, problem: Exception
    ) -> bool:
        """Return whether the server may have read the whole of a submission.

        Middleware of a session of the caller's may have put another body in place of ours. Nobody
        saw that one leave, so only a connection that was never made tells that it did not.
        """
        upload = sending.upload
        if upload is None or upload.is_asked_for or not getattr(session, "_middlewares", ()):
            return sending.has_left
        return not isinstance(
            problem,
            aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL,
        )

    def _upload(
        self, sending: _Sending[Any], choice: ConnectionChoice
    ) -> tuple[Upload, Mapping[str, str], aiohttp.ClientTimeout]:
        """Return a submission's body, headers and timeout for one try."""
        call, record, request_id = sending.call, sending.record, sending.request_id
        body = call.body or b""
        sending.upload = Upload(
            body,
            may_leave=None if record is None else record.confirm,
            is_off=partial(self._is_over, call),
            choice=choice,
        )
        headers = self._sessions.request_headers_with_body
        if request_id is not None:
            headers = {**headers, "Idempotency-Key": request_id, "X-Request-Id": request_id}
        is_large = isinstance(body, Body)
        timeout = _time_to_send(len(body), self._timeout) if is_large else self._timeout
        return sending.upload, headers, timeout

    def _unanswered(
        self,
        call: Call[Any],
        error: Exception,
        timeout: aiohttp.ClientTimeout,
        *,
        has_left: bool | None,
    ) -> Failed:
        said = self._scrubber.text(str(error) or type(error).__name__)
        said = _LOGIN.sub("//***@", said)  # a proxy's
        return unanswered(call, error, said, host=self._host, timeout=timeout, has_left=has_left)


def _heed(headers: Mapping[str, str], limiter: RateLimiter, sent: float) -> None:
    """Hold calls back if the headers of an answer say that no more are allowed for now."""
    if (seconds := exhausted_for(headers)) is not None:
        limiter.exhausted(seconds, sent=sent)


def _whole_body(content: aiohttp.StreamReader) -> bytes | None:
    """Return a body if all of it came with the headers."""
    if content.is_eof() and content.total_bytes <= ANSWER_LIMIT and content.exception() is None:
        return content.read_nowait()
    return None


async def _read_body(content: aiohttp.StreamReader) -> tuple[bytes, Exception | None]:
    """Return what arrived of a body, and what cut it off if it is not whole.

    A status of refusal is one however its explanation was lost, and an answer that is whole JSON
    names its job even where the connection did not end as it should.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await next_chunk(content):
            chunks.append(chunk)
            size += len(chunk)
            if size > ANSWER_LIMIT:
                return b"", ResponseError(f"the answer is larger than {ANSWER_LIMIT // 2**20} MiB")
    except Exception as error:  # noqa: BLE001  whatever it is, the rest is not coming
        return b"".join(chunks), error
    return b"".join(chunks), None


def _time_to_send(size: int, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientTimeout:
    """Return a timeout that begins when so many bytes have been sent, if not over a dead line.

    The last of them leave the program before they leave the machine.
    """
    total, buffered = timeout.total or 0.0, min(size, SEND_BUFFER)
    return aiohttp.ClientTimeout(
        total=total + (size + buffered) / SLOWEST_UPLOAD,
        connect=timeout.connect,
        sock_read=total + buffered / SLOWEST_UPLOAD,
    )


def _log_retry(details: Mapping[str, Any]) -> None:
    failed = details["exception"]
    certain = "" if failed.rule is None else f" Nobody has the job, by {failed.rule}."
    logger.info("%s%s Trying again in %.1f s.", failed.error, certain, details["wait"])
