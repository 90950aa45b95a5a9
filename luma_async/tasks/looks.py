"""Looks: request the statuses of jobs, many in one request if the server offers that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import TypeVar

from luma_async.dialects import Dialect, JSONObject, Mark
from luma_async.errors import (
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    LumaError,
    NotFoundError,
    ResponseError,
)
from luma_async.generation import Generation, State, lacks_output
from luma_async.tasks.batch_answer import BatchReader, Known, NewStatus
from luma_async.tasks.batch_size import BatchSize
from luma_async.tasks.foreign_ids import ForeignIds
from luma_async.transport import Call, Transport

Item = TypeVar("Item")

News = dict[str, NewStatus | LumaError]
"""Results of a look by job id: new statuses and errors. Jobs without news are absent."""

_CLIENT_ERRORS = (AuthenticationError, ClientClosedError, ConfigurationError)
"""Errors that concern the client, so that a single look would fail with the same error."""

MAX_MARKS = 1000
"""Maximum number of distinct marks to intern; beyond this, sharing saves no memory."""


class Looks:
    """Requests for the statuses of jobs.

    Args:
        transport: the transport for all requests.
        dialect: the format of the server.
        batch_size: maximum number of ids in one request.
        concurrency: maximum number of requests in flight for one call of a method.

    """

    def __init__(
        self, transport: Transport, dialect: Dialect, *, batch_size: int, concurrency: int
    ) -> None:
        self._transport = transport
        self.scrub = transport.scrub
        """Function that removes the API key from a text of the server."""
        self._dialect = dialect
        self._concurrency = concurrency
        self._marks: dict[Mark, Mark] = {}
        self._foreign_ids = ForeignIds()
        self.batch_size = BatchSize(batch_size if dialect.supports_batch else 1)
        """Number of jobs that one request can contain at a time."""

    async def one(self, id: str) -> Generation:
        """Return the status of one job.

        Raises:
            NotFoundError: the server does not know the job.
            LumaError: the server gave no usable answer.

        """
        seen = await self._one(id)
        if isinstance(seen, LumaError):
            raise seen
        return seen

    async def begin(self, id: str) -> Generation:
        """Return the status of one job that is about to be watched.

        If the answer is about another job, the status is pending with an empty `Generation.raw`,
        and later looks will find the true status.

        Raises:
            NotFoundError: the server does not know the job.
            LumaError: the server gave no usable answer.

        """
        seen = await self._one(id)
        return seen if isinstance(seen, Generation) else Generation(id=id, state=State.PENDING)

    async def many(self, ids: Iterable[str]) -> dict[str, Generation]:
        """Return the statuses of any number of jobs by id, without the jobs that are not found.

        Raises:
            LumaError: the server gave no usable answer to one of the requests.

        """
        found: dict[str, Generation] = {}

        async def look(batch: Sequence[str]) -> None:
            for id, seen in (await self._batch(dict.fromkeys(batch))).items():
                if isinstance(seen, NewStatus):
                    found[id] = seen.generation
                elif not isinstance(seen, NotFoundError):
                    raise seen

        await self._concurrently(look, self._batches(ids))
        return found

    async def each(self, ids: Iterable[str]) -> dict[str, Generation | LumaError]:
        """Return the status of each job by id, or the error of the look at it.

        An error for one job does not affect the others, as it does with `many()`. A job that is not
        found has a `NotFoundError`, or is absent.
        """
        results: dict[str, Generation | LumaError] = {}

        async def look(batch: Sequence[str]) -> None:
            for id, seen in (await self._batch(dict.fromkeys(batch))).items():
                results[id] = seen.generation if isinstance(seen, NewStatus) else seen

        await self._concurrently(look, self._batches(ids))
        return results

    async def poll(self, known: Known, watched: Container[str] = ()) -> News:
        """Look at one batch of jobs, then one by one at jobs that the answer leaves open.

        A job is left open if the answer does not contain it, or calls it completed without a link
        to an output (the row may be newer than the task that it wraps). An error for one job does
        not affect the others. `watched` contains the ids of all jobs that the client watches.
        """
        news: News = {}
        if len(known) == 1:
            for id in known:
                await self._single(id, known, news, watched)
            return news
        left_out: list[str] = []
        news = await self._batch(known, left_out, watched)
        without_output = [id for id, seen in news.items() if _lacks_output(seen)]
        if left_out or without_output:
            await self._singly([*left_out, *without_output], known, news, watched)
        return news

    def _batches(self, ids: Iterable[str]) -> list[list[str]]:
        """Split ids without repetitions for requests of the allowed size."""
        unique = list(dict.fromkeys(ids))
        size = self.batch_size.limit
        return [unique[start : start + size] for start in range(0, len(unique), size)]

    def _read(self, id: str, row: JSONObject, mark: Mark) -> NewStatus:
        return NewStatus(_with_id(id, self._dialect.generation(row)), self._interned(mark))

    def _interned(self, mark: Mark) -> Mark | None:
        """Return the shared copy of a mark. Most jobs have one of a few marks."""
        if len(self._marks) > MAX_MARKS:
            self._marks.clear()
        try:
            return self._marks.setdefault(mark, mark)
        except TypeError:  # a value in it is not hashable
            return None

    async def _batch(
        self, known: Known, left_out: list[str] | None = None, watched: Container[str] = ()
    ) -> News:
        """Look at jobs with one request if the server offers that, else one by one.

        A failed batch says nothing about its jobs. If a single look succeeds then, the batch
        request is at fault, and is made smaller or paused. Jobs that are missing in the answer
        are added to `left_out`. Jobs with contradictory rows are looked at one by one.
        """
        ids = list(known)
        news: News = {}
        now = asyncio.get_running_loop().time
        if len(ids) < 2 or self.batch_size.at(now()) < 2:
            await self._singly(ids, known, news, watched)
            return news
        reader = BatchReader(self._dialect.get_many(ids), self._dialect, known, self._read)
        try:
            answer = await self._transport.call(reader.call)
        except _CLIENT_ERRORS as error:
            return dict.fromkeys(ids, error)
        except LumaError as error:
            batch_error = error
        else:
            self.batch_size.succeeded()
            if left_out is not None:
                left_out += [id for id in ids if id not in answer.named]
            news.update(answer.news)
            if answer.disputed:
                await self._singly(list(answer.disputed), known, news, watched)
            return news
        if await self._single(ids[0], {}, news, watched):
            self.batch_size.failed(batch_error, len(ids), now())
        elif not isinstance(news[ids[0]], NotFoundError):
            # A 404 is not passed on, because it may concern the batch request and not the jobs.
            return dict.fromkeys(ids, news[ids[0]])
        await self._singly(ids[1:], known, news, watched)
        return news

    async def _one(self, id: str) -> Generation | ResponseError:
        call = self._dialect.get(id)
        return self._identified(id, await self._transport.call(call), call)

    def _identified(
        self, id: str, row: JSONObject, call: Call[JSONObject], watched: Container[str] = ()
    ) -> Generation | ResponseError:
        """Read the answer to a look at one job. Return an error if it is about another job."""
        seen = self._dialect.generation(row)
        if seen.id == id or id in self._dialect.ids(row):
            self._foreign_ids.saw_own_id(id)
            return _with_id(id, seen)
        is_same_job = self._foreign_ids.is_same_job(
            id,
            seen.id,
            running=not seen.state.terminal,
            is_another=seen.id in watched,
            now=asyncio.get_running_loop().time(),
        )
        if is_same_job:
            return _with_id(id, seen)
        return ResponseError(
            f"{call} was answered with another job ({seen.id[:80]!r}). "
            "The answer was not used; look again."
        )

    async def _singly(
        self, ids: Sequence[str], known: Known, news: News, watched: Container[str]
    ) -> None:
        async def look(id: str) -> None:
            await self._single(id, known, news, watched)

        await self._concurrently(look, ids)

    async def _single(self, id: str, known: Known, news: News, watched: Container[str]) -> bool:
        """Look at one job, and return `True` if the server answered, even about another job."""
        try:
            call = self._dialect.get(id)
            row = await self._transport.call(call)
        except LumaError as error:
            if not (isinstance(error, NotFoundError) and id in news):
                news[id] = error
            return False
        known_mark, mark = known.get(id), self._dialect.mark(row)
        if known_mark is None or known_mark != mark:
            seen = self._identified(id, row, call, watched)
            if isinstance(seen, Generation):
                news[id] = NewStatus(seen, self._interned(mark))
            else:
                news[id] = seen
        return True

    async def _concurrently(
        self, look: Callable[[Item], Awaitable[None]], items: Sequence[Item]
    ) -> None:
        """Run looks concurrently. The first error cancels the others and is raised unchanged."""
        first_error: LumaError | None = None
        left = iter(items)

        async def work() -> None:
            nonlocal first_error
            try:
                for item in left:
                    await look(item)
            except LumaError as error:
                first_error = first_error or error
                for task in tasks:
                    task.cancel()

        if len(items) == 1:
            await look(items[0])
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work(), name="luma-async looks")
                for _ in range(min(self._concurrency, len(items)))
            ]
        if first_error is not None:
            raise first_error


def _with_id(id: str, seen: Generation) -> Generation:
    """Return a generation with the id under which its job was submitted."""
    if seen.id != id:
        return seen.model_copy(update={"id": id})
    vars(seen)["id"] = id  # an equal string: all generations of a job share one copy
    return seen


def _lacks_output(seen: NewStatus | LumaError) -> bool:
    return isinstance(seen, NewStatus) and lacks_output(seen.generation)
