"""Watch calls: the methods of `LumaClient` that look at jobs, and watch those submitted before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import overload

from luma_async.concurrency import HomeLoop
from luma_async.dialects import Dialect
from luma_async.errors import ConfigurationError
from luma_async.generation import Generation
from luma_async.journal import Entry, ServedJobs
from luma_async.journal.bookkeeper import Bookkeeper
from luma_async.tasks import Looks, TaskManager, VideoTask
from luma_async.tasks.arguments import OneJob, PassAList, checked_id, checked_ids
from luma_async.transport import Transport


class WatchCalls:
    """Base of `LumaClient` with the calls about jobs that are known by their ids or the journal."""

    _home: HomeLoop
    _dialect: Dialect
    _transport: Transport
    _looks: Looks
    _manager: TaskManager
    _bookkeeper: Bookkeeper | None

    async def get(self, id: str) -> Generation:
        """Request the status of one job.

        Raises:
            NotFoundError: the server does not know the job.
            ResponseError: the server answered with another job.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        return await self._looks.one(checked_id(id))

    @overload
    async def get_many(self, ids: OneJob) -> PassAList: ...  # type: ignore[overload-overlap]

    @overload
    async def get_many(self, ids: Iterable[str]) -> dict[str, Generation]: ...

    async def get_many(self, ids: Iterable[str] | OneJob) -> dict[str, Generation] | PassAList:
        """Request the status of any number of jobs, with as few requests as the server allows.

        Ids that the server does not know are absent from the result.

        Raises:
            InvalidRequestError: `ids` is a single id, or contains an item that is not an id.
            LumaError: there was no usable answer to one of the requests.

        """
        self._home.enter()
        return await self._looks.many(checked_ids(ids))

    async def watermark_free_url(self, id: str) -> str:
        """Request a link to the video without a watermark. The link expires, so use it soon.

        Raises:
            NotFoundError: the server does not know the job, or does not offer such links.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        return await self._transport.call(self._dialect.watermark_free_url(checked_id(id)))

    async def watch(self, id: str) -> VideoTask:
        """Return a handle on a job that was submitted elsewhere or earlier, and watch it.

        The status of the job is requested at once. While the job is watched, the same id returns
        the same handle.

        Raises:
            NotFoundError: the server does not know the job.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        task = await self._manager.watch(checked_id(id))
        if self._bookkeeper is not None:
            self._bookkeeper.watched(task)
        return task

    async def resume(self, *, forgotten: bool = False) -> list[VideoTask]:
        """Watch the unfinished jobs of the journal, and return their handles.

        >>> for task in await luma.resume():          # doctest: +SKIP
        ...     print(task.key, await task)

        These are the jobs of this client's `base_url`, oldest first. Jobs that may have been
        accepted are not among them: `luma.journal.uncertain()` lists these, for you to settle.
        Jobs that you gave up with `forget()` are left out as well. With `forgotten=True` they are
        watched again, and are no longer forgotten.

        Raises:
            ClientClosedError: the client is closed.
            ConfigurationError: the client has no journal.
            JournalError: the journal cannot be read.

        """
        self._home.enter()
        if self._bookkeeper is None:
            raise ConfigurationError("resume() needs a journal: LumaClient(journal='jobs.db').")
        return await self._bookkeeper.resume(forgotten=forgotten)

    def serve(self, *, only: Callable[[Entry], bool] | None = None) -> ServedJobs:
        """Take over the jobs that no process watches, now and whenever a process ends.

        >>> async for task in luma.serve():           # doctest: +SKIP
        ...     tasks.add(asyncio.create_task(answer(task)))

        The iterator yields the handle on each job that this process begins to watch. It begins with
        the jobs of processes that have ended, such as an earlier run of this program. Then it waits
        for further ones, until it or the client is closed. Of several processes that serve a
        journal, each job goes to one. `resume()` returns all unfinished jobs of the journal, once,
        also those that other live processes watch.

        The jobs of a process that was killed are taken over within about 5 seconds if it was on the
        same machine, else within about 20 seconds. A process that was suspended for so long may
        deliver a job that another one delivers as well.

        Args:
            only: returns `True` for the jobs to take over, by their entries. By default, these are
                all jobs of this client's `base_url`, also those of other programs.

        Raises:
            ClientClosedError: the client is closed.
            ConfigurationError: the client has no journal, or one that cannot be shared.
            JournalError: raised by the iterator: the journal cannot be opened.

        """
        self._home.enter()
        if self._bookkeeper is None:
            raise ConfigurationError("serve() needs a journal: LumaClient(journal='jobs.db').")
        return self._bookkeeper.serve(only)
