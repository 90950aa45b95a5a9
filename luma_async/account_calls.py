"""Account calls: the methods of `LumaClient` about all jobs of an account, and its balance."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from luma_async.concurrency import HomeLoop
from luma_async.dialects import Dialect
from luma_async.dialects.account import Credits
from luma_async.generation import Generation
from luma_async.job_pages import JobPages
from luma_async.positive_numbers import check_positive
from luma_async.tasks import TaskManager, VideoTask
from luma_async.tasks.arguments import checked_id
from luma_async.transport import Transport

PAGE_SIZE = 100
"""Number of jobs that a request for the list asks for."""


class AccountCalls:
    """Base of `LumaClient` with the calls about an account. Only Dream Machine has them."""

    _home: HomeLoop
    _dialect: Dialect
    _transport: Transport
    _manager: TaskManager

    async def generations(self, *, page_size: int = PAGE_SIZE) -> AsyncGenerator[Generation, None]:
        """Yield the status of each job of the account, the newest first.

        >>> async for generation in luma.generations():                        # doctest: +SKIP
        ...     print(generation.id, generation.state, generation.prompt)

        The list is requested page by page, and only as far as it is read. It may change meanwhile:
        no job comes twice, and none is left out that was there all the time. Jobs that are
        submitted meanwhile may come or not.

        Args:
            page_size: number of jobs that one request asks for. The server may send fewer.

        Raises:
            ConfigurationError: `page_size` is not a positive number.
            UnsupportedError: the server has no such list.
            LumaError: there was no usable answer.

        """
        check_positive(page_size=page_size)
        pages = JobPages(page_size)
        while not pages.is_done:
            self._home.enter()
            call = self._dialect.page(offset=pages.offset, limit=pages.size)
            for generation in pages.take(await self._transport.call(call)):
                yield generation

    async def delete(self, job: VideoTask | Generation | str) -> None:
        """Delete a job and its files at the server. This cannot be undone.

        >>> await luma.delete(video)                                           # doctest: +SKIP

        If this client watches the job, it forgets it, as `VideoTask.forget()` does. A job that is
        still running may be billed nevertheless. The call is repeated if its answer is lost.

        Args:
            job: the job as a handle, a generation or an id.

        Raises:
            NotFoundError: the server does not know the job, or not any more.
            UnsupportedError: the server cannot delete jobs.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        id = checked_id(job.id if isinstance(job, VideoTask | Generation) else job)
        await self._transport.call(self._dialect.delete(id))
        if (task := self._manager.find(id)) is not None:
            task.forget()

    async def credits(self) -> Credits:
        """Request the balance of the account.

        >>> print((await luma.credits()).usd)                                  # doctest: +SKIP

        Raises:
            UnsupportedError: the server has no such call.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        return await self._transport.call(self._dialect.credits())

    async def concepts(self) -> tuple[str, ...]:
        """Request the names of the concepts that a video can follow, such as `dolly_zoom`.

        Raises:
            UnsupportedError: the server has no concepts.
            LumaError: there was no usable answer.

        """
        self._home.enter()
        return await self._transport.call(self._dialect.concepts())
