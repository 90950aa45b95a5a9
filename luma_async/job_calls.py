"""Job calls: the methods of `LumaClient` that submit a job, and return its handle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Unpack

from luma_async.concurrency import HomeLoop, Turns
from luma_async.dialects import Dialect
from luma_async.edit_requests import (
    EditFields,
    EditImageRequest,
    EditRequest,
    ImageFields,
    ImageRequest,
    LayersFields,
    LayersRequest,
    ReframeFields,
    ReframeRequest,
)
from luma_async.errors import InvalidRequestError
from luma_async.field_docs import with_fields_of
from luma_async.journal.bookkeeper import Bookkeeper
from luma_async.request_fields import AspectRatio
from luma_async.requests import (
    ExtendFields,
    ExtendRequest,
    GenerateFields,
    GenerateRequest,
    JobRequest,
)
from luma_async.tasks import VideoTask
from luma_async.tasks.arguments import check_source
from luma_async.tasks.job_sources import (
    JobSource,
    SourceLike,
    check_has_source,
    job_or_media,
    with_media,
)
from luma_async.tasks.submitter import RetryUncertain, Submission, Submitter
from luma_async.tasks.task import UpdateCallback
from luma_async.text_values import shown_value

Request = TypeVar("Request", bound=JobRequest)


class JobCalls:
    """Base of `LumaClient` with the calls for each kind of job."""

    _home: HomeLoop
    _turns: Turns
    _dialect: Dialect
    _submissions: Bookkeeper | Submitter

    @with_fields_of(GenerateRequest, GenerateFields)
    async def generate(
        self,
        prompt: str | GenerateRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[GenerateFields],
    ) -> VideoTask:
        """Submit a new job and return its handle; await that for the video.

        >>> task = await luma.generate("a cat dances", aspect_ratio="16:9")    # doctest: +SKIP

        Args:
            prompt: the prompt, or a request.
            key: the job key: your name for the job in the journal, such as `"row-17"`. A job with
                this key is submitted only once. If it is known, its handle is returned, and if it
                has failed, its error is raised again.
            retry_failed: `True` to submit a failed job with this key again, even if the request has
                changed. It needs `key`.
            retry_uncertain: `True` to send a submission again even if the job may have been
                accepted, at the risk of paying for both. `"once"` sends again, one time, a
                submission with this key that is uncertain when the call begins. If several callers
                do so at once, one of them sends it.
            metadata: your own data about the job, such as the user to answer: a JSON object of at
                most 16 KiB. A copy is kept with the job, also in the journal, and never sent. A job
                that the journal knows keeps the metadata that it was submitted with.
            on_update: called with the handle once the job is accepted, at every change of state or
                progress, and last when the task is done. It may be async, and runs in the context
                of the caller; see `VideoTask.add_update_callback()`.
            fields: the fields of `GenerateRequest`.

        Raises:
            InvalidRequestError: a field is not valid; nothing was sent.
            KeyConflictError: the job key belongs to another job; nothing was sent.
            JournalError: the journal cannot be written; nothing was sent.
            GenerationFailedError: the job with this job key failed.
            SubmissionUncertainError: the job may have been accepted; it was not sent again.
            APIError: the server rejected the request; the job was not accepted.
            APIConnectionError: the server could not be reached; the job was not accepted.
            ClientClosedError: the client is closed; the job was not accepted.
            SubmissionStoppedError: `stop_submitting()` was called; the job was not accepted.

        """
        self._home.enter()
        await self._turns.take()
        request = GenerateRequest.of(prompt, **fields)
        return await self._submit(
            Submission(request, None, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(ExtendRequest, ExtendFields)
    async def extend(
        self,
        source: JobSource,
        prompt: str | ExtendRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[ExtendFields],
    ) -> VideoTask:
        """Submit a job that adds about five seconds to a video, and return its handle.

        >>> longer = await (await luma.extend(video, "the cat takes a bow"))   # doctest: +SKIP

        Args:
            source: the video to extend: a handle, a generation or an id. If its job is still
                running, it is awaited first.
            prompt: the prompt, or a request.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `ExtendRequest`.

        Raises:
            GenerationFailedError: the source failed, so there is nothing to extend.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        check_source(source)
        await self._turns.take()
        request = ExtendRequest.of(prompt, **fields)
        check_has_source(request, source)
        return await self._submit(
            Submission(request, source, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(EditRequest, EditFields)
    async def edit(
        self,
        source: SourceLike,
        prompt: str | EditRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[EditFields],
    ) -> VideoTask:
        """Submit a job that changes a video by a prompt, and return its handle.

        >>> winter = await (await luma.edit(video, "the same in winter"))      # doctest: +SKIP

        Args:
            source: the video to change. A handle, a generation or an id stands for the output of a
                job, which is awaited first if it is still running. A URL, a `pathlib.Path`, bytes
                or a reference is a file.
            prompt: the prompt, or a request.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `EditRequest`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            GenerationFailedError: the source failed, so there is nothing to work on.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        job, media = job_or_media(source)
        await self._turns.take()
        request = _request(EditRequest, prompt, fields, media)
        check_has_source(request, job)
        return await self._submit(
            Submission(request, job, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(ReframeRequest, ReframeFields)
    async def reframe(
        self,
        source: SourceLike,
        aspect_ratio: AspectRatio | ReframeRequest,
        prompt: str = "",
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[ReframeFields],
    ) -> VideoTask:
        """Submit a job that gives a video another aspect ratio, and return its handle.

        >>> tall = await (await luma.reframe(video, "9:16", "a wide beach"))   # doctest: +SKIP

        The server paints the parts that the video does not have.

        Args:
            source: the video, in the forms that `edit()` takes.
            aspect_ratio: the new ratio of width to height, or a request.
            prompt: text that describes the added parts; some servers require it.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `ReframeRequest`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            GenerationFailedError: the source failed, so there is nothing to work on.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        job, media = job_or_media(source)
        await self._turns.take()
        if isinstance(aspect_ratio, ReframeRequest):
            text = {"prompt": prompt} if prompt else {}
            request = _request(ReframeRequest, aspect_ratio, {**text, **fields}, media)
        else:
            named = {"aspect_ratio": aspect_ratio, **fields}
            request = _request(ReframeRequest, prompt, named, media)
        check_has_source(request, job)
        return await self._submit(
            Submission(request, job, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(ImageRequest, ImageFields)
    async def generate_image(
        self,
        prompt: str | ImageRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[ImageFields],
    ) -> VideoTask:
        """Submit a job for a new image, and return its handle.

        >>> cat = await (await luma.generate_image("a cat, in oil"))           # doctest: +SKIP
        >>> await luma.download(cat, "cat.png")                                # doctest: +SKIP

        Args:
            prompt: the prompt, or a request.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `ImageRequest`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        await self._turns.take()
        request = ImageRequest.of(prompt, **fields)
        return await self._submit(
            Submission(request, None, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(EditImageRequest, ImageFields)
    async def edit_image(
        self,
        source: SourceLike,
        prompt: str | EditImageRequest,
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[ImageFields],
    ) -> VideoTask:
        """Submit a job that changes an image by a prompt, and return its handle.

        >>> hat = await (await luma.edit_image(Path("cat.png"), "with a hat")) # doctest: +SKIP

        Args:
            source: the image to change, in the forms that `edit()` takes.
            prompt: the prompt, or a request.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `EditImageRequest`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            GenerationFailedError: the source failed, so there is nothing to work on.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        job, media = job_or_media(source)
        await self._turns.take()
        request = _request(EditImageRequest, prompt, fields, media)
        check_has_source(request, job)
        return await self._submit(
            Submission(request, job, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    @with_fields_of(LayersRequest, LayersFields)
    async def extract_layers(
        self,
        source: SourceLike,
        prompt: str | LayersRequest = "",
        *,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
        **fields: Unpack[LayersFields],
    ) -> VideoTask:
        """Submit a job that takes an image apart into layers, and return its handle.

        >>> cat = await (await luma.extract_layers(image, "cat, background"))  # doctest: +SKIP
        >>> [asset.layer.label for asset in cat.outputs]                       # doctest: +SKIP

        Each output of the job is an image with transparency, and `Asset.layer` describes it.

        Args:
            source: the image to take apart, in the forms that `edit()` takes.
            prompt: text that says how to split the image, or a request; some servers require it.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.
            fields: the fields of `LayersRequest`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            GenerationFailedError: the source failed, so there is nothing to work on.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        job, media = job_or_media(source)
        await self._turns.take()
        request = _request(LayersRequest, prompt, fields, media)
        check_has_source(request, job)
        return await self._submit(
            Submission(request, job, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    async def submit(
        self,
        request: JobRequest,
        *,
        source: JobSource | None = None,
        key: str | None = None,
        retry_failed: bool = False,
        retry_uncertain: RetryUncertain = False,
        metadata: Mapping[str, Any] | None = None,
        on_update: UpdateCallback | None = None,
    ) -> VideoTask:
        """Submit a request of any kind, and return the handle on its job.

        >>> request = EditRequest("in winter", media="https://host/cat.mp4")
        >>> task = await luma.submit(request)                                  # doctest: +SKIP

        The calls for one kind, such as `edit()`, build their requests and do the same. Use this one
        if a request comes from elsewhere, such as the body of a web app.

        Args:
            request: the request.
            source: the job whose output the request works on: a handle, a generation or an id.
            key: as in `generate()`.
            retry_failed: as in `generate()`.
            retry_uncertain: as in `generate()`.
            metadata: as in `generate()`.
            on_update: as in `generate()`.

        Raises:
            UnsupportedError: the server does not offer such jobs; nothing was sent.
            GenerationFailedError: the source failed, so there is nothing to work on.
            LumaError: as in `generate()`.

        """
        self._home.enter()
        if not isinstance(request, JobRequest):
            raise InvalidRequestError.of(
                "request",
                f"must be a request such as GenerateRequest(...), got {shown_value(request)}",
            )
        check_has_source(request, source)
        await self._turns.take()
        return await self._submit(
            Submission(request, source, key, retry_failed, retry_uncertain, metadata, on_update)
        )

    async def _submit(self, submission: Submission) -> VideoTask:
        if submission.source is not None:
            check_source(submission.source)
        self._dialect.check(submission.request, has_source=submission.source is not None)
        return await self._submissions.submit(submission)


def _request(
    kind: type[Request], prompt: str | Request, fields: Mapping[str, Any], media: Any
) -> Request:
    """Return the request for a prompt or another request, with `media` as its file if there is one.

    Raises:
        InvalidRequestError: a field breaks a rule, or the request has a file of its own.

    """
    own = vars(prompt) if isinstance(prompt, JobRequest) else {}
    return kind.of(prompt, **with_media(fields, media, own))
