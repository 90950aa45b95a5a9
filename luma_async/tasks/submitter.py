"""Submitter: turns requests into watched jobs, so many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Literal, NamedTuple, TypeVar, cast
from uuid import uuid4

import anyio

from luma_async.concurrency import Turns
from luma_async.dialects import Dialect
from luma_async.errors import (
    ClientClosedError,
    SubmissionStoppedError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.tasks.manager import TaskManager
from luma_async.tasks.task import VideoTask
from luma_async.transport import Call, Failed, SubmissionRecord, Transport, UncertainSubmission

logger = logging.getLogger("luma_async")

AT_ONCE = 32
"""Submissions that go on in one round of the event loop: a journal tells many at once of theirs."""

T = TypeVar("T")


class Submitter:
    """Submits jobs, and waits for a free place first where `max_tasks` bounds the running ones.

    A job takes its place before it is submitted and gives it back when its handle is done, or
    when the submission fails. A submission whose caller is cancelled while it is on its way is
    seen through: if the job was accepted it is watched, and the log says so.
    """

    def __init__(
        self,
        transport: Transport,
        dialect: Dialect,
        manager: TaskManager,
        *,
        max_tasks: int | None,
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._manager = manager
        self._places = None if max_tasks is None else anyio.Semaphore(max_tasks, fast_acquire=True)
        self._turns = Turns(AT_ONCE)
        self._is_stopped = False
        self._waiting: set[anyio.CancelScope] = set()

    @property
    def must_wait(self) -> bool:
        """Whether a submission could not leave now."""
        is_full = self._places is not None and not self._places.value
        return is_full or not self._transport.is_free

    def stop(self) -> None:
        """Let no submission leave any more, and end at once those that wait to."""
        self._is_stopped = True
        self._transport.stop_submitting()
        for scope in self._waiting:
            scope.cancel()

    async def unless_stopped(self, wait: Awaitable[T]) -> T:
        """Wait for what a submission needs, for as long as anything is submitted.

        Raises:
            SubmissionStoppedError: `stop()` was called.

        """
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            if self._is_stopped:
                scope.cancel()
            try:
                return await wait
            finally:
                self._waiting.discard(scope)
        raise SubmissionStoppedError("Nothing more is submitted; the job was not accepted.")

    async def submit(
        self,
        submission: Submission,
        *,
        retry_uncertain: bool,
        key: str | None = None,
        record: SubmissionRecord[Generation] | None = None,
    ) -> VideoTask:
        """Submit a job and watch it. `record` writes down what becomes of it, under `key`."""
        await self._turns.take()
        call = self._call(submission)
        await self._take_place()
        keeps_place = False
        request_id = str(uuid4()) if record is None else record.request_id

        def adopt(delivery: asyncio.Task[Generation]) -> None:
            nonlocal keeps_place
            keeps_place = True
            delivery.add_done_callback(lambda done: self._adopt(submission, key, done))

        try:
            generation = await self._transport.call(
                call,
                repeat_uncertain=retry_uncertain,
                adopt=adopt,
                record=record,
                request_id=request_id,
            )
        except BaseException as error:
            if not keeps_place:
                self._give_back()
            if not isinstance(error, UncertainSubmission):
                raise
            uncertain = error
        else:
            return self._watch(generation, submission, key)
        try:
            raise SubmissionUncertainError(
                uncertain.cause,
                request=submission.request,
                source_id=submission.source_id,
                times=uncertain.times,
                key=key,
                request_id=request_id,
            )
        finally:
            del uncertain  # its own traceback leads to it

    def _call(self, submission: Submission) -> Call[Generation]:
        sent, source_id = submission.sent, submission.source_id
        if source_id is None:
            return self._dialect.generate(cast("GenerateRequest", sent))
        return self._dialect.extend(source_id, cast("ExtendRequest", sent))

    def _adopt(
        self, submission: Submission, key: str | None, delivery: asyncio.Task[Generation]
    ) -> None:
        """Take in the end of a submission whose caller was cancelled while it was on its way."""
        prompt = submission.request.prompt[:60]
        failed = None if delivery.cancelled() else delivery.exception()
        if delivery.cancelled() or (isinstance(failed, Failed) and failed.is_uncertain):
            logger.warning("Cancelled on its way, the job may have been accepted: %r", prompt)
        if delivery.cancelled() or failed is not None:
            self._give_back()
            return
        task = self._watch(delivery.result(), submission, key)
        logger.warning(
            "Cancelled on its way, the job was accepted: %r is task %s, and %s.",
            prompt,
            task.id,
            _whereabouts(task),
        )

    def _watch(self, generation: Generation, submission: Submission, key: str | None) -> VideoTask:
        task = self._manager.add(generation, submitted_here=True, kind=submission.kind, key=key)
        if self._places is not None:
            task.add_done_callback(self._give_back)
        return task

    async def _take_place(self) -> None:
        if self._places is None:
            return
        if self._places.value:
            self._places.acquire_nowait()
        else:
            await self.unless_stopped(self._places.acquire())

    def _give_back(self, _: VideoTask | None = None) -> None:
        if self._places is not None:
            self._places.release()


def _whereabouts(task: VideoTask) -> str:
    if isinstance(task.error, ClientClosedError):
        return "goes on at the server"
    return "done" if task.done else f"watched; watch({task.id!r}) gives its handle"


Verb = Literal["generate", "extend"]

RetryUncertain = bool | Literal["once"]
"""Whether a submission that may have been accepted is sent again, at the risk of paying twice.

`True` repeats it until an answer comes or the tries are used up. `"once"` sends one that is
uncertain when the call or the run begins a single time more, and repeats none of its own.
"""


class Retries(NamedTuple):
    """The earlier submissions that a call or a run may send again under their keys.

    `failed` is about jobs that failed or were lost. `uncertain` is about submissions that may have
    been accepted: all of them, none, or those with these claims, which a call finds when it begins.
    One that becomes uncertain later may be a repeat of the same by somebody else.
    """

    failed: bool = False
    uncertain: bool | AbstractSet[str] = False

    def may_repeat(self, claim: str) -> bool:
        """Return whether an uncertain submission may be sent again."""
        return self.uncertain if isinstance(self.uncertain, bool) else claim in self.uncertain


class Submission(NamedTuple):
    """A new job, or the extension of the finished job `source_id`.

    `request` is what was asked for, `sent` the same with its images read.
    """

    request: GenerateRequest | ExtendRequest
    sent: GenerateRequest | ExtendRequest
    source_id: str | None = None

    @property
    def verb(self) -> Verb:
        """Which call submits it."""
        return "generate" if self.source_id is None else "extend"

    @property
    def kind(self) -> str:
        """What tells how long the job may take: submissions of a kind take about as long."""
        return kind_of(self.verb, self.request.__dict__)


def kind_of(verb: str, fields: Mapping[str, Any]) -> str:
    """Return the kind of a submission with these fields."""
    chosen = (fields.get("model"), fields.get("resolution"), fields.get("duration"))
    return " ".join((verb, *(str(choice) for choice in chosen if choice)))
