"""Live gallery: the gallery of a batch from its first row on, which refreshes itself."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self
from uuid import uuid4

import anyio.to_thread

from luma_async.batch.cards import Card, Cards, WaitingRow
from luma_async.batch.gallery import LivePage, write_page
from luma_async.batch.live_files import PART, LiveFiles, Moment
from luma_async.batch.next_steps import LIST_JOBS, Commands, SettleAll, notices
from luma_async.batch.progress import RunningRow
from luma_async.batch.remote_folder import STAGING
from luma_async.batch.results import Result
from luma_async.batch.results_copy import PeriodicCopy
from luma_async.batch.runner import Batch
from luma_async.concurrency import to_completion
from luma_async.errors import LumaError

logger = logging.getLogger("luma_async")

EVERY = 1.0
"""Seconds from one update of the page to the next."""

_INTERRUPTED = "Its job continues at the server. The next run of the batch waits for it."


class LiveGallery:
    """Gallery of a batch that shows each row while the batch runs.

    >>> async with LiveGallery(batch, title="Cats", command="python make.py"):   # doctest: +SKIP
    ...     async for result in batch.run():
    ...         print(result.key, result.state)

    `gallery.html` is there as soon as the batch has begun. A browser in which it is open shows the
    changes without being reloaded, from a file as well as from a web server. They come from the
    folder `gallery-live`. At the end, the page is written once more, as `write_gallery` does, and
    needs that folder no longer.

    If the output of the batch is a URL, the page tells the places of the videos, and a copy of it
    there shows them. The copy does not refresh itself: it is written twice a minute at most.

    The batch is not slowed down: files are written in a thread, once a second. If one cannot be
    written, the log has a warning, and the batch continues.

    Args:
        batch: the batch, before its `run()`.
        title: the heading.
        command: the command line that continues the batch.
        retry: the command line that also submits failed rows again.
        settle: the command line that settles an uncertain row, without the key of the row.
        settle_all: the command line that frees all uncertain rows, or a function of their keys that
            returns it; by default `settle` with `--all --resubmit`.
        redo: the command line that submits a row anew, without `--redo` and the key of the row.
            The notes of rows are shown beside it, and not at all without it.
        listing: the command line that lists the jobs of the account, for the Dream Machine API.
        every: seconds from one update to the next.

    """

    def __init__(
        self,
        batch: Batch,
        *,
        title: str,
        command: str,
        retry: str | None = None,
        settle: str | None = None,
        settle_all: SettleAll | None = None,
        redo: str | None = None,
        listing: str = LIST_JOBS,
        every: float = EVERY,
    ) -> None:
        self._batch = batch
        self._title = title
        self._commands = Commands(
            command, retry, settle, settle_all, redo, batch.dialect_name, listing
        )
        self._every = every
        self._follower: asyncio.Task[None] | None = None
        self._cards = Cards((), self._commands)
        self._files: LiveFiles | None = None
        self._seen: int | None = None
        """Number of results of this run that were taken; `None` before the first snapshot."""
        self._changed: list[Result] = []
        """Results that were taken, and are not in the files yet."""
        self._has_warned = False
        self._copies = PeriodicCopy(self._copy)
        self._copied = -1
        """Number of results in the page that was copied last."""

    async def __aenter__(self) -> Self:
        self._follower = asyncio.create_task(
            self._follow(), name="luma-async gallery", context=Context()
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            await to_completion(asyncio.wait, [follower])
            if not follower.cancelled() and (problem := follower.exception()) is not None:
                logger.error("The gallery of the running batch failed.", exc_info=problem)
        await self._copies.stop()
        if self._batch.begun.is_set():
            is_whole = kind is None and not self._batch.progress.left
            await self._in_thread(self._end, self._snapshot("ended" if is_whole else "stopped"))
            if kind is None and self._batch.output.is_remote:
                try:
                    await self._copy(left=self._batch.progress.left, is_last=True)
                except (LumaError, OSError) as problem:
                    logger.warning("%s", problem)

    async def _copy(self, *, left: int = 0, is_last: bool = False) -> None:
        """Copy a page to the URL of the output that shows the videos beside it."""
        seen = self._seen
        if seen is None or (seen == self._copied and not is_last):
            return
        folder = self._batch.folder / STAGING
        write = partial(
            write_page, folder, self._cards.beside_files(), title=self._title, left=left
        )
        await self._batch.output.publish(await to_completion(anyio.to_thread.run_sync, write))
        self._copied = seen

    async def _follow(self) -> None:
        await self._batch.begun.wait()
        if self._batch.output.is_remote:
            self._copies.start()
        while True:
            phase = "stopping" if self._batch.is_stopped else "running"
            await self._in_thread(self._update, self._snapshot(phase))
            await asyncio.sleep(self._every)

    async def _in_thread(self, write: Callable[[_Snapshot], None], snapshot: _Snapshot) -> None:
        """Write files in a thread, to the end even if this is cancelled."""
        try:
            await to_completion(anyio.to_thread.run_sync, write, snapshot)
        except OSError as error:
            if not self._has_warned:
                logger.warning("The gallery cannot be written: %s.", error)
            self._has_warned = True

    def _snapshot(self, phase: str) -> _Snapshot:
        """Return the changes since the last snapshot. It takes no time for rows without one."""
        batch = self._batch
        first = self._seen is None
        results = batch.results if first else list(batch.new_results[self._seen :])
        self._seen = len(batch.new_results)
        return _Snapshot(phase, results, batch.running_rows)

    def _update(self, snapshot: _Snapshot) -> None:
        """Write the changes. The first time, write the page and the files with all results."""
        self._changed += snapshot.results
        if self._files is None:
            self._files = self._begin(snapshot)
        else:
            self._files.add(self._cards_of(self._changed))
            self._files.write(self._moment(snapshot))
        self._changed.clear()

    def _begin(self, snapshot: _Snapshot) -> LiveFiles:
        results = {result.key: result for result in self._changed}
        rows = [results.get(row.key) or WaitingRow.of(row) for row in self._batch.rows]
        others = results.keys() - {row.key for row in rows}
        rows += [result for key, result in results.items() if key in others]
        output = self._batch.output
        place = output.place if output.is_remote else None
        self._cards = Cards(rows, self._commands, place=place)
        files = LiveFiles(self._batch.folder, run=uuid4().hex[:12], rows=_digest(self._cards))
        files.open()
        files.add(self._cards_of(self._changed))
        files.write(self._moment(snapshot))
        self._write_page(live=self._settings(files))
        return files

    def _end(self, snapshot: _Snapshot) -> None:
        """Write the page without JavaScript for changes, and the last file for open pages."""
        self._update(snapshot)
        assert self._files is not None  # noqa: S101  `_update` begins with it
        left = self._batch.progress.left
        for row in snapshot.running:
            number = self._cards.number_of(row.key)
            waiting = None if number is None else self._cards.rows[number - 1]
            if number is not None and isinstance(waiting, WaitingRow):
                self._cards.rows[number - 1] = replace(waiting, note=_INTERRUPTED)
        self._write_page(left=left)
        problem = self._batch.problem
        self._files.write(
            Moment(
                snapshot.phase,
                problem=None if problem is None else str(problem),
                notices=notices(self._cards.results, self._commands, left=left),
            )
        )

    def _cards_of(self, results: Iterable[Result]) -> Iterator[Card]:
        """Put results into the cards of their rows, and yield these."""
        for result in results:
            number = self._cards.number_of(result.key)
            if number is not None:
                self._cards.rows[number - 1] = result
                yield self._cards.card(number)

    def _moment(self, snapshot: _Snapshot) -> Moment:
        numbers = [(self._cards.number_of(row.key), row) for row in snapshot.running]
        return Moment(snapshot.phase, [(n, row) for n, row in numbers if n is not None])

    def _settings(self, files: LiveFiles) -> LivePage:
        return LivePage(
            run=files.run,
            rows=files.rows,
            applied=files.ended,
            part=PART,
            every=round(self._every * 1000),
            began=time.strftime("%Y-%m-%d %H:%M"),
            command=self._commands.resume,
        )

    def _write_page(self, *, live: LivePage | None = None, left: int = 0) -> None:
        write_page(self._batch.folder, self._cards, title=self._title, live=live, left=left)


class _Snapshot(NamedTuple):
    """Changes of a batch: the rows that have ended since the last one, and all that run."""

    phase: str
    results: list[Result]
    running: list[RunningRow]


def _digest(cards: Cards) -> str:
    """Return a digest of the part of the rows that a page shows from the beginning."""
    digest = hashlib.sha256()
    for row in cards.rows:
        digest.update(repr((row.key, row.prompt, row.extends)).encode())
    return digest.hexdigest()[:16]
