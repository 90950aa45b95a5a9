"""Submissions: calls that cost money, so each is sent once, and its outcome is recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import aiohttp
import anyio

from luma_async.concurrency import EndableWaits
from luma_async.errors import (
    ClientClosedError,
    LumaError,
    ResponseError,
    SubmissionStoppedError,
)
from luma_async.telemetry.semantic_names import log_attributes
from luma_async.transport.account_limit import AccountLimit, Turn
from luma_async.transport.call import Body, Call
from luma_async.transport.failures import Answer, Failed
from luma_async.transport.lane import Lane
from luma_async.transport.retry_policy import Action, action_for
from luma_async.transport.transport import Transport, repeated
from luma_async.transport.upload import Upload, time_to_send

logger = logging.getLogger("luma_async")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
R = TypeVar("R")

MAX_UNFIT_CONNECTIONS = 1000
"""Maximum number of unfit connections per submission. Each is closed, so none comes up twice."""

ALLOWANCE_PATIENCE = 600.0
"""Seconds for which rejections of a submission do not count as tries, if the server says that none
is left for now. A limit of so many a minute lets it leave within this time."""

RECORD_TIME = 5.0
"""Seconds to record the outcomes of submissions that were cut off when the client was closed."""


class SubmissionRecord(Protocol[T_contra]):
    """Record of a submission, such as an entry of a journal.

    Each try begins with `claim()`. `confirm()` follows right before the try is sent, and then one
    of the other methods, before the caller sees the outcome. Those must not raise an error. The
    cancellation of the caller interrupts none of them.
    """

    request_id: str
    """Id that is sent with each try, so that a server can tell that all are for one job."""

    async def claim(self) -> None:
        """Record that the submission is about to be sent; an error prevents that."""

    async def confirm(self) -> None:
        """Check that the claim is still valid; an error prevents that the submission is sent."""

    async def accepted(self, result: T_contra) -> None:
        """Record that the server accepted the job."""

    async def rejected(self) -> None:
        """Record that the job was rejected, or that the submission was not sent."""

    async def uncertain(self, error: LumaError) -> None:
        """Record that the job may have been accepted."""

    def cancelled(self, *, has_left: bool) -> None:
        """Record in the background that the submission was cut off."""


class UnsentSubmission(Exception):  # noqa: N818  an internal signal, never shown to users
    """Base of the signals of a record that a submission is not to be sent, for a good reason."""

    is_passing: ClassVar[bool] = False
    """`True` if the submission may be sent later. That would hide an earlier try that is uncertain,
    so the signal is not raised after one."""


class UncertainSubmission(Exception):  # noqa: N818  an internal signal, never shown to users
    """A submission was sent `times` times, and its outcome is not known because of `cause`."""

    def __init__(self, cause: LumaError, times: int) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.times = times


@dataclass(slots=True, eq=False)
class _Sending(Generic[T]):
    """State of one submission during its tries."""

    call: Call[T]
    repeat_uncertain: bool
    adopt: Callable[[asyncio.Task[T]], None] | None
    record: SubmissionRecord[T] | None
    request_id: str | None
    key: str | None
    failed: Failed | None = None
    """Failure of the first try, until it was handed to the retry policy."""
    is_repeated: bool = False
    """`True` if the retry policy makes further tries."""
    times: int = 0
    """Number of times that it was sent."""
    is_abandoned: bool = False
    """`True` if the caller was cancelled."""
    uncertain: LumaError | None = None
    """Error of the first try whose outcome is not known."""
    upload: Upload | None = None
    """Body of the latest try."""
    used_up_since: float | None = None
    """Time of the first rejection because the server allowed no more submissions for a while."""

    @property
    def has_left(self) -> bool:
        """`True` if the server may have received the whole of the latest try."""
        return self.upload is not None and self.upload.has_left


class SubmissionTransport:
    """Carry submissions to one server, and never send one again that may have been accepted.

    Safe for any number of asyncio tasks of one event loop.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        # Even a long queue of submissions leaves one place to status requests.
        places = max(transport.max_requests - 1, 1)
        self._lane = Lane("submissions", places, transport.requests)
        self.account = AccountLimit()
        self._waits = EndableWaits()
        self._is_closing = False
        self.recorder = transport.recorder
        self._deliveries: set[asyncio.Task[Any]] = set()
        self._persist = repeated(self._try_again, max_tries=transport.max_tries)

    @property
    def is_free(self) -> bool:
        """`True` if a submission can be sent now."""
        return self._lane.is_free and not self.account.is_full

    async def submit(
        self,
        call: Call[T],
        *,
        repeat_uncertain: bool = False,
        adopt: Callable[[asyncio.Task[T]], None] | None = None,
        record: SubmissionRecord[T] | None = None,
        request_id: str | None = None,
        key: str | None = None,
    ) -> T:
        """Send a submission, and return the result that its answer holds.

        A try is repeated only if it made no job for certain, or with `repeat_uncertain`.

        The cancellation of the caller is raised at once. A submission that has left continues
        nevertheless, because its answer may be the only trace of a job that is paid for. In this
        case `adopt` is called with the asyncio task that ends with the result or with `Failed`.

        `record` records the outcome; errors of its `claim()` and `confirm()` are raised here.
        `request_id` is sent with each try as `Idempotency-Key` and `X-Request-Id`. `key` is the job
        key, for the log.

        Raises:
            UncertainSubmission: the job may have been accepted.
            ClientClosedError: the client was closed before the submission was sent.
            SubmissionStoppedError: `stop()` was called before the submission was sent.
            LumaError: the job was rejected, or the submission could not be sent.

        """
        sending = _Sending(call, repeat_uncertain, adopt, record, request_id, key)
        error: LumaError
        try:
            try:
                return await self._try(sending)
            except Failed as failed:
                if not failed.may_repeat:
                    raise
                sending.failed = failed
            sending.is_repeated = True
            return await self._wait(sending, self._persist(sending))
        except Failed as failed:
            if failed.rule is not None:
                text, about = "%s Rejected for certain, by %s.", log_attributes(None, key)
                logger.info(text, failed.error, failed.rule, extra=about)
            is_passing = action_for(failed.failure, submits=True) is Action.RETRY
            is_over = is_passing and self._waits.have_ended
            error = self._stopped(call) if is_over else failed.error
        except Exception as other:  # noqa: BLE001  a response hook of the caller may raise anything
            error = self._error_of(sending, other)
        except asyncio.CancelledError:
            if sending.uncertain is not None:
                text, about = "%s The job may have been accepted.", log_attributes(None, key)
                logger.warning(text, sending.uncertain, extra=about)
            raise
        # Raised here and not above, because an exception of aiohttp as the error's context would
        # hold the headers of the request, and with them the API key.
        try:
            if sending.uncertain is not None:
                raise UncertainSubmission(sending.uncertain, sending.times)
            raise error
        finally:
            del error, sending  # otherwise the error and its traceback refer to each other

    async def until_stopped(self, wait: Awaitable[R]) -> R:
        """Await something that a submission needs, until `stop()` or `aclose()` is called.

        Raises:
            ClientClosedError: the client was closed first.
            SubmissionStoppedError: `stop()` was called first.

        """
        return await self._waits.run(wait, self._stopped)

    def stop(self, *, closing: bool = False) -> None:
        """Send no more submissions, and end those that wait; `closing` tells their errors why."""
        self._is_closing = self._is_closing or closing
        self._waits.end()

    async def aclose(self) -> None:
        """Close the transport as well, and wait for the answers of submissions that have left.

        If this is cancelled, those submissions are cut off, and their outcomes are recorded.
        """
        self.stop(closing=True)
        try:
            await self._transport.aclose()
            while self._deliveries:
                await asyncio.wait(self._deliveries)
        finally:
            await self._transport.sessions.aclose(submits=True)
            if self._deliveries:
                with anyio.move_on_after(RECORD_TIME, shield=True):
                    await asyncio.wait(self._deliveries)

    async def _try_again(self, sending: _Sending[T]) -> T:
        """Send a submission again. The first time, only raise the failure of the first try."""
        failed, sending.failed = sending.failed, None
        if failed is None:
            return await self._try(sending)
        try:
            raise failed
        finally:
            del failed

    async def _try(self, sending: _Sending[T]) -> T:
        """Send a submission once, as soon as the account has room and the lane has a place.

        While the account is full, or no submission is left in its allowance, a try that the server
        rejected for that reason waits again.
        """
        account, lane = self.account, self._lane
        turn: Turn | None = None
        was_rejected = False
        while True:
            if account.is_full and turn is None:
                if self._waits.have_ended:  # or it would queue, and the log would say so
                    raise self._stopped(sending.call)
                turn = await self._wait(sending, account.enter(again=was_rejected))
            sending.upload = None
            if not lane.try_to_enter():
                try:
                    await self._wait(sending, lane.enter())
                except BaseException:
                    account.unused(turn)
                    raise
            if account.is_full and turn is None:  # it may have become full during the wait
                lane.limiter.not_sent()
                lane.leave()
                continue
            try:
                return await self._deliver(sending, turn)
            except Failed as failed:
                decided = action_for(failed.failure, submits=True)
                if decided is Action.UNCERTAIN and sending.uncertain is None:
                    sending.uncertain = failed.error
                failed.may_repeat = not self._waits.have_ended and (
                    decided is Action.RETRY
                    or (decided is Action.UNCERTAIN and sending.repeat_uncertain)
                )
                waits = failed.is_full_account or self._waits_for_allowance(sending, failed)
                if not (waits and failed.may_repeat):
                    raise
            turn, was_rejected = None, True

    def _waits_for_allowance(self, sending: _Sending[T], failed: Failed) -> bool:
        """Return `True` if a rejected submission waits for its rate limiter, and not as a retry.

        Other clients of the account may have been faster, again and again.
        """
        if not failed.is_used_up:
            return False
        now = self._transport.sessions.now()
        sending.used_up_since = sending.used_up_since or now
        return now - sending.used_up_since < ALLOWANCE_PATIENCE

    async def _deliver(self, sending: _Sending[T], turn: Turn | None) -> T:
        """Send a submission in an asyncio task of its own, so that cancelling the caller spares it.

        The task releases the place in the lane.
        """
        if self._waits.have_ended:
            self._lane.leave()
            self.account.unused(turn)
            raise self._stopped(sending.call)
        sent = self._transport.sessions.now()
        if sending.record is None:
            sending.times += 1
            delivering = self._transport.send(
                *(sending.call, self._lane.limiter, sent, self._answer, sending),
                tries=sending.times,
            )
        else:
            delivering = self._send_on_record(sending, sending.record)
        delivery = asyncio.create_task(delivering, name="luma-async submission")
        self._deliveries.add(delivery)
        delivery.add_done_callback(partial(self._delivered, sent, turn))
        if sending.is_repeated:
            self._waits.pause(sending)
        try:
            return await asyncio.shield(delivery)
        except asyncio.CancelledError:
            sending.is_abandoned = True
            if sending.adopt is not None:
                sending.adopt(delivery)
            raise
        finally:
            del delivery  # otherwise its error and the traceback refer to each other
            if sending.is_repeated:
                self._waits.resume(sending)

    def _delivered(self, sent: float, turn: Turn | None, delivery: asyncio.Task[Any]) -> None:
        """Release the place of a submission, and report its outcome to the account."""
        self._deliveries.discard(delivery)
        self._lane.leave()
        failed = None if delivery.cancelled() else delivery.exception()
        if failed is None and not delivery.cancelled():
            self.account.accepted(turn)
        elif isinstance(failed, Failed) and failed.is_full_account:
            self.account.rejected(failed.error, failed.retry_after, sent=sent)
        else:
            self.account.unused(turn)

    async def _send_on_record(self, sending: _Sending[T], record: SubmissionRecord[T]) -> T:
        """Record a claim, send the submission once, and record the outcome."""
        try:
            await record.claim()
        except asyncio.CancelledError:
            record.cancelled(has_left=False)
            raise
        except Exception:
            self._lane.limiter.not_sent()
            raise
        if sending.is_abandoned or self._waits.have_ended:
            await record.rejected()
            raise self._stopped(sending.call)
        sending.times += 1
        transport = self._transport
        try:
            result = await transport.send(
                *(sending.call, self._lane.limiter, transport.sessions.now()),
                *(self._answer, sending),
                tries=sending.times,
            )
        except Failed as failed:
            if failed.is_uncertain:
                await record.uncertain(failed.error)
            else:
                await record.rejected()
            raise
        except asyncio.CancelledError:
            record.cancelled(has_left=sending.has_left)
            raise
        except Exception as error:
            if sending.has_left:
                why = transport.scrub(repr(error))
                await record.uncertain(ResponseError(f"The answer could not be read: {why}."))
            else:
                await record.rejected()
            raise
        await record.accepted(result)
        return result

    async def _answer(self, sending: _Sending[Any]) -> Answer:
        """Send a submission once on a connection that is fit for it, and return the answer."""
        call, request_id, transport = sending.call, sending.request_id, self._transport
        sessions, body = transport.sessions, call.body or b""
        timeout = transport.timeout
        if isinstance(body, Body):
            timeout = time_to_send(len(body), timeout)
        headers = sessions.request_headers_with_body
        if request_id is not None:
            headers = {**headers, "Idempotency-Key": request_id, "X-Request-Id": request_id}
        for _ in range(MAX_UNFIT_CONNECTIONS):
            session = sessions.open(submits=True)
            choice, middlewares = sessions.choose_connection(session)
            upload = Upload(body, record=sending.record, waits=self._waits, choice=choice)
            sending.upload = upload
            try:
                answer = await transport.request(
                    call,
                    session=session,
                    upload=upload,
                    headers=headers,
                    timeout=timeout,
                    middlewares=middlewares,
                    explain=partial(self._explain, call, session, upload, timeout),
                )
            except _UnfitConnectionError:
                continue
            choice.answer_received()
            return answer
        raise transport.unanswered(
            call,
            aiohttp.ClientConnectionError(
                f"the server closed each of {MAX_UNFIT_CONNECTIONS} connections"
            ),
            has_left=False,
        )

    def _explain(
        self,
        call: Call[Any],
        session: aiohttp.ClientSession,
        upload: Upload,
        timeout: aiohttp.ClientTimeout,
        problem: Exception,
    ) -> Exception:
        """Return the exception to raise for a submission that ended without an answer."""
        if upload.held_back is not None:
            return upload.held_back
        if upload.is_unfit and not upload.has_left:
            return _UnfitConnectionError()
        if isinstance(problem, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
            upload.choice.connection_lost()
        has_left = upload.has_left
        if not upload.was_requested and bool(getattr(session, "_middlewares", None)):
            # Middleware of the caller's session may have sent another body, which was not observed.
            # Only the lack of a connection shows then that nothing has left.
            has_left = not isinstance(
                problem,
                aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL,
            )
        return self._transport.unanswered(call, problem, timeout=timeout, has_left=has_left)

    def _error_of(self, sending: _Sending[Any], problem: Exception) -> LumaError:
        """Return the error of a submission whose answer could not be read.

        As long as nothing has left, any other exception is raised as it is: it is a signal of the
        record, or a mistake in the caller's session.
        """
        if isinstance(problem, LumaError):
            return problem
        if not sending.has_left:
            is_passing = isinstance(problem, UnsentSubmission) and problem.is_passing
            if is_passing and sending.uncertain is not None:
                return sending.uncertain
            raise problem
        why = self._transport.scrub(repr(problem))
        error = ResponseError(f"{sending.call}: the answer could not be read: {why}.")
        sending.uncertain = sending.uncertain or error
        return error

    async def _wait(self, sending: _Sending[Any], wait: Awaitable[R]) -> R:
        return await self._waits.run(wait, partial(self._stopped, sending.call), owner=sending)

    def _stopped(self, call: Call[Any] | None = None) -> LumaError:
        """Return the error of a submission that was not sent."""
        subject = call or "Submission"
        if self._is_closing:
            return ClientClosedError(f"{subject}: the client is closed; the job was not accepted.")
        return SubmissionStoppedError(
            f"{subject}: nothing more is submitted; the job was not accepted."
        )


class _UnfitConnectionError(Exception):
    """Signal to send a submission on another connection; nothing has left on this one."""
