"""Looking at several jobs: many with one request where the gateway can, one by one where not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import TypeVar

import anyio

from luma_async.dialects import Dialect, JSONObject, Mark
from luma_async.errors import (
    APIError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    LumaError,
    NotFoundError,
    ResponseError,
)
from luma_async.generation import Generation, State
from luma_async.tasks.batch_answer import BatchReader, Known, Seen
from luma_async.tasks.foreign_ids import ForeignIds
from luma_async.transport import Call, Transport

logger = logging.getLogger("luma_async")
Item = TypeVar("Item")

News = dict[str, Seen | LumaError]
"""What a look told of jobs that was not known."""

_OF_NO_ONE_CALL = (AuthenticationError, ClientClosedError, ConfigurationError)
"""Errors that a single look would meet just the same."""

_BROKEN_BATCHES = 3
"""So many failed batches in a row, with single looks that succeed, put the call aside."""

_ASIDE_FOR = (60.0, 3600.0)
"""Seconds that it stays aside at first and at most, twice as long each time."""

_MOST_MARKS = 1000
"""So many marks are kept to be shared; with more, they are no few."""

_GOOD_BATCHES = 50
"""So many good batches earn twice the size after it was made smaller; twice as many each time."""


class Looks:
    """Asks the server how jobs stand, and remembers what the server cannot do.

    `batch_size` is how many ids go into one request, `concurrency` how many requests one question
    may have under way.
    """

    def __init__(
        self, transport: Transport, dialect: Dialect, *, batch_size: int, concurrency: int
    ) -> None:
        self._transport = transport
        self._dialect = dialect
        self._largest_batch = batch_size if dialect.supports_batch else 1
        self._batch_size = self._largest_batch
        self._concurrency = concurrency
        self._marks: dict[Mark, Mark] = {}
        self._foreign_ids = ForeignIds()
        self._good_batches = 0
        self._good_enough = _GOOD_BATCHES
        self._broken_batches = 0
        self._aside_until = 0.0
        self._aside_for = _ASIDE_FOR[0]

    @property
    def batch_size(self) -> int:
        """How many jobs one request can look at now."""
        return self.batch_size_at(asyncio.get_running_loop().time())

    def batch_size_at(self, now: float) -> int:
        """Return how many jobs one request can look at, at this moment of the event loop's."""
        return 1 if now < self._aside_until else self._batch_size

    async def one(self, id: str) -> Generation:
        """Look at one job.

        Raises:
            NotFoundError: the server does not know it.
            LumaError: there was no usable answer.

        """
        seen = await self._one(id)
        if isinstance(seen, LumaError):
            raise seen
        return seen

    async def begin(self, id: str) -> Generation:
        """Look at one job that is to be watched; where another one is shown, it counts as pending.

        Later looks will tell, and `Generation.raw` is empty until then.

        Raises:
            NotFoundError: the server does not know it.
            LumaError: there was no usable answer.

        """
        seen = await self._one(id)
        return seen if isinstance(seen, Generation) else Generation(id=id, state=State.PENDING)

    async def many(self, ids: Iterable[str]) -> dict[str, Generation]:
        """Look at any number of jobs; those that the server does not know are absent.

        Raises:
            LumaError: some look got no usable answer.

        """
        found: dict[str, Generation] = {}

        async def look(batch: Sequence[str]) -> None:
            for id, seen in (await self._batch(dict.fromkeys(batch))).items():
                if isinstance(seen, Seen):
                    found[id] = seen.generation
                elif not isinstance(seen, NotFoundError):
                    raise seen

        unique = list(dict.fromkeys(ids))
        size = self._batch_size
        await self._concurrently(
            look, [unique[start : start + size] for start in range(0, len(unique), size)]
        )
        return found

    async def closely(self, known: Known, watched: Container[str] = ()) -> News:
        """Look at one batch of jobs, then singly at each that its answer leaves open.

        Open are jobs that it leaves out, and completed ones whose video it does not name (a row
        may be ahead of the task that it wraps). What a look ends in for one job, be it an error,
        spoils no other's. Jobs of which the server says what is known are not in the news.
        `watched` has the ids of all jobs that the client watches.
        """
        news: News = {}
        if len(known) == 1:
            for id in known:
                await self._single(id, known, news, watched)
            return news
        left_out: list[str] = []
        news = await self._batch(known, left_out, watched)
        without_video = [id for id, seen in news.items() if _lacks_video(seen)]
        if left_out or without_video:
            await self._singly([*left_out, *without_video], known, news, watched)
        return news

    def _see(self, id: str, row: JSONObject, mark: Mark) -> Seen:
        return Seen(_under(id, self._dialect.generation(row)), self._shared(mark))

    def _shared(self, mark: Mark) -> Mark | None:
        if len(self._marks) > _MOST_MARKS:
            self._marks.clear()
        try:
            return self._marks.setdefault(mark, mark)  # most jobs have the same few
        except TypeError:  # something in it has no hash
            return None

    async def _batch(
        self, known: Known, left_out: list[str] | None = None, watched: Container[str] = ()
    ) -> News:
        """Look with one request where the gateway can, else singly.

        A batch that fails tells nothing of the jobs in it. Where a single look succeeds it is the
        call that is at fault: it is made smaller, or given up. Jobs that the answer does not name
        are added to `left_out`; those of which it contradicts itself are looked at singly.
        """
        ids = list(known)
        news: News = {}
        if len(ids) < 2 or self.batch_size < 2:
            await self._singly(ids, known, news, watched)
            return news
        reader = BatchReader(self._dialect.get_many(ids), self._dialect, known, self._see)
        try:
            answer = await self._transport.call(reader.call)
        except _OF_NO_ONE_CALL as error:
            return dict.fromkeys(ids, error)
        except LumaError as error:
            batch_error = error
        else:
            self._praise_batch()
            if left_out is not None:
                left_out += [id for id in ids if id not in answer.named]
            news.update(answer.news)
            if answer.disputed:
                await self._singly(list(answer.disputed), known, news, watched)
            return news
        if await self._single(ids[0], {}, news, watched):
            self._blame_batch(batch_error, len(ids))
        elif not isinstance(news[ids[0]], NotFoundError):
            return dict.fromkeys(ids, news[ids[0]])  # a 404 of the batch call is of no job
        await self._singly(ids[1:], known, news, watched)
        return news

    async def _one(self, id: str) -> Generation | ResponseError:
        call = self._dialect.get(id)
        return self._told(id, await self._transport.call(call), call)

    def _told(
        self, id: str, row: JSONObject, call: Call[JSONObject], watched: Container[str] = ()
    ) -> Generation | ResponseError:
        """Read the answer to a look at one job; an error, if it is about another one."""
        seen = self._dialect.generation(row)
        if seen.id == id or id in self._dialect.ids(row):
            self._foreign_ids.named(id)
            return _under(id, seen)
        is_same_job = self._foreign_ids.is_same_job(
            id,
            seen.id,
            running=not seen.state.terminal,
            is_another=seen.id in watched,
            now=asyncio.get_running_loop().time(),
        )
        if is_same_job:
            return _under(id, seen)
        return ResponseError(
            f"{call} was answered with another job ({seen.id[:80]!r}). "
            "The answer was not used; look again."
        )

    def _praise_batch(self) -> None:
        self._broken_batches = 0
        self._aside_for = _ASIDE_FOR[0]
        self._good_batches += 1
        if self._good_batches >= self._good_enough:
            self._good_batches = 0
            self._batch_size = min(self._batch_size * 2, self._largest_batch)

    def _blame_batch(self, error: LumaError, size: int) -> None:
        """Remember that a batch failed where a single look succeeds."""
        status = error.status if isinstance(error, APIError) else None
        self._good_batches = 0
        if status in (400, 413, 414, 422) and size > 2:
            self._batch_size = min(self._batch_size, size // 2)
            self._good_enough *= 2
            logger.info("This gateway refuses %d jobs in one look: asking for less.", size)
            return
        self._broken_batches += 1
        is_missing = status in (404, 405, 501)
        now = asyncio.get_running_loop().time()
        if self.batch_size_at(now) > 1 and (is_missing or self._broken_batches >= _BROKEN_BATCHES):
            self._aside_until = now + self._aside_for
            if self._aside_for == _ASIDE_FOR[0]:
                logger.info("No looks at many jobs at once here; looking one by one. (%s)", error)
            self._aside_for = min(self._aside_for * 2, _ASIDE_FOR[1])

    async def _singly(
        self, ids: Sequence[str], known: Known, news: News, watched: Container[str]
    ) -> None:
        async def look(id: str) -> None:
            await self._single(id, known, news, watched)

        await self._concurrently(look, ids)

    async def _single(self, id: str, known: Known, news: News, watched: Container[str]) -> bool:
        """Look at one job, and return whether the server answered, be it with another one."""
        try:
            call = self._dialect.get(id)
            row = await self._transport.call(call)
        except LumaError as error:
            if not (isinstance(error, NotFoundError) and id in news):
                news[id] = error
            return False
        known_mark, mark = known.get(id), self._dialect.mark(row)
        if known_mark is None or known_mark != mark:
            told = self._told(id, row, call, watched)
            if isinstance(told, Generation):
                news[id] = Seen(told, self._shared(mark))
            else:
                news[id] = told
        return True

    async def _concurrently(
        self, look: Callable[[Item], Awaitable[None]], items: Sequence[Item]
    ) -> None:
        """Run looks side by side; the first error ends the others, and is raised as it is."""
        first_error: LumaError | None = None
        left = iter(items)

        async def work() -> None:
            nonlocal first_error
            try:
                for item in left:
                    await look(item)
            except LumaError as error:
                first_error = first_error or error
                group.cancel_scope.cancel()

        if len(items) == 1:
            await look(items[0])
            return
        async with anyio.create_task_group() as group:
            for _ in range(min(self._concurrency, len(items))):
                group.start_soon(work)
        if first_error is not None:
            raise first_error


def _under(id: str, seen: Generation) -> Generation:
    """Return a generation under the id that its job was submitted under."""
    if seen.id != id:
        return seen.model_copy(update={"id": id})
    vars(seen)["id"] = id  # an equal text: all looks at a job share the one that is kept anyway
    return seen


def _lacks_video(seen: Seen | LumaError) -> bool:
    if not isinstance(seen, Seen):
        return False
    return seen.generation.state is State.COMPLETED and seen.generation.video is None
