"""Run: any number of requests, so many at a time, finished as they come."""

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
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from luma_async.errors import (
    ClientClosedError,
    GenerationFailedError,
    InvalidRequestError,
    LumaError,
    SubmissionStoppedError,
    SubmissionUncertainError,
)
from luma_async.generation import Generation
from luma_async.requests import ExtendRequest, GenerateRequest
from luma_async.tasks.task import VideoTask

RequestLike = str | GenerateRequest | Mapping[str, Any]
"""A prompt, a request, or the fields of one, among which may be a `key`, and what it `extends`."""

Keyed = tuple[str, RequestLike]
"""A key, and what is asked for under it."""

Requests = Iterable[RequestLike | Keyed] | AsyncIterable[RequestLike | Keyed]
Item = TypeVar("Item")
VideoSource = VideoTask | Generation | str
Submit = Callable[
    [GenerateRequest | ExtendRequest, VideoSource | None, str | None], Awaitable[VideoTask]
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request of `run_many`: a generation or an error, exactly one of the two.

    `request` is what was asked for; if it was no valid request, the thing as it was given. `id` is
    the server's id of the job, if there is one: with it the job can be found again. `key` is its
    name in the journal, if there is one.
    """

    request: GenerateRequest | Any
    generation: Generation | None = None
    error: LumaError | None = None
    id: str | None = None
    key: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a generation."""
        return self.error is None


class Run:
    """One `run_many`: what is running, what has ended, what is still to be read.

    At most `max_tasks` jobs run at once, `submitters` of them are being submitted, and at most as
    many outcomes wait to be taken: a slow reader slows the reading of requests, so memory stays
    flat however many there are. `begin` is awaited before the first request is read.
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
        self._requests = lazily(requests)
        self._submit = submit
        self._begin = begin
        self._max_tasks = max_tasks
        self._apart: set[asyncio.Task[None]] = set()
        self._running = 0
        self._ended: deque[Outcome] = deque()
        self._all_read = False
        self._error: BaseException | None = None
        self._one_reader = asyncio.Lock()
        self._room = asyncio.Event()
        self._news = asyncio.Event()

    async def outcomes(self) -> AsyncGenerator[Outcome, None]:
        """Submit requests as places come free, and yield each outcome when its job ends.

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
            at_work = [*workers, *self._apart]
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
            await self._requests.aclose()

    def stop(self) -> None:
        """Read no more requests, and end with the jobs that run."""
        self._stop(None)

    async def _work(self) -> None:
        """Submit one request after another until there are no more."""
        while not self._all_read:
            try:
                item = await self._next_request()
                if _waits_for_another(item):
                    self._start_apart(item)
                else:
                    await self._start(item)
            except StopAsyncIteration:
                self._stop(None)
            except Exception as error:  # noqa: BLE001  the reader of outcomes gets it
                self._stop(error)
            except BaseException as error:
                self._stop(error)  # an iterable can raise these as well, and must not hang the run
                raise

    def _start_apart(self, item: RequestLike | Keyed) -> None:
        """Start what may have to wait for minutes first, and hold no other request back."""
        task = asyncio.create_task(self._start_or_stop(item), name="luma-async run_many, waiting")
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    async def _start_or_stop(self, item: RequestLike | Keyed) -> None:
        try:
            await self._start(item)
        except Exception as error:  # noqa: BLE001  the reader of outcomes gets it
            self._stop(error)

    async def _next_outcome(self) -> Outcome | None:
        """Return the next job that has ended, `None` after the last."""
        while not self._ended:
            if self._all_read and not self._running:
                if self._error is not None:
                    raise self._error
                return None
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self._ended.popleft()

    async def _next_request(self) -> RequestLike | Keyed:
        async with self._one_reader:
            while self._running >= self._max_tasks or len(self._ended) >= self._max_tasks:
                self._room.clear()
                await self._room.wait()
            if self._all_read:
                raise StopAsyncIteration
            item = await anext(self._requests)
            self._running += 1
            return item

    async def _start(self, item: RequestLike | Keyed) -> None:
        request: Any = item
        key: str | None = None
        source: VideoSource | None = None
        try:
            key, request = _with_key(item)
            request, source = _as_request(request)
            task = await self._submit(request, source, key)
        except LumaError as error:
            id = _id_in(error, source)
            self._end(Outcome(request, error=error, id=id, key=_key_in(error) or key))
            if isinstance(error, ClientClosedError):
                raise
            if isinstance(error, SubmissionStoppedError):
                self._stop(None)
        except BaseException:
            self._running -= 1
            raise
        else:
            task.add_done_callback(partial(self._end_of, request, key))

    def _end_of(
        self, request: GenerateRequest | ExtendRequest, key: str | None, task: VideoTask
    ) -> None:
        # Two keys may name one job, and its handle knows the one under which it was first watched.
        generation = task.generation if task.error is None else None
        self._end(Outcome(request, generation, task.error, task.id, key or task.key))

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
            raise InvalidRequestError.of("request", f"{item!r} is no pair of a key and a request")
        return item
    if isinstance(item, Mapping) and "key" in item:
        return item["key"], {name: value for name, value in item.items() if name != "key"}
    return None, item


def _waits_for_another(item: RequestLike | Keyed) -> bool:
    """Whether a request continues a video that may not be made yet."""
    request = item[-1] if isinstance(item, tuple) and item else item
    source = request.get("extends") if isinstance(request, Mapping) else None
    return source is not None and not isinstance(source, Generation)


def _id_in(error: LumaError, source: VideoSource | None) -> str | None:
    """Return the id of a failed job that a journal knew, unless it is the one to be extended."""
    if not isinstance(error, GenerationFailedError):
        return None
    id = error.generation.id
    return None if id == (source if isinstance(source, str | None) else source.id) else id


def _key_in(error: LumaError) -> str | None:
    """Return the key that a journal made up, if the error tells of one to settle."""
    return error.key if isinstance(error, SubmissionUncertainError) else None


def _as_request(
    item: RequestLike,
) -> tuple[GenerateRequest | ExtendRequest, VideoSource | None]:
    """Return a request, and the video that it extends if it does."""
    if not isinstance(item, Mapping):
        return GenerateRequest.of(item), None
    fields = {name: value for name, value in item.items() if name != "extends"}
    source = item.get("extends")
    if source is None:
        return GenerateRequest.from_mapping(fields), None
    if not isinstance(source, VideoTask | Generation | str):
        raise InvalidRequestError.of("extends", f"{source!r} is no handle, generation or id")
    return ExtendRequest.from_mapping(fields), source


async def lazily(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item, None]:
    """Yield items of either kind of iterable, and close it if it is a generator."""
    if not isinstance(items, AsyncIterable):
        for item in items:
            yield item
        return
    try:
        async for item in items:
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()  # nobody else has it in hand
