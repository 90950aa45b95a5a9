"""run_many: submit any number of requests with bounded concurrency, and yield their outcomes.

`Job` is a request with its job key and source, `Outcome` is the end of one, and `Run` is the state
of one call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar, final

from luma_async.errors import (
    ClientClosedError,
    InvalidRequestError,
    LumaError,
    SubmissionStoppedError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation, GenerationFailedError
from luma_async.metadata import NO_METADATA, frozen_metadata, no_metadata
from luma_async.request_kinds import request_class
from luma_async.requests import ExtendRequest, GenerateRequest, JobRequest
from luma_async.tasks.job_sources import (
    JobSource,
    check_has_source,
    check_is_source,
    job_or_media,
    with_media,
)
from luma_async.tasks.task import VideoTask
from luma_async.text_values import shown_value


@dataclass(frozen=True, slots=True)
class Job:
    """A request for `run_many`, with its job key and the source that it works on.

    >>> Job(GenerateRequest("a cat dances"), key="cat-1").key
    'cat-1'
    >>> Job(ExtendRequest("it bows"), source="task-1").source
    'task-1'

    `run_many` submits the request as it is, without another check of its fields.

    Args:
        request: a `GenerateRequest`, an `ExtendRequest` together with a `source`, or a request of
            another kind.
        key: the job key; it needs a journal.
        source: the job whose output the request works on, such as the video that an
            `ExtendRequest` extends: a `VideoTask`, a `Generation` or an id.
        metadata: your own data about the job, as in `LumaClient.generate()`.
        redo: the id of the ended job with this key to submit anew, and pay for. The same `Job`
            again gets the handle of the new job, so that an interrupted run can be repeated.
        any_request: return the job with this key even if it was submitted for another request.
        retries: `False` to leave a job with this key that failed or is uncertain as it is, although
            `run_many` is told to submit such jobs again.

    Raises:
        InvalidRequestError: `request` is of another type, `source` does not match it, `metadata`
            is not a JSON object, or `redo` or `any_request` is given without a `key`.

    """

    request: JobRequest
    key: str | None = None
    source: JobSource | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    redo: str | None = None
    any_request: bool = False
    retries: bool = True

    def __post_init__(self) -> None:
        if self.metadata is not None:
            object.__setattr__(self, "metadata", frozen_metadata(self.metadata))
        if self.key is None:
            # Each run would submit another job, and nothing would say so.
            if self.redo is not None:
                raise InvalidRequestError.of("redo", "is for a job that has a job key")
            if self.any_request:
                raise InvalidRequestError.of("any_request", "is for a job that has a job key")
        if not isinstance(self.request, JobRequest):
            raise InvalidRequestError.of(
                "request",
                f"must be a GenerateRequest or another request, got {shown_value(self.request)}",
            )
        check_has_source(self.request, self.source)


RequestLike = str | JobRequest | Mapping[str, Any]
"""A prompt, a request, or a mapping of its fields and optionally `key`, `kind`, `source`, `extends`
and `metadata`."""

Keyed = tuple[str, RequestLike]
"""A job key and its request."""

RunItem = RequestLike | Keyed | Job
"""One item of the iterable that `run_many` takes."""

Requests = Iterable[RunItem] | AsyncIterable[RunItem]
Item = TypeVar("Item")
Submit = Callable[[Job], Awaitable[VideoTask]]


MYPY = False
"""Constant that mypy takes for true. With `if outcome.ok:`, mypy narrows `Outcome` and `Download`;
pyright narrows unions by comparisons only (`outcome.ok is True`). So that it accepts the plain form
as well, pyright sees `Any` for an attribute that is `None`. The condition is at each attribute,
because pyright would see both forms of a type alias."""


@dataclass(frozen=True, slots=True)
class _EndedJob:
    request: JobRequest | Any
    id: str | None = field(default=None, kw_only=True)
    key: str | None = field(default=None, kw_only=True)
    metadata: Mapping[str, Any] = field(default_factory=no_metadata, kw_only=True, hash=False)


@final
@dataclass(frozen=True, slots=True)
class CompletedOutcome(_EndedJob):
    """Outcome of a job that was completed. `generation` has the links to its video."""

    generation: Generation
    if MYPY:
        error: None = field(default=None, init=False, repr=False)
    else:
        error: Any = field(default=None, init=False, repr=False)

    @property
    def ok(self) -> Literal[True]:
        """`True`: there is a generation."""
        return True


@final
@dataclass(frozen=True, slots=True)
class FailedOutcome(_EndedJob):
    """Outcome of a job that has no video, or of a request without a job. `error` says why."""

    error: LumaError
    if MYPY:
        generation: None = field(default=None, init=False, repr=False)
    else:
        generation: Any = field(default=None, init=False, repr=False)

    @property
    def ok(self) -> Literal[False]:
        """`False`: there is an error."""
        return False


Outcome = CompletedOutcome | FailedOutcome
"""End of one job of `run_many`: with a `generation`, or with an `error`, and `None` for the other.

`ok` is `True` if there is a generation, and type checkers know it. `request` is the submitted
request, or the item as it was given if it is not a valid request. `id` is the server's id of the
job, if it has one; with the id, the job can be found again. `key` is its job key in the journal, if
it has one. `metadata` is that of the job, or that of the item if there is no handle on the job.
"""


class Run:
    """State of one `run_many`: the running jobs, the outcomes to be read, the requests to be read.

    At most `max_tasks` jobs run at once, and `submitters` of them are being submitted. No request
    is read while `max_tasks` outcomes wait for the caller: a slow caller slows the reading of
    requests, so memory stays flat for any number of them. `begin` is awaited before the first
    request is read.
    """

    def __init__(
        self,
        requests: Requests,
        submit: Submit,
        *,
        begin: Callable[[], Awaitable[None]],
        max_tasks: int,
        submitters: int,
    ) -> None:
        self._submitters = min(submitters, max_tasks)
        self._requests = requests if isinstance(requests, AsyncGenerator) else lazily(requests)
        self._submit = submit
        self._begin = begin
        self._max_tasks = max_tasks
        self._waiting: set[asyncio.Task[None]] = set()
        """Asyncio tasks of the extensions whose source may not be finished."""
        self._running = 0
        self._ended: deque[Outcome] = deque()
        self._all_read = False
        self._error: BaseException | None = None
        self._one_reader = asyncio.Lock()
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._context = Context()  # one for all tasks saves memory

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Submit requests while fewer than `max_tasks` jobs run, and yield outcomes as jobs end.

        An error of the requests' own iterator is raised once the jobs already submitted have ended.
        """
        workers: list[asyncio.Task[None]] = []
        try:
            await self._begin()
            workers += [
                asyncio.create_task(self._work(), name="luma-async run_many")
                for _ in range(self._submitters)
            ]
            while (outcome := await self._next_outcome()) is not None:
                yield outcome
        finally:
            at_work = [*workers, *self._waiting]
            for task in at_work:
                task.cancel()
            if at_work:
                await asyncio.gather(*at_work, return_exceptions=True)
            await self._requests.aclose()

    def stop(self) -> None:
        """Read no more requests, and end when the running jobs have ended."""
        self._stop(None)

    async def _work(self) -> None:
        """Submit one request after another until there are no more."""
        while not self._all_read:
            try:
                item, source = await self._next_request()
                if source is None or isinstance(source, Generation):
                    await self._start(item)
                else:
                    self._start_waiting(item)
            except StopAsyncIteration:
                self._stop(None)
            except Exception as error:  # noqa: BLE001  the reader of outcomes gets it
                self._stop(error)
            except BaseException as error:
                self._stop(error)  # an iterable can raise these as well, and must not hang the run
                raise

    def _start_waiting(self, item: RunItem) -> None:
        """Submit an extension in an asyncio task of its own.

        Its source may run for minutes, and a worker that awaited it would hold up other requests.
        """
        task = asyncio.create_task(self._start_or_stop(item), name="luma-async run_many, waiting")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _start_or_stop(self, item: RunItem) -> None:
        try:
            await self._start(item)
        except Exception as error:  # noqa: BLE001  the reader of outcomes gets it
            self._stop(error)
        except BaseException as error:
            self._stop(error)
            raise

    async def _next_outcome(self) -> Outcome | None:
        """Return the outcome of the next job that ends, `None` after the last."""
        while not self._ended:
            if self._all_read and not self._running:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._ended.popleft()

    async def _next_request(self) -> tuple[RunItem, Any]:
        """Return the next request and its source. From then on, the request counts as running."""
        async with self._one_reader:
            while self._running >= self._max_tasks or len(self._ended) >= self._max_tasks:
                self._room.clear()
                await self._room.wait()
            if self._all_read:
                raise StopAsyncIteration
            item = await anext(self._requests)
            source = item.source if isinstance(item, Job) else _source_in(item)
            self._running += 1
            return item, source

    async def _start(self, item: RunItem) -> None:
        request: Any = item
        key: str | None = None
        source: JobSource | None = None
        metadata: Mapping[str, Any] | None = None
        try:
            if isinstance(item, Job):
                job, request, metadata = item, item.request, item.metadata
                key, source = item.key, item.source
            else:
                key, request = _with_key(item)
                request, metadata = _with_metadata(request)
                request, source = _as_request(request)
                job = Job(request, key, source, metadata)
            task = await self._submit(job)
        except LumaError as error:
            self._end(
                FailedOutcome(
                    request,
                    error,
                    id=_id_in(error, source),
                    key=_key_in(error) or key,
                    metadata=metadata or NO_METADATA,
                )
            )
            if isinstance(error, ClientClosedError):
                raise
            if isinstance(error, SubmissionStoppedError):
                self._stop(None)
        except BaseException:
            self._running -= 1
            raise
        else:
            task.add_done_callback(partial(self._end_of, request, key), context=self._context)

    def _end_of(self, request: JobRequest, key: str | None, task: VideoTask) -> None:
        # Two job keys may name one job, and its handle has the key that it was first watched under.
        known: dict[str, Any] = {"id": task.id, "key": key or task.key, "metadata": task.metadata}
        error = task.error
        if error is None:
            self._end(CompletedOutcome(request, task.generation, **known))
        else:
            self._end(FailedOutcome(request, error, **known))

    def _end(self, outcome: Outcome) -> None:
        self._running -= 1
        self._ended.append(outcome)
        self._room.set()
        self._news.set()

    def _stop(self, error: BaseException | None) -> None:
        self._all_read = True
        self._error = self._error or error
        self._news.set()


def _with_key(item: RequestLike | Keyed) -> tuple[str | None, RequestLike]:
    if isinstance(item, tuple):
        if len(item) != 2:
            raise InvalidRequestError.of(
                "request", f"must be a pair of a job key and a request, got {shown_value(item)}"
            )
        return item
    if isinstance(item, Mapping) and "key" in item:
        return item["key"], {name: value for name, value in item.items() if name != "key"}
    return None, item


def _with_metadata(item: RequestLike) -> tuple[RequestLike, Mapping[str, Any] | None]:
    """Return a request without its metadata, and these, checked and frozen."""
    if not isinstance(item, Mapping) or "metadata" not in item:
        return item, None
    metadata = item["metadata"]
    fields = {name: value for name, value in item.items() if name != "metadata"}
    return fields, None if metadata is None else frozen_metadata(metadata)


def _source_in(item: RequestLike | Keyed) -> Any:
    """Return the job that a mapping of fields names as its source, `None` if there is none."""
    request = item[-1] if isinstance(item, tuple) and item else item
    if not isinstance(request, Mapping):
        return None
    source = request.get("extends")
    return request.get("source") if source is None else source


def _id_in(error: LumaError, source: JobSource | None) -> str | None:
    """Return the id of a job that the journal knows as failed.

    The source of an extension may have failed instead; its id is not that of the job.
    """
    if not isinstance(error, GenerationFailedError):
        return None
    id = error.generation.id
    return None if id == (source if isinstance(source, str | None) else source.id) else id


def _key_in(error: LumaError) -> str | None:
    """Return the job key of an uncertain submission. The journal may have generated it."""
    return error.key if isinstance(error, SubmissionUncertainError) else None


def _as_request(item: RequestLike) -> tuple[JobRequest, JobSource | None]:
    """Return a checked request, and the source that it names with `source` or `extends`."""
    if isinstance(item, JobRequest) and item.source_need == "required":
        raise InvalidRequestError.of(
            "request",
            f"an {type(item).__name__} needs its source: pass Job(request, source=...)",
        )
    if isinstance(item, Job):
        raise InvalidRequestError.of(
            "request", "a Job is not part of a pair; pass Job(request, key=...)"
        )
    if isinstance(item, JobRequest):
        return item, None
    if not isinstance(item, Mapping):
        return GenerateRequest.of(item), None
    fields = {name: item[name] for name in item if name not in ("extends", "source", "kind")}
    kind, extends, source = item.get("kind"), item.get("extends"), item.get("source")
    if extends is not None:
        if source is not None or kind not in (None, "extend"):
            raise InvalidRequestError.of(
                "extends", "is for an extension only; the source of other kinds is source"
            )
        check_is_source("extends", extends)
        return ExtendRequest.from_mapping(fields), extends
    source, media = job_or_media(source)
    kind = kind or ("generate" if source is None else "extend")
    return request_class(kind).from_mapping(with_media(fields, media)), source


async def lazily(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item, None]:
    """Yield the items of an iterable or async iterable. If it is an async generator, close it."""
    if not isinstance(items, AsyncIterable):
        for item in items:
            yield item
        return
    try:
        async for item in items:
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()  # no other code holds a reference to it
