"""Submitter: submit jobs without a journal, and watch them, as many at a time as have places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import uuid4

from luma_async.callback_runner import check_callback
from luma_async.concurrency import Turns
from luma_async.dialects import Dialect
from luma_async.dialects.server_advice import search_for_lost_job
from luma_async.errors import (
    BadRequestError,
    ConfigurationError,
    InvalidRequestError,
    LumaError,
    NotFoundError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation
from luma_async.metadata import frozen_metadata
from luma_async.requests import JobRequest
from luma_async.tasks.job_log import log_cancelled_submission, log_submitting, log_without_handle
from luma_async.tasks.job_sources import JobSource
from luma_async.tasks.manager import TaskManager
from luma_async.tasks.places import NoFreePlace, Places
from luma_async.tasks.submission_report import SubmissionReport
from luma_async.tasks.task import UpdateCallback, VideoTask
from luma_async.text_values import shown_value
from luma_async.transport import (
    Call,
    Failed,
    SubmissionRecord,
    SubmissionTransport,
    UncertainSubmission,
)

SUBMISSIONS_PER_TURN = 32
"""Number of submissions that continue in one turn of the event loop. A group commit of the journal
lets many continue at once."""


RetryUncertain = bool | Literal["once"]
"""Policy for submissions that may have been accepted, since sending one again may pay twice.

`True` sends it again until there is an answer or the tries are used up. `"once"` sends it one more
time if it is uncertain when the call or the run begins.
"""


def check_flag(name: str, value: object, *others: str) -> None:
    """Check that an argument is `True`, `False` or one of some other values.

    Raises:
        InvalidRequestError: it is another value. Such a value may be a mistyped permission to pay.

    """
    if not (isinstance(value, bool) or (isinstance(value, str) and value in others)):
        allowed = ("True", "False", *map(repr, others))
        raise InvalidRequestError.of(
            name,
            f"must be {', '.join(allowed[:-1])} or {allowed[-1]}, got {shown_value(value)}",
        )


def check_retries(retry_failed: object, retry_uncertain: object) -> None:
    """Check the options of a call that decide if a job is submitted again.

    Raises:
        InvalidRequestError: one of them is not valid.

    """
    check_flag("retry_failed", retry_failed)
    check_flag("retry_uncertain", retry_uncertain, "once")


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to submit, with all options of the call.

    Attributes:
        request: the request, with its images as the caller gave them.
        source: the job whose output the request works on, such as the video to extend; `None` for
            a request without one.
        key: the job key; `None` if the caller gave none.
        retry_failed: submit the job again if the one with this key failed or was lost.
        retry_uncertain: the policy for submissions that may have been accepted.
        metadata: the caller's data about the job; it is not part of the request. A frozen copy is
            kept.
        on_update: called with the handle at once, at every change of state or progress, and when
            the job has ended.
        redo: the id of the ended job with this key to submit anew. Once it is replaced, the key has
            another job, so that a repeated call does not replace that.
        any_request: return the job with this key even if it was submitted for another request.
        context: the context in which `on_update` is called; by default that of the submission.
        claims: the claims of the earlier submissions that `"once"` may send again; `None` if they
            are not looked up yet. They are fixed when the call begins, because a submission that
            becomes uncertain later may be the repeat of another caller.

    Raises:
        InvalidRequestError: the metadata is not a JSON object, or too large; `on_update` is not a
            function; an option of retries is not valid, or `retry_failed` lacks a job key.

    """

    request: JobRequest
    source: JobSource | None = None
    key: str | None = None
    retry_failed: bool = False
    retry_uncertain: RetryUncertain = False
    metadata: Mapping[str, Any] | None = None
    on_update: UpdateCallback | None = None
    redo: str | None = None
    any_request: bool = False
    context: Context | None = None
    claims: AbstractSet[str] | None = None

    def __post_init__(self) -> None:
        check_retries(self.retry_failed, self.retry_uncertain)
        if self.retry_failed and self.key is None:
            raise InvalidRequestError.of(
                "retry_failed",
                "needs key=, the job key of the failed job; without it each call submits a new job",
            )
        if self.on_update is not None:
            check_callback("on_update", self.on_update)
        if self.metadata is not None:
            object.__setattr__(self, "metadata", frozen_metadata(self.metadata))

    @property
    def source_id(self) -> str | None:
        """Id of the job to extend, or `None` for a new video."""
        return self.source.id if isinstance(self.source, VideoTask | Generation) else self.source

    def handle(self, task: VideoTask) -> VideoTask:
        """Return the handle on the job, after the caller's function was attached to it."""
        if self.on_update is not None:
            context = None if self.context is None else self.context.copy()
            task.add_update_callback(self.on_update, context=context)
        return task

    def may_repeat(self, claim: str) -> bool:
        """Return `True` if the uncertain submission with this claim may be sent again."""
        if self.retry_uncertain == "once":
            return self.claims is not None and claim in self.claims
        return self.retry_uncertain


def kind_of(verb: str, fields: Mapping[str, Any]) -> str:
    """Return the kind of a submission. Jobs of a kind take about the same time."""
    chosen = (fields.get("model"), fields.get("resolution"), fields.get("duration"))
    return " ".join((verb, *(str(choice) for choice in chosen if choice)))


def takes_hook(request: JobRequest) -> bool:
    """Return `True` if a request has a field for a hook, and the caller has set none."""
    return "notify_hook" in type(request).model_fields and not getattr(request, "notify_hook", None)


class ReadsImages(Protocol):
    """Reader of the images of requests."""

    def read(self, request: JobRequest) -> AbstractAsyncContextManager[JobRequest]:
        """Provide a request with its images read, and keep them in memory within the context."""


class UploadsFiles(Protocol):
    """Uploads of the large files of requests."""

    def are_needed(self, request: JobRequest) -> bool:
        """Return `True` if a request has files to upload."""

    async def replace(self, request: JobRequest) -> JobRequest:
        """Return the request with references, once all of its files are at the server."""

    async def forget_missing(self, request: JobRequest, sent: JobRequest) -> bool:
        """Return `True` if a file in `sent`, from `replace(request)`, is not at the server."""


class Submitter:
    """Submission of jobs, as many of which may run at a time as there are `places`.

    A job takes a place before it is submitted. Without `places`, there is no limit. If the caller
    is cancelled after the submission has left, it continues; an accepted job is watched, and the
    log tells its id.
    """

    def __init__(
        self,
        transport: SubmissionTransport,
        dialect: Dialect,
        manager: TaskManager,
        images: ReadsImages,
        *,
        places: Places | None,
        uploads: UploadsFiles | None = None,
        hook_url: Callable[[str], str] | None = None,
    ) -> None:
        self.manager = manager
        self.images = images
        self._transport = transport
        self._dialect = dialect
        self.search = search_for_lost_job(dialect.name)
        """Way to find a job whose submission was not answered, for errors."""
        self._uploads = uploads
        self._hook_url = hook_url
        self._places = places
        self._turns = Turns(SUBMISSIONS_PER_TURN)

    @property
    def must_wait(self) -> bool:
        """`True` if a submission cannot be sent now."""
        is_full = self._places is not None and self._places.are_full
        return is_full or not self._transport.is_free

    @property
    def has_hooks(self) -> bool:
        """`True` if submissions ask for callbacks."""
        return self._hook_url is not None

    def must_upload(self, request: JobRequest) -> bool:
        """Return `True` if a request has files to upload. That may take long."""
        return self._uploads is not None and self._uploads.are_needed(request)

    async def submit(self, submission: Submission) -> VideoTask:
        """Submit a job, and return its handle. A source that is still running is awaited first.

        Raises:
            ConfigurationError: there is a job key, which needs a journal.
            GenerationFailedError: the source failed.
            LumaError: as in `send()`.

        """
        if submission.key is not None:
            raise ConfigurationError("A job key needs a journal: LumaClient(journal='jobs.db').")
        if submission.source is not None:
            await self.finish(submission.source)
        async with self.images.read(submission.request) as request:
            return await self.send(submission, request)

    async def uncertain_claims(self) -> AbstractSet[str]:
        """Return an empty set: without a journal, no earlier submission is known."""
        return frozenset()

    async def finish(self, source: JobSource) -> None:
        """Wait until the video to extend is completed.

        Raises:
            GenerationFailedError: the source failed.
            SubmissionStoppedError: nothing is submitted any more.
            LumaError: as awaiting the source.

        """
        await self._transport.until_stopped(self.manager.finished(source))

    async def send(
        self,
        submission: Submission,
        request: JobRequest,
        record: SubmissionRecord[Generation] | None = None,
        key: str | None = None,
    ) -> VideoTask:
        """Send a submission and watch its job.

        `request` is that of the submission with its images read. Large ones are uploaded first.
        `record` records the outcome under the job key `key`.

        Raises:
            SubmissionUncertainError: the job may have been accepted.
            SubmissionStoppedError: nothing is submitted any more.
            ClientClosedError: the client is closed.
            UploadError: a file could not be uploaded.
            LumaError: the job was rejected, or the submission could not be sent; or the job was
                accepted and an internal error came before its handle, and the text has its id.

        """
        report = SubmissionReport(self._transport.recorder, request, key)
        has_files = self._uploads is not None and self._uploads.are_needed(request)
        send = self._send_with_files if has_files else self._send
        try:
            if report.trace is None:
                generation = await send(submission, request, record, key, report)
            else:
                with report.trace.current():
                    generation = await send(submission, request, record, key, report)
        except BaseException as error:
            if not report.is_adopted:
                report.failed(error)
            raise
        return self._watch(generation, submission, key, report)

    async def _send_with_files(
        self,
        submission: Submission,
        request: JobRequest,
        record: SubmissionRecord[Generation] | None,
        key: str | None,
        report: SubmissionReport,
    ) -> Generation:
        uploads = self._uploads
        assert uploads is not None  # noqa: S101  the caller has tested it
        ready = await self._transport.until_stopped(uploads.replace(request))
        try:
            return await self._send(submission, ready, record, key, report)
        except (BadRequestError, NotFoundError):
            # A remembered file may have been deleted meanwhile. The rejection is certain, so that
            # no job is paid for twice.
            if not await self._transport.until_stopped(uploads.forget_missing(request, ready)):
                raise
        ready = await self._transport.until_stopped(uploads.replace(request))
        return await self._send(submission, ready, record, key, report)

    async def _send(
        self,
        submission: Submission,
        request: JobRequest,
        record: SubmissionRecord[Generation] | None,
        key: str | None,
        report: SubmissionReport,
    ) -> Generation:
        await self._turns.take()
        log_submitting(request.kind, request.prompt, key)
        number: int | None = None
        if self._places is not None and (number := self._places.take_now()) is None:
            number = await self._transport.until_stopped(self._places.take())
        request_id = str(uuid4()) if record is None else record.request_id
        if self._hook_url is not None and takes_hook(request):
            report.hooked = request_id
            self.manager.hints.expect(request_id)

        def adopt(delivery: asyncio.Task[Generation]) -> None:
            report.is_adopted = True
            delivery.add_done_callback(lambda done: self._adopt(submission, key, report, done))

        try:
            if self._hook_url is not None and report.hooked is not None:
                hook = self._hook_url(report.hooked)
                request = request.model_copy(update={"notify_hook": hook})
            while True:
                call = await self._call(submission, request)
                try:
                    return await self._transport.submit(
                        call,
                        repeat_uncertain=submission.retry_uncertain is True,
                        adopt=adopt,
                        record=record,
                        request_id=request_id,
                        key=key,
                    )
                except NoFreePlace:
                    again, number = number, None  # it has none until the wait is over
                number = await self._wait_again(again)
        except BaseException as error:
            if not report.is_adopted:
                is_uncertain = isinstance(error, UncertainSubmission)
                has_place = number is not None
                self._give_up(report, key, is_uncertain=is_uncertain, has_place=has_place)
            if not isinstance(error, UncertainSubmission):
                raise
            uncertain = error
        try:
            raise SubmissionUncertainError(
                uncertain.cause,
                prompt=submission.request.prompt,
                source_id=submission.source_id,
                times=uncertain.times,
                key=key,
                request_id=request_id,
                search=self.search,
            )
        finally:
            del uncertain  # otherwise it and its traceback refer to each other

    async def _call(self, submission: Submission, request: JobRequest) -> Call[Generation]:
        """Return the call of a submission. The links in it are as fresh as they can be."""
        source_id = submission.source_id
        if linked := self._dialect.linked_outputs(request, source_id):
            request = await self._with_links(request, linked)
            source_id = None if "media" in linked else source_id
        return self._dialect.submission(request, source_id)

    async def _wait_again(self, number: int | None) -> int:
        """Wait for a free place after all, and return the number of the submission."""
        places = self._places
        assert places is not None  # noqa: S101  without places, none can be missing
        return await self._transport.until_stopped(places.take(again=number))

    async def _with_links(self, request: JobRequest, linked: Mapping[str, str]) -> JobRequest:
        """Return the request with fresh links to the outputs of jobs, by their places."""
        links: dict[str, str] = {}
        for id in dict.fromkeys(linked.values()):
            links[id] = (await self._transport.until_stopped(self.manager.look(id))).url
        return request.with_images({place: links[id] for place, id in linked.items()})

    def _adopt(
        self,
        submission: Submission,
        key: str | None,
        report: SubmissionReport,
        delivery: asyncio.Task[Generation],
    ) -> None:
        """Watch the job of a submission whose caller was cancelled after it had left."""
        prompt = submission.request.prompt
        failed = None if delivery.cancelled() else delivery.exception()
        is_uncertain = delivery.cancelled() or (isinstance(failed, Failed) and failed.is_uncertain)
        if is_uncertain:
            log_cancelled_submission(prompt, key, None)
        if delivery.cancelled():
            report.cut_off(asyncio.CancelledError())
        elif failed is not None:
            report.failed(failed)
        if delivery.cancelled() or failed is not None:
            self._give_up(report, key, is_uncertain=is_uncertain)
            return
        task = self._watch(delivery.result(), submission, key, report)
        log_cancelled_submission(prompt, key, task)

    def _give_up(
        self,
        report: SubmissionReport,
        key: str | None,
        *,
        is_uncertain: bool,
        has_place: bool = True,
    ) -> None:
        """Release the place of a submission without a known job, and its expected callbacks."""
        if self._places is not None and has_place:
            self._places.given_up(is_uncertain=is_uncertain)
        if report.hooked is None:
            return
        if is_uncertain:
            self.manager.hints.uncertain(report.hooked, key)
        else:
            self.manager.hints.withdraw(report.hooked)

    def _watch(
        self,
        generation: Generation,
        submission: Submission,
        key: str | None,
        report: SubmissionReport,
    ) -> VideoTask:
        try:
            report.accepted(generation.id)
            kind = kind_of(submission.request.kind, submission.request.__dict__)
            task = self.manager.add(
                generation,
                submitted_here=True,
                kind=kind,
                key=key,
                metadata=submission.metadata,
                request_id=report.hooked,
                trace=report.trace,
            )
            if self._places is not None:
                self._places.accepted(task)
            return submission.handle(task)
        except Exception as error:
            id = generation.id
            log_without_handle(id, key, error)
            raise LumaError(
                f"Job {id} was accepted and is paid for, but its handle could not be made "
                f"({type(error).__name__}: {error}). LumaClient.watch({id!r}) returns a handle."
            ) from error
